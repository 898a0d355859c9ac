using System.Formats.Asn1;
using System.Numerics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access.Certificates;

namespace Sallyport.Tests.Hub.Access.Certificates;

/// <summary>An authority of a test: makes good certificates, and every kind of bad one.</summary>
internal sealed class TestAuthority
{
    public const string ClientAuth = "1.3.6.1.5.5.7.3.2";
    public const string ServerAuth = "1.3.6.1.5.5.7.3.1";

    private readonly DateTimeOffset _now;

    private TestAuthority(X509Certificate2 certificate, TestAuthority? parent, DateTimeOffset now)
    {
        Certificate = certificate;
        Parent = parent;
        _now = now;
    }

    /// <summary>With its key.</summary>
    public X509Certificate2 Certificate { get; }

    public TestAuthority? Parent { get; }

    public byte[] Pem => System.Text.Encoding.ASCII.GetBytes(Certificate.ExportCertificatePem());

    public static TestAuthority Root(string name, DateTimeOffset now, ECDsa? key = null)
    {
        var request = Request($"CN={name}", key ?? ECDsa.Create(ECCurve.NamedCurves.nistP256));
        AddAuthority(request, null);
        return new TestAuthority(request.CreateSelfSigned(now.AddDays(-30), now.AddDays(3000)), null, now);
    }

    /// <summary>An authority that this one vouches for.</summary>
    public TestAuthority Below(string name, DateTimeOffset? notAfter = null, int? pathLength = null, string? purpose = null, bool isSignedWithSha1 = false)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request($"CN={name}", key);
        AddAuthority(request, pathLength);
        if (purpose is not null)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        var certificate = Sign(request, _now.AddDays(-20), notAfter ?? _now.AddDays(2000), isSignedWithSha1);
        return new TestAuthority(certificate.CopyWithPrivateKey(key), this, _now);
    }

    /// <summary>A device's certificate with its key; each parameter makes it bad in one way.</summary>
    public X509Certificate2 Leaf(
        string commonName, DateTimeOffset? notBefore = null, DateTimeOffset? notAfter = null, string? purpose = ClientAuth,
        X509KeyUsageFlags? usage = X509KeyUsageFlags.DigitalSignature, bool isAuthority = false, int paddingBytes = 0, string? subject = null,
        bool isSignedWithSha1 = false, string? alternativeName = null)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = Request(subject ?? $"CN=\"{commonName}\"", key);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(isAuthority, false, 0, true));
        if (usage is { } flags)
            request.CertificateExtensions.Add(new X509KeyUsageExtension(flags, true));
        if (purpose is not null)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        if (alternativeName is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(alternativeName);
            request.CertificateExtensions.Add(names.Build());
        }

        if (paddingBytes > 0)
            request.CertificateExtensions.Add(new X509Extension("1.3.6.1.4.1.55555.1", RandomNumberGenerator.GetBytes(paddingBytes), false));
        return Sign(request, notBefore ?? _now.AddDays(-10), notAfter ?? _now.AddDays(300), isSignedWithSha1).CopyWithPrivateKey(key);
    }

    /// <summary>A leaf of X.509 version 1: it has no extensions, so it cannot say what it is for.</summary>
    public X509Certificate2 LeafOfVersion1(string commonName)
    {
        using var issuer = Certificate.GetECDsaPrivateKey()!;
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var generator = X509SignatureGenerator.CreateForECDsa(issuer);
        var body = new AsnWriter(AsnEncodingRules.DER);
        using (body.PushSequence())
        {
            body.WriteInteger(4711);
            body.WriteEncodedValue(generator.GetSignatureAlgorithmIdentifier(HashAlgorithmName.SHA256));
            body.WriteEncodedValue(Certificate.SubjectName.RawData);
            using (body.PushSequence())
            {
                body.WriteUtcTime(_now.AddDays(-1));
                body.WriteUtcTime(_now.AddDays(30));
            }

            body.WriteEncodedValue(new X500DistinguishedName($"CN={commonName}").RawData);
            body.WriteEncodedValue(key.ExportSubjectPublicKeyInfo());
        }

        var signed = body.Encode();
        var whole = new AsnWriter(AsnEncodingRules.DER);
        using (whole.PushSequence())
        {
            whole.WriteEncodedValue(signed);
            whole.WriteEncodedValue(generator.GetSignatureAlgorithmIdentifier(HashAlgorithmName.SHA256));
            whole.WriteBitString(generator.SignData(signed, HashAlgorithmName.SHA256));
        }

        return X509CertificateLoader.LoadCertificate(whole.Encode()).CopyWithPrivateKey(key);
    }

    /// <summary>What a leaf shows together with everything between it and the root.</summary>
    public PresentedCertificate Show(X509Certificate2 leaf) => new(leaf, Between());

    /// <summary>The authorities from this one upwards, without the root.</summary>
    public IReadOnlyList<X509Certificate2> Between() => Parent is null ? [] : [Certificate, .. Parent.Between()];

    /// <summary>A revocation list, DER.</summary>
    public byte[] Revoke(IEnumerable<X509Certificate2> revoked, int number = 1, DateTimeOffset? thisUpdate = null, DateTimeOffset? nextUpdate = null)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (var certificate in revoked)
            list.AddEntry(certificate.SerialNumberBytes.Span, _now.AddDays(-1));
        return list.Build(Certificate, new BigInteger(number), nextUpdate ?? _now.AddDays(7), HashAlgorithmName.SHA256, thisUpdate: thisUpdate ?? _now.AddDays(-1));
    }

    /// <summary>A certificate that this authority's key signs though it is not one that may issue.</summary>
    public X509Certificate2 Sign(CertificateRequest request, DateTimeOffset notBefore, DateTimeOffset notAfter, bool withSha1 = false)
    {
        using var key = Certificate.GetECDsaPrivateKey()!;
        var serial = RandomNumberGenerator.GetBytes(12);
        serial[0] = 0x41;
        return request.Create(Certificate.SubjectName, withSha1 ? new Sha1Signature(key) : X509SignatureGenerator.CreateForECDsa(key), notBefore, notAfter, serial);
    }

    private static CertificateRequest Request(string subject, ECDsa key) => new(subject, key, HashAlgorithmName.SHA256);

    private static void AddAuthority(CertificateRequest request, int? pathLength)
    {
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, pathLength is not null, pathLength ?? 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
    }
}
