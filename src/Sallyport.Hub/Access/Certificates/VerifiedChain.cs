using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>
/// A device's certificate that leads to a registered authority, each signature checked. That does not change with time; what does
/// (validity, revocation) is asked of it at every use. Immutable.
/// </summary>
/// <param name="Authority">Its name.</param>
/// <param name="Links">From the leaf upwards; the issuer of the last one is the authority.</param>
internal sealed record VerifiedChain(string Authority, IReadOnlyList<ChainLink> Links)
{
    /// <summary>When the first certificate of the chain expires.</summary>
    public DateTimeOffset NotAfter(X509Certificate2 leaf) =>
        Links.Select(link => LeafRules.NotAfter(link.Issuer)).Append(LeafRules.NotAfter(leaf)).Min();

    /// <summary>The fault of an issuer that is not valid now; null when all are.</summary>
    public string? ValidityFault(DateTimeOffset now) =>
        Links.Select(link => LeafRules.ValidityFault(link.Issuer, now, $"the issuer {LeafRules.Shown(link.Issuer.Subject)}")).FirstOrDefault(fault => fault is not null);
}

/// <summary>A certificate of a chain by its number, and who issued it.</summary>
internal sealed record ChainLink(string SerialNumber, X509Certificate2 Issuer)
{
    /// <summary>A serial number as it is compared: hex digits without leading zero bytes.</summary>
    public static string SerialText(ReadOnlySpan<byte> bigEndian) => Convert.ToHexString(bigEndian.TrimStart((byte)0));
}

/// <summary>By which certificate somebody is let in, for whoever takes that back. Immutable.</summary>
public sealed class CertificateUse
{
    internal CertificateUse(VerifiedChain? chain) => Chain = chain;

    /// <summary>Null for a certificate that is registered by its thumbprint.</summary>
    internal VerifiedChain? Chain { get; }

    /// <summary>The name of the authority that vouches for it; null when it is registered by its thumbprint.</summary>
    public string? Authority => Chain?.Authority;

    /// <summary>What names a certificate in audit and diagnosis: the first 16 hex digits of its SHA-256.</summary>
    public static string FingerprintOf(X509Certificate2 certificate)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(certificate.RawDataMemory.Span, hash);
        return Convert.ToHexStringLower(hash[..8]);
    }
}
