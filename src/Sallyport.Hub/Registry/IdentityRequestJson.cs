using System.Text.Json;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Registry;

/// <summary>
/// A device or module as a request gives it, also as an item of a bulk request (<c>id</c>, <c>eTag</c>, <c>importMode</c>).
/// What the hub owns (generation, times, connection state) is not read. A field left out keeps what there is; null clears it.
/// </summary>
public sealed class IdentityRequestJson
{
    public string? Id { get; init; }
    public string? DeviceId { get; init; }
    public string? ModuleId { get; init; }
    public string? Etag { get; init; }
    public string? ImportMode { get; init; }
    public string? TwinEtag { get; init; }
    public string? Status { get; init; }
    public JsonElement StatusReason { get; init; }
    public AuthenticationJson? Authentication { get; init; }
    public CapabilitiesJson? Capabilities { get; init; }
    public JsonElement DeviceScope { get; init; }
    public JsonElement ParentScopes { get; init; }
    public JsonElement ManagedBy { get; init; }
    public JsonElement Tags { get; init; }
    public JsonElement Properties { get; init; }

    public IdentityDraft ToDraft() => new()
    {
        Enabled = Status?.ToUpperInvariant() switch
        {
            null => null,
            "ENABLED" => true,
            "DISABLED" => false,
            _ => throw new HubException(HubErrors.ArgumentInvalid, "status: enabled or disabled"),
        },
        StatusReason = Text("statusReason", StatusReason),
        Credential = Authentication?.ToDraft(),
        IotEdge = Capabilities?.IotEdge,
        DeviceScope = Text("deviceScope", DeviceScope),
        ParentScopes = Texts("parentScopes", ParentScopes),
        ManagedBy = Text("managedBy", ManagedBy),
    };

    private static Given<string> Text(string field, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Undefined => default,
        JsonValueKind.Null => new Given<string>(true, null),
        JsonValueKind.String => TextOf(field, value),
        _ => throw new HubException(HubErrors.ArgumentInvalid, $"{field}: text or null"),
    };

    private static Given<IReadOnlyList<string>> Texts(string field, JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.Undefined)
            return default;
        if (value.ValueKind is JsonValueKind.Null)
            return new Given<IReadOnlyList<string>>(true, []);
        if (value.ValueKind is not JsonValueKind.Array || value.EnumerateArray().Any(item => item.ValueKind is not JsonValueKind.String))
            throw new HubException(HubErrors.ArgumentInvalid, $"{field}: a list of texts");

        return new Given<IReadOnlyList<string>>(true, [.. value.EnumerateArray().Select(item => TextOf(field, item))]);
    }

    private static string TextOf(string field, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new HubException(HubErrors.FormatError, $"{field}: a text with half a surrogate pair"); // The only way to be told.
        }
    }
}
