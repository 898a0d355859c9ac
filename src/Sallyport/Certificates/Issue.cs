using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Certificates;

/// <summary>The certificates that the hub makes by itself: ECDSA P-256, SHA-256. Pure; storing them is <see cref="TlsDirectory"/>'s.</summary>
internal static class Issue
{
    public static readonly TimeSpan RootLifetime = TimeSpan.FromDays(3650);
    public static readonly TimeSpan ServerLifetime = TimeSpan.FromDays(90);

    // Devices without a battery-backed clock run behind; a certificate that starts now would not be valid yet for them.
    private static readonly TimeSpan Backdated = TimeSpan.FromDays(1);

    /// <summary>A self-signed root that signs end-entity certificates only.</summary>
    /// <param name="permitted">What it may sign; null for roots whose leaves carry no host names.</param>
    public static X509Certificate2 Root(string commonName, PermittedNames? permitted, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(Subject(commonName), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        if (permitted is not null)
            request.CertificateExtensions.Add(permitted.ToExtension());

        return request.CreateSelfSigned(now - Backdated, now + RootLifetime);
    }

    /// <summary>A server certificate with a subject alternative name for every host; good for nothing else (<c>serverAuth</c> only).</summary>
    public static X509Certificate2 Server(X509Certificate2 root, IReadOnlyList<string> hosts, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(Subject("Sallyport server"), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(root, includeKeyIdentifier: true, includeIssuerAndSerial: false));

        var names = new SubjectAlternativeNameBuilder();
        foreach (var host in hosts)
        {
            if (IPAddress.TryParse(host, out var address))
                names.AddIpAddress(address);
            else
                names.AddDnsName(host);
        }

        request.CertificateExtensions.Add(names.Build());

        using var certificate = request.Create(root, now - Backdated, now + ServerLifetime, SerialNumber());
        return certificate.CopyWithPrivateKey(key);
    }

    /// <summary>A device's certificate, good for nothing else (<c>clientAuth</c> only). Who asks for it keeps the key.</summary>
    /// <param name="commonName">The id: <c>device</c> or <c>device/module</c>.</param>
    /// <param name="key">The public half.</param>
    public static X509Certificate2 Device(X509Certificate2 root, string commonName, PublicKey key, TimeSpan lifetime, DateTimeOffset now)
    {
        var request = new CertificateRequest(Subject(commonName), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.2")], critical: false));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(key, critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(root, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        var end = now + lifetime;
        return request.Create(root, now - Backdated, end < root.NotAfter ? end : root.NotAfter, SerialNumber());
    }

    private static X500DistinguishedName Subject(string commonName)
    {
        var builder = new X500DistinguishedNameBuilder();
        builder.AddCommonName(commonName);
        return builder.Build();
    }

    /// <summary>127 random bits: positive as DER wants it, and not to be guessed.</summary>
    private static byte[] SerialNumber()
    {
        var serial = RandomNumberGenerator.GetBytes(16);
        serial[0] = (byte)((serial[0] & 0x7f) | 0x40);
        return serial;
    }
}
