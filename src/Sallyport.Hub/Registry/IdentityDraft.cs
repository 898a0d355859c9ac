using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>A field that a request gives, possibly as nothing (clear it), or leaves out (keep it).</summary>
public readonly record struct Given<T>(bool IsGiven, T? Value)
{
    public static implicit operator Given<T>(T? value) => new(true, value);

    public T? Or(T? kept) => IsGiven ? Value : kept;
}

/// <summary>
/// What somebody wants a device or module to be. Bounds are IoT Hub's (developer guide, "Identity registry"). Immutable.
/// </summary>
public sealed record IdentityDraft
{
    public const int MaxTextLength = 128;
    public const int MaxScopeLength = 512;

    public bool? Enabled { get; init; }

    /// <summary>At most <see cref="MaxTextLength"/> characters.</summary>
    public Given<string> StatusReason { get; init; }

    /// <summary>Null keeps what there is, or on creation makes keys.</summary>
    public CredentialDraft? Credential { get; init; }

    /// <summary>Of an identity with keys.</summary>
    public KeyRenewal? Renewal { get; init; }

    public bool? IotEdge { get; init; }

    /// <summary>Of a leaf device: the scope of its parent. An edge device's own scope is made by the hub.</summary>
    public Given<string> DeviceScope { get; init; }

    /// <summary>At most one, as in IoT Hub.</summary>
    public Given<IReadOnlyList<string>> ParentScopes { get; init; }

    /// <summary>Modules only; at most <see cref="MaxTextLength"/> characters.</summary>
    public Given<string> ManagedBy { get; init; }

    /// <exception cref="HubException">400: a value is out of its bounds; the message names it.</exception>
    public void Validate()
    {
        Text("statusReason", StatusReason.Value, MaxTextLength);
        Text("managedBy", ManagedBy.Value, MaxTextLength);
        Text("deviceScope", DeviceScope.Value, MaxScopeLength);
        if (ParentScopes.Value is { } parents)
        {
            if (parents.Count > 1)
                throw Invalid("parentScopes", "a device has at most one parent");
            foreach (var parent in parents)
                Text("parentScopes[0]", parent, MaxScopeLength);
        }

        Credential?.Validate();
    }

    private static void Text(string field, string? value, int maxLength)
    {
        if (value?.Length > maxLength)
            throw Invalid(field, $"at most {maxLength} characters");
    }

    internal static HubException Invalid(string field, string rule) => new(HubErrors.ArgumentInvalid, $"{field}: {rule}");
}

/// <summary>What becomes of the two keys. Swapping lets clients of one key move to the other without a gap.</summary>
public enum KeyRenewal
{
    Primary,
    Secondary,
    Both,
    Swap,
}

/// <summary>By what an identity is to be authenticated. Fields that its type has no use for are passed over, as SDKs send all of them. Never printed.</summary>
public sealed record CredentialDraft
{
    /// <summary>Null: <see cref="IdentityAuthentication.SelfSigned"/> when there are thumbprints, else <see cref="IdentityAuthentication.Sas"/>.</summary>
    public IdentityAuthentication? Type { get; init; }

    /// <summary>Base64 of 16 to 64 bytes; null or empty: the hub makes one.</summary>
    public string? PrimaryKey { get; init; }

    public string? SecondaryKey { get; init; }

    /// <summary>SHA-1 (40) or SHA-256 (64 hex digits) of the certificate.</summary>
    public string? PrimaryThumbprint { get; init; }

    public string? SecondaryThumbprint { get; init; }

    private IdentityAuthentication EffectiveType => Type ?? (string.IsNullOrEmpty(PrimaryThumbprint) && string.IsNullOrEmpty(SecondaryThumbprint)
        ? IdentityAuthentication.Sas
        : IdentityAuthentication.SelfSigned);

