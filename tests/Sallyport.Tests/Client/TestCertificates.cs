using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Client;

/// <summary>A throw-away root with one server certificate for the given name and loopback.</summary>
public sealed class TestCertificates : IDisposable
{
    public const string ServerAuth = "1.3.6.1.5.5.7.3.1";
    public const string ClientAuth = "1.3.6.1.5.5.7.3.2";

    /// <param name="purpose">The extended key usage; null for none.</param>
    public TestCertificates(string hostName, string? purpose = ServerAuth, bool isSignedWithSha1 = false)
    {
        using var rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var rootRequest = new CertificateRequest("CN=test root", rootKey, HashAlgorithmName.SHA256);
        rootRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        rootRequest.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        using var root = rootRequest.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=test server", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(hostName);
        request.CertificateExtensions.Add(names.Build());
        if (purpose is not null)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        using var leaf = request.Create(
            root.SubjectName, isSignedWithSha1 ? new Sha1Signature(rootKey) : X509SignatureGenerator.CreateForECDsa(rootKey), DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddHours(12), RandomNumberGenerator.GetBytes(8));
        using var withKey = leaf.CopyWithPrivateKey(key);
        ServerKeyPem = key.ExportPkcs8PrivateKeyPem();
        Server = X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), null);

        RootFile = Path.Combine(Directory.CreateTempSubdirectory("sallyport-test-").FullName, "root.pem");
        File.WriteAllText(RootFile, root.ExportCertificatePem());
    }

    public X509Certificate2 Server { get; }

    public string ServerKeyPem { get; }

    public string RootFile { get; }

    public void Dispose()
    {
        Server.Dispose();
        Directory.Delete(Path.GetDirectoryName(RootFile)!, recursive: true);
    }
}
