using System.Text.Json.Serialization;

namespace Sallyport.Heads.Http;

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
