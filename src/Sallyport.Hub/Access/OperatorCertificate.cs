using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Access;

/// <summary>
/// The client certificate that is an operator's credential, known by its SHA-256. Whoever issued it is not asked: whoever registers it had it
/// in hand. Immutable.
/// </summary>
public sealed class OperatorCertificate
{
    private OperatorCertificate(string thumbprint, string? sha1, DateTimeOffset? ends)
    {
        Thumbprint = thumbprint;
        Sha1 = sha1;
        Ends = ends;
    }

    /// <summary>SHA-256, 64 upper-case hex digits.</summary>
    public string Thumbprint { get; }

    /// <summary>Devices may be registered by it; null when the certificate itself was not given.</summary>
    internal string? Sha1 { get; }

    /// <summary>When the certificate ends; null when it was not given.</summary>
    internal DateTimeOffset? Ends { get; }

    /// <summary>By its SHA-256 alone: what the certificate is shows when it is used.</summary>
    /// <exception cref="HubException">400: not 64 hex digits.</exception>
    public static OperatorCertificate Of(string thumbprint) =>
        thumbprint.Length == 2 * SHA256.HashSizeInBytes && thumbprint.All(char.IsAsciiHexDigit)
            ? new OperatorCertificate(thumbprint.ToUpperInvariant(), null, null)
            : throw new HubException(HubErrors.ArgumentInvalid, "thumbprint: the SHA-256 of the certificate is needed, 64 hex digits");

    /// <summary>Reads a certificate and asks whether it could be an operator's.</summary>
    /// <param name="certificate">PEM or DER.</param>
    /// <param name="authorities">Whatever these vouch for is a device's.</param>
    /// <exception cref="HubException">400: it is none, or not fit.</exception>
    public static OperatorCertificate Read(byte[] certificate, CertificateAuthorities authorities, DateTimeOffset now)
    {
        try
        {
            using var leaf = certificate.Length <= 2 * LeafRules.MaxBytes ? X509CertificateLoader.LoadCertificate(certificate) : throw Unfit($"has {certificate.Length} bytes, more than {LeafRules.MaxBytes}");
            if (LeafRules.Fault(leaf, now) is { } fault)
                throw new HubException(HubErrors.ArgumentInvalid, $"certificate: {fault}");
            if (DeviceFault(leaf, authorities.Current, now) is { } ofDevice)
                throw new HubException(HubErrors.ArgumentInvalid, $"certificate: {ofDevice}");

            return new OperatorCertificate(ThumbprintOf(leaf), leaf.Thumbprint, LeafRules.NotAfter(leaf));
        }
        catch (CryptographicException)
        {
            throw Unfit("is no X.509 certificate in PEM or DER");
        }

        static HubException Unfit(string why) => new(HubErrors.ArgumentInvalid, $"certificate: it {why}");
    }

    internal static string ThumbprintOf(X509Certificate2 certificate) => certificate.GetCertHashString(HashAlgorithmName.SHA256);

    /// <summary>Why a certificate belongs to devices and not to an operator; null when nothing says so.</summary>
    /// <exception cref="CryptographicException">It is malformed.</exception>
    internal static string? DeviceFault(X509Certificate2 leaf, TrustedAuthorities authorities, DateTimeOffset now)
    {
        if (authorities.All.FirstOrDefault(authority => authority.Certificate.RawDataMemory.Span.SequenceEqual(leaf.RawDataMemory.Span)) is { } same)
            return $"the certificate is that of the authority {same.Record.Name}";

        return authorities.Verify(new PresentedCertificate(leaf, []), now, out _) is { } chain
            ? $"the certificate is a device's: the authority {chain.Authority} vouches for it, and what vouches for devices makes no operators"
            : null;
    }
}
