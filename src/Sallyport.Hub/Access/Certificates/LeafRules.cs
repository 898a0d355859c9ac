using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>
/// What a device's own certificate must be, whoever issued it (RFC 5280). Each rule gives the fault in words, for audit and diagnosis; null
/// when there is none. Pure.
/// </summary>
internal static class LeafRules
{
    /// <summary>A certificate with a 4096-bit RSA key and the usual extensions takes 2 KiB.</summary>
    public const int MaxBytes = 8 * 1024;

    private const string CommonName = "2.5.4.3";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const int MaxShownLength = 80;

    /// <summary>What every leaf must fulfil, also one that is registered by its thumbprint.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">An extension is malformed.</exception>
    public static string? Fault(X509Certificate2 leaf, DateTimeOffset now) =>
        SizeFault(leaf) ?? ValidityFault(leaf, now, "the certificate") ?? UsageFault(leaf);

    /// <summary>What a leaf must fulfil beyond that when an authority vouches for it.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">An extension is malformed.</exception>
    public static string? IssuedFault(X509Certificate2 leaf, Identity identity)
    {
        if (leaf.Version != 3)
            return $"the certificate is of X.509 version {leaf.Version}, which cannot say what it is for; 3 is needed";
        if (leaf.Extensions.OfType<X509BasicConstraintsExtension>().Any(constraints => constraints.CertificateAuthority))
            return "the certificate is that of a certificate authority, not of a device";

        var name = CommonNameOf(leaf.SubjectName);
        if (name is null)
            return "the certificate's subject does not have exactly one common name";
        return name == identity.ToString() ? null : $"the certificate's common name is {Shown(name)}, not the id of the identity";
    }

    /// <summary>The one common name; null when there is none, or more than one.</summary>
    public static string? CommonNameOf(X500DistinguishedName subject)
    {
        string? found = null;
        foreach (var part in subject.EnumerateRelativeDistinguishedNames())
        {
            if (part.HasMultipleElements)
                return null;
            if (part.GetSingleElementType().Value != CommonName)
                continue;
            if (found is not null)
                return null;
            found = part.GetSingleElementValue();
        }

        return found;
    }

    public static string? ValidityFault(X509Certificate2 certificate, DateTimeOffset now, string which)
    {
        var (from, until) = (NotBefore(certificate), NotAfter(certificate));
        if (now < from)
            return $"{which} is not valid before {from:u}";
        return now > until ? $"{which} expired at {until:u}" : null;
    }

    public static DateTimeOffset NotBefore(X509Certificate2 certificate) => new(certificate.NotBefore.ToUniversalTime());

    public static DateTimeOffset NotAfter(X509Certificate2 certificate) => new(certificate.NotAfter.ToUniversalTime());

    /// <summary>Something that a stranger wrote, fit for a line of the log.</summary>
    public static string Shown(string text)
    {
        var shown = new string([.. text.Take(MaxShownLength).Select(c => char.IsControl(c) || char.IsSurrogate(c) || char.GetUnicodeCategory(c) is UnicodeCategory.Format ? '\uFFFD' : c)]);
        return $"'{shown}'{(text.Length > MaxShownLength ? "…" : "")}";
    }

    private static string? SizeFault(X509Certificate2 leaf) =>
        leaf.RawDataMemory.Length > MaxBytes ? $"the certificate has {leaf.RawDataMemory.Length} bytes, more than {MaxBytes}" : null;

    private static string? UsageFault(X509Certificate2 leaf)
    {
        foreach (var extension in leaf.Extensions)
        {
            switch (extension)
            {
                case X509EnhancedKeyUsageExtension purposes when !purposes.EnhancedKeyUsages.Cast<System.Security.Cryptography.Oid>().Any(purpose => purpose.Value == ClientAuthentication):
                    return "the certificate's extended key usage does not name client authentication";
                case X509KeyUsageExtension usage when !usage.KeyUsages.HasFlag(X509KeyUsageFlags.DigitalSignature):
                    return "the certificate's key usage does not name digital signatures";
                default:
                    break;
            }
        }

        return null;
    }
}
