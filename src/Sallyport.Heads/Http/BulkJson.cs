using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>What an item of a bulk request asks for (<c>importMode</c>; SDKs differ in case).</summary>
internal static class ImportMode
{
    private const string IfMatchSuffix = "IFMATCHETAG";

    /// <exception cref="HubException">400: no such mode; 501: it is about twins.</exception>
    public static IdentityChange ToChange(IdentityRequestJson item)
    {
        var identity = IdentityOf(item);
        var mode = (item.ImportMode ?? "createOrUpdate").ToUpperInvariant();
        var condition = EntityTagCondition.Any;
        if (mode.EndsWith(IfMatchSuffix, StringComparison.Ordinal))
        {
            mode = mode[..^IfMatchSuffix.Length];
            condition = EntityTagCondition.Parse(item.Etag ?? "");
        }

        if (mode is "UPDATETWIN" || HasContent(item.Tags) || HasContent(item.Properties))
            throw new HubException(HubErrors.NotImplemented, "a bulk request changes no twins yet: leave out tags, properties and the twin modes, and PATCH /twins/{id}");

        return mode switch
        {
            "CREATE" => new IdentityChange(identity, PutMode.Create, item.ToDraft(), condition),
            "UPDATE" => new IdentityChange(identity, PutMode.Update, item.ToDraft(), condition),
            "CREATEORUPDATE" => new IdentityChange(identity, PutMode.CreateOrUpdate, item.ToDraft(), condition),
            "DELETE" => IdentityChange.Delete(identity, condition),
            _ => throw new HubException(
                HubErrors.ArgumentInvalid, "importMode: create, createOrUpdate, createOrUpdateIfMatchETag, update, updateIfMatchETag, delete or deleteIfMatchETag"),
        };
    }

    private static Identity IdentityOf(IdentityRequestJson item) =>
        Identity.TryCreate(item.Id, item.ModuleId, out var identity) ? identity : throw new HubException(HubErrors.ArgumentInvalid, "id: is not a valid id");

    private static bool HasContent(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Undefined or JsonValueKind.Null => false,
        JsonValueKind.Object => value.EnumerateObject().Any(member => member.Value.ValueKind is not JsonValueKind.Object || HasContent(member.Value)),
        _ => true,
    };
}

internal sealed record BulkResultJson(bool IsSuccessful, IReadOnlyList<BulkErrorJson> Errors, IReadOnlyList<BulkErrorJson> Warnings);

internal sealed record BulkErrorJson(string? DeviceId, string? ModuleId, string ErrorCode, string ErrorStatus, string Operation);

/// <param name="PolicyKey"><c>primary</c>, <c>secondary</c>, <c>both</c> or <c>swap</c>.</param>
internal sealed record KeyRenewalRequestJson(string? PolicyKey, IReadOnlyList<KeyRenewalItemJson?>? Devices);

internal sealed record KeyRenewalItemJson(string? Id, string? ModuleId);

internal sealed record KeyRenewalResultJson(string PolicyKey, IReadOnlyList<RenewedKeysJson> RotatedKeys, IReadOnlyList<KeyRenewalErrorJson> Errors);

/// <summary>Holds keys: never printed.</summary>
internal sealed class RenewedKeysJson
{
    public required string Id { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ModuleId { get; init; }

    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
}

internal sealed record KeyRenewalErrorJson(string? Id, string? ModuleId, string ErrorCode, string ErrorStatus);
