using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Certificates;

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
            RemoteCertificateValidationCallback = (_, _, chain, errors) => Fault(hostName, chain, errors) is { } fault ? throw new AuthenticationException(fault) : true,
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

    /// <summary>What is wrong with what the server showed, in words; null when nothing is.</summary>
    private static string? Fault(string hostName, X509Chain? chain, SslPolicyErrors errors)
    {
        if (chain is null || errors.HasFlag(SslPolicyErrors.RemoteCertificateNotAvailable))
            return "it showed no certificate";
        if (errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
            return $"its certificate leads to no root that is trusted, or is not a server's: {string.Join(", ", chain.ChainStatus.Select(status => status.Status).Distinct())}";
        if (errors is not SslPolicyErrors.None)
            return $"its certificate is not one of {hostName}";

        // The root is trusted for its key, not for what it says of itself.
        return chain.ChainElements.SkipLast(1).Select(element => WeakHash.Of(element.Certificate)).FirstOrDefault(weak => weak is not null) is { } hash
            ? $"its certificate, or an issuer of it, is signed with {hash}, under which signatures can be forged"
            : null;
    }
}