    /// <exception cref="HubException">400: a key or thumbprint is not valid.</exception>
    public void Validate()
    {
        if (EffectiveType is IdentityAuthentication.Sas)
        {
            Key("authentication.symmetricKey.primaryKey", PrimaryKey);
            Key("authentication.symmetricKey.secondaryKey", SecondaryKey);
        }
        else if (EffectiveType is IdentityAuthentication.SelfSigned)
        {
            if (string.IsNullOrEmpty(PrimaryThumbprint) && string.IsNullOrEmpty(SecondaryThumbprint))
                throw IdentityDraft.Invalid("authentication.x509Thumbprint", "selfSigned needs at least one thumbprint");
            Thumbprint("authentication.x509Thumbprint.primaryThumbprint", PrimaryThumbprint);
            Thumbprint("authentication.x509Thumbprint.secondaryThumbprint", SecondaryThumbprint);
        }
    }

    /// <summary>The keys or thumbprints that somebody chose, as they are stored, with the names of their fields.</summary>
    internal IEnumerable<(string Field, string Credential)> Given()
    {
        (string Field, string? Given)[] fields = EffectiveType switch
        {
            IdentityAuthentication.Sas => [("authentication.symmetricKey.primaryKey", PrimaryKey), ("authentication.symmetricKey.secondaryKey", SecondaryKey)],
            IdentityAuthentication.SelfSigned =>
            [
                ("authentication.x509Thumbprint.primaryThumbprint", Stored(PrimaryThumbprint)),
                ("authentication.x509Thumbprint.secondaryThumbprint", Stored(SecondaryThumbprint)),
            ],
            _ => [],
        };
        return from field in fields where !string.IsNullOrEmpty(field.Given) select (field.Field, field.Given!);
    }

    internal IdentityRecord ApplyTo(IdentityRecord record)
    {
        var type = EffectiveType;
        var keys = type is IdentityAuthentication.Sas;
        var thumbprints = type is IdentityAuthentication.SelfSigned;
        return record with
        {
            Authentication = type,
            PrimaryKey = keys ? KeyOrNew(PrimaryKey) : null,
            SecondaryKey = keys ? KeyOrNew(SecondaryKey) : null,
            PrimaryThumbprint = thumbprints ? Stored(PrimaryThumbprint) : null,
            SecondaryThumbprint = thumbprints ? Stored(SecondaryThumbprint) : null,
        };
    }

    /// <exception cref="HubException">400: the identity has no keys.</exception>
    internal static IdentityRecord Renew(IdentityRecord record, KeyRenewal renewal)
    {
        if (record.Authentication is not IdentityAuthentication.Sas)
            throw IdentityDraft.Invalid("authentication.type", "only an identity of type sas has keys to renew");

        return renewal switch
        {
            KeyRenewal.Primary => record with { PrimaryKey = KeyPair.NewKey() },
            KeyRenewal.Secondary => record with { SecondaryKey = KeyPair.NewKey() },
            KeyRenewal.Both => record with { PrimaryKey = KeyPair.NewKey(), SecondaryKey = KeyPair.NewKey() },
            _ => record with { PrimaryKey = record.SecondaryKey, SecondaryKey = record.PrimaryKey },
        };
    }

    private static string KeyOrNew(string? key) => string.IsNullOrEmpty(key) ? KeyPair.NewKey() : key;

    private static string? Stored(string? thumbprint) => string.IsNullOrEmpty(thumbprint) ? null : thumbprint.ToUpperInvariant();

    private static void Key(string field, string? key)
    {
        if (!string.IsNullOrEmpty(key) && !KeyPair.IsKey(key))
            throw IdentityDraft.Invalid(field, "canonical base64 of 16 to 64 bytes");
    }

    private static void Thumbprint(string field, string? thumbprint)
    {
        if (!string.IsNullOrEmpty(thumbprint) && (thumbprint.Length is not (40 or 64) || !thumbprint.All(char.IsAsciiHexDigit)))
            throw IdentityDraft.Invalid(field, "40 (SHA-1) or 64 (SHA-256) hex digits");
    }

    /// <summary>Names the type, never the keys.</summary>
    public override string ToString() => EffectiveType.ToString();
}
