using System.Text.Json.Serialization;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>A device or module as REST shows it; what is null and not IoT Hub's to show is left out. Holds keys: never printed.</summary>
public sealed class IdentityJson
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

public sealed class AuthenticationJson
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

public sealed class SymmetricKeyJson
{
    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
}

public sealed class ThumbprintJson
{
    public string? PrimaryThumbprint { get; init; }
    public string? SecondaryThumbprint { get; init; }
}

public sealed class CapabilitiesJson
{
    public bool IotEdge { get; init; }
}
