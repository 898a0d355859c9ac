using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>A device or module as REST shows it; what is null and not IoT Hub's to show is left out. Holds keys: never printed.</summary>
internal sealed class IdentityJson
{
    public required string DeviceId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ModuleId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? ManagedBy { get; init; }

    public required string GenerationId { get; init; }
    public required string Etag { get; init; }
    public required string ConnectionState { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Status { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? StatusReason { get; init; }

    public required DateTime ConnectionStateUpdatedTime { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DateTime? StatusUpdatedTime { get; init; }

    public required DateTime LastActivityTime { get; init; }
    public int CloudToDeviceMessageCount { get; init; }
    public required AuthenticationJson Authentication { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public CapabilitiesJson? Capabilities { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? DeviceScope { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<string>? ParentScopes { get; init; }

    /// <param name="held">What the asker holds: without <see cref="Rights.RegistrySecrets"/> the keys are null.</param>
    public static IdentityJson Of(IdentityState state, Rights held)
    {
        var record = state.Record;
        var isDevice = record.ModuleId is null;
        return new IdentityJson
        {
            DeviceId = record.DeviceId,
            ModuleId = record.ModuleId,
            ManagedBy = record.ManagedBy,
            GenerationId = record.GenerationId,
            Etag = EntityTag.Format(record.ETag),
            ConnectionState = state.IsConnected ? "Connected" : "Disconnected",
            Status = !isDevice ? null : record.Enabled ? "enabled" : "disabled",
            StatusReason = record.StatusReason,
            ConnectionStateUpdatedTime = TimeOrNever(record.ConnectionStateUpdatedTime),
            StatusUpdatedTime = isDevice ? TimeOrNever(record.StatusUpdatedTime) : null,
            LastActivityTime = TimeOrNever(record.LastActivityTime),
            CloudToDeviceMessageCount = record.CommandCount,
            Authentication = AuthenticationJson.Of(record, held),
            Capabilities = isDevice ? new CapabilitiesJson { IotEdge = record.IotEdge } : null,
            DeviceScope = record.DeviceScope,
            ParentScopes = isDevice ? record.ParentScopes : null,
        };
    }

    // IoT Hub's way of saying "never": 0001-01-01T00:00:00Z.
    private static DateTime TimeOrNever(DateTimeOffset? time) => time?.UtcDateTime ?? DateTime.SpecifyKind(default, DateTimeKind.Utc);
}

internal sealed class AuthenticationJson
{
    public SymmetricKeyJson? SymmetricKey { get; init; }
    public ThumbprintJson? X509Thumbprint { get; init; }
    public string? Type { get; init; }

    /// <summary>The word of the wire; null for none.</summary>
    public static string? NameOf(IdentityAuthentication? authentication) => authentication switch
    {
        null => null,
        IdentityAuthentication.SelfSigned => "selfSigned",
        IdentityAuthentication.CertificateAuthority => "certificateAuthority",
        IdentityAuthentication.None => "none",
        _ => "sas",
    };

    public static AuthenticationJson Of(IdentityRecord record, Rights held)
    {
        var secrets = held.HasFlag(Rights.RegistrySecrets);
        return new AuthenticationJson
        {
            SymmetricKey = new SymmetricKeyJson
            {
                PrimaryKey = secrets ? record.PrimaryKey : null,
                SecondaryKey = secrets ? record.SecondaryKey : null,
            },
            X509Thumbprint = new ThumbprintJson { PrimaryThumbprint = record.PrimaryThumbprint, SecondaryThumbprint = record.SecondaryThumbprint },
            Type = NameOf(record.Authentication)!,
        };
    }

    public CredentialDraft ToDraft() => new()
    {
        Type = Type?.ToUpperInvariant() switch
        {
            null => null,
            "SAS" => IdentityAuthentication.Sas,
            "SELFSIGNED" => IdentityAuthentication.SelfSigned,
            "CERTIFICATEAUTHORITY" => IdentityAuthentication.CertificateAuthority,
            "NONE" => IdentityAuthentication.None,
            _ => throw new HubException(HubErrors.ArgumentInvalid, "authentication.type: sas, selfSigned, certificateAuthority or none"),
        },
        PrimaryKey = SymmetricKey?.PrimaryKey,
        SecondaryKey = SymmetricKey?.SecondaryKey,
        PrimaryThumbprint = X509Thumbprint?.PrimaryThumbprint,
        SecondaryThumbprint = X509Thumbprint?.SecondaryThumbprint,
    };
}

internal sealed class SymmetricKeyJson
{
    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
}

internal sealed class ThumbprintJson
{
    public string? PrimaryThumbprint { get; init; }
    public string? SecondaryThumbprint { get; init; }
}

internal sealed class CapabilitiesJson
{
    public bool IotEdge { get; init; }
}

/// <summary>
/// A device or module as a request gives it, also as an item of a bulk request (<c>id</c>, <c>eTag</c>, <c>importMode</c>).
/// What the hub owns (generation, times, connection state) is not read. A field left out keeps what there is; null clears it.
/// </summary>
internal sealed class IdentityRequestJson
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
        JsonValueKind.String => value.GetString(),
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

        return new Given<IReadOnlyList<string>>(true, [.. value.EnumerateArray().Select(item => item.GetString()!)]);
    }
}

internal sealed record RegistryStatisticsJson(long TotalDeviceCount, long EnabledDeviceCount, long DisabledDeviceCount);

internal sealed record ServiceStatisticsJson(long ConnectedDeviceCount);
