using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Bench;

/// <summary>A self-signed P-256 certificate for the probe.</summary>
internal static class ThrowAwayCertificate
{
    public static (string CertificateFile, string KeyFile) Write(string directory)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(7));
        var (certificateFile, keyFile) = (Path.Combine(directory, "probe.crt"), Path.Combine(directory, "probe.key"));
        File.WriteAllText(certificateFile, certificate.ExportCertificatePem());
        File.WriteAllText(keyFile, key.ExportPkcs8PrivateKeyPem());
        return (certificateFile, keyFile);
    }
}
