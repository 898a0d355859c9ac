using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Client.Access;

/// <summary>How a client verifies the hub: chain and name always, against the system's roots or the hub's own.</summary>
internal static class ServerTrust
{
    /// <param name="hostName">The name that the certificate must carry.</param>
    /// <param name="caFile">PEM file of the only roots to trust; null for the system's.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="CryptographicException">The file holds no certificate.</exception>
    public static SslClientAuthenticationOptions Options(string hostName, string? caFile)
    {
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = hostName,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };
        if (caFile is null)
            return options;

        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            // A self-hosted root publishes no revocation list.
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.ImportFromPemFile(caFile);
        if (policy.CustomTrustStore.Count == 0)
            throw new CryptographicException($"{caFile} holds no certificate in PEM form");
        options.CertificateChainPolicy = policy;
        return options;
    }
}
