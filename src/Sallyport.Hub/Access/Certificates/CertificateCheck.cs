using System.Security.Cryptography;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>What came of a certificate: <see cref="Fault"/> in words, or by what it is good and until when.</summary>
internal readonly record struct CertificateVerdict(string? Fault, CertificateUse? Use, DateTimeOffset NotAfter)
{
    public static CertificateVerdict Refuse(string fault) => new(fault, null, default);
}

/// <summary>
/// Decides whether a certificate that was shown proves an identity. Asked at every CONNECT and every request, also on a resumed TLS session.
/// Thread-safe.
/// </summary>
internal static class CertificateCheck
{
    /// <param name="credentials">Null when there is no such identity: its certificate is looked at all the same, so that a stranger cannot tell by the time that takes.</param>
    public static CertificateVerdict Decide(
        Identity identity, IdentityCredentials? credentials, PresentedCertificate shown, TrustedAuthorities authorities, DateTimeOffset now)
    {
        try
        {
            if (LeafRules.Fault(shown.Leaf, now) is { } fault)
                return CertificateVerdict.Refuse(fault);

            return credentials?.Authentication is IdentityAuthentication.SelfSigned
                ? ByThumbprint(credentials, shown)
                : ByAuthority(identity, shown, authorities, now);
        }
        catch (CryptographicException)
        {
            return CertificateVerdict.Refuse("the certificate is malformed");
        }
    }

    private static CertificateVerdict ByThumbprint(IdentityCredentials credentials, PresentedCertificate shown) =>
        credentials.Thumbprints.Match(shown.Leaf)
            ? new CertificateVerdict(null, new CertificateUse(null), LeafRules.NotAfter(shown.Leaf))
            : CertificateVerdict.Refuse("the certificate has neither the primary nor the secondary thumbprint that the identity is registered with");

    private static CertificateVerdict ByAuthority(Identity identity, PresentedCertificate shown, TrustedAuthorities authorities, DateTimeOffset now)
    {
        if (LeafRules.IssuedFault(shown.Leaf, identity) is { } fault)
            return CertificateVerdict.Refuse(fault);
        if (authorities.Verify(shown, now, out var missing) is not { } chain)
            return CertificateVerdict.Refuse(missing);
        if (chain.ValidityFault(now) is { } expired)
            return CertificateVerdict.Refuse(expired);

        var authority = authorities.Find(chain.Authority)!;
        if (!identity.DeviceId.StartsWith(authority.Record.IdPrefix, StringComparison.Ordinal))
            return CertificateVerdict.Refuse($"the authority {chain.Authority} vouches only for ids that begin with {authority.Record.IdPrefix}");
        if (!authority.Devices.CoversDevice(identity.DeviceId))
            return CertificateVerdict.Refuse($"the authority {chain.Authority} vouches only for devices with the tags {string.Join(", ", authority.Devices.DeviceTags)}");

        return authority.Lists.Fault(chain, authority.Record.Revocation, now) is { } revoked
            ? CertificateVerdict.Refuse(revoked)
            : new CertificateVerdict(null, new CertificateUse(chain), chain.NotAfter(shown.Leaf));
    }
}
