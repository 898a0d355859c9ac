namespace Sallyport.Storage.Metadata;

/// <summary>Certificate authorities that devices' certificates may come from, their revocation lists, and the certificates in between.</summary>
public interface ICertificateAuthorityStore
{
    /// <summary>In the order of their names.</summary>
    IReadOnlyList<CertificateAuthorityRecord> List(MetadataTransaction tx);

    void Put(MetadataTransaction tx, CertificateAuthorityRecord record);

    /// <summary>Deletes the authority with its lists and intermediates.</summary>
    bool Delete(MetadataTransaction tx, string name);

    RevocationListRecord? FindRevocationList(MetadataTransaction tx, string authority);

    /// <summary>An authority that is gone is passed over.</summary>
    void PutRevocationList(MetadataTransaction tx, RevocationListRecord record);

    void DeleteRevocationList(MetadataTransaction tx, string authority);

    /// <summary>Of all authorities, the oldest first.</summary>
    IReadOnlyList<IntermediateRecord> ListIntermediates(MetadataTransaction tx);

    /// <summary>An authority that is gone is passed over.</summary>
    void PutIntermediate(MetadataTransaction tx, IntermediateRecord record);

    void DeleteIntermediate(MetadataTransaction tx, string authority, string thumbprint);
}

/// <summary>A certificate authority as it is registered. Holds no secret.</summary>
public sealed record CertificateAuthorityRecord
{
    public required string Name { get; init; }

    /// <summary>DER.</summary>
    public required byte[] Certificate { get; init; }

    /// <summary>Grows with each change; shown as base64.</summary>
    public required long ETag { get; init; }

    /// <summary>Devices' certificates of an authority that is not verified are refused.</summary>
    public bool Verified { get; init; }

    /// <summary>Only device ids that begin with it; empty for all.</summary>
    public string IdPrefix { get; init; } = "";

    /// <summary>Only devices with these tags, percent-encoded and separated by spaces; empty for all.</summary>
    public string DeviceTags { get; init; } = "";

    /// <summary>The common name that a certificate must have to prove possession of the authority's key; null when none was asked for.</summary>
    public string? VerificationCode { get; init; }

    public RevocationCheck Revocation { get; init; }

    /// <summary>From where the list is fetched; null when it was given.</summary>
    public string? CrlUrl { get; init; }

    public required DateTimeOffset CreatedTime { get; init; }
    public required DateTimeOffset UpdatedTime { get; init; }

    public override string ToString() => Name;
}

/// <summary>What is done about revocation. Numbers are stored: frozen.</summary>
public enum RevocationCheck : byte
{
    /// <summary>Nothing is looked at.</summary>
    Off = 0,

    /// <summary>What is on the list is refused; without a list that is in force, everything else is let in.</summary>
    SoftFail = 1,

    /// <summary>What is on the list is refused; without a list that is in force, everything is refused.</summary>
    HardFail = 2,
}

/// <param name="Lists">One or more certificate revocation lists, as they were taken: DER, or PEM one after the other.</param>
public sealed record RevocationListRecord(string Authority, byte[] Lists, DateTimeOffset TakenTime);

/// <param name="Thumbprint">SHA-256, 64 hex digits.</param>
/// <param name="Certificate">DER.</param>
public sealed record IntermediateRecord(string Authority, string Thumbprint, byte[] Certificate, DateTimeOffset AddedTime);
