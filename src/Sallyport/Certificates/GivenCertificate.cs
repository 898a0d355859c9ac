using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Certificates;
using Sallyport.Settings;

namespace Sallyport.Certificates;

/// <summary>
/// The server certificate that an operator gave; read again when its file changes. One that is not valid now is taken at the start, where there
/// is no better one, and not in the place of another. Used by one thread at a time.
/// </summary>
internal sealed class GivenCertificate(TlsSettings settings, TimeProvider time) : IServerCertificateSource
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";
    private const string AnyPurpose = "2.5.29.37.0";

    private byte[] _seen = [];

    public ServerCertificateFiles Load() => Read(mustBeValid: false) ?? throw new InvalidOperationException("the certificate was loaded before");

    public ServerCertificateFiles? LoadIfChanged() => Read(mustBeValid: true);

    private ServerCertificateFiles? Read(bool mustBeValid)
    {
        var certificates = File.ReadAllText(settings.CertificateFile!);
        var key = settings.KeyFile is null ? certificates : File.ReadAllText(settings.KeyFile);
        var hash = SHA256.HashData([.. System.Text.Encoding.UTF8.GetBytes(certificates), .. System.Text.Encoding.UTF8.GetBytes(key)]);
        if (hash.AsSpan().SequenceEqual(_seen))
            return null;

        var files = Parse(certificates, key);
        if (Fault(files.Leaf) is { } fault)
        {
            files.Leaf.Dispose();
            throw new CryptographicException($"'{settings.CertificateFile}' {fault}");
        }

        if (mustBeValid)
            RefuseInvalid(files.Leaf);
        _seen = hash;
        return files;
    }

    private ServerCertificateFiles Parse(string certificates, string key)
    {
        try
        {
            var leaf = X509Certificate2.CreateFromPem(certificates, key);
            var all = new X509Certificate2Collection();
            all.ImportFromPem(certificates);
            all[0].Dispose();
            all.RemoveAt(0);
            return new ServerCertificateFiles(leaf, all);
        }
        catch (Exception unusable) when (unusable is CryptographicException or ArgumentException)
        {
            throw new CryptographicException($"'{settings.CertificateFile}' with the key in '{settings.KeyFile ?? settings.CertificateFile}': {unusable.Message}", unusable);
        }
    }

    /// <summary>Why clients would refuse it, whoever they trust; null when they need not. Better said here than by each client's handshake.</summary>
    private static string? Fault(X509Certificate2 leaf)
    {
        var purposes = leaf.Extensions.OfType<X509EnhancedKeyUsageExtension>().SelectMany(extension => extension.EnhancedKeyUsages.Cast<Oid>()).Select(purpose => purpose.Value).ToList();
        if (purposes.Count > 0 && !purposes.Contains(ServerAuthentication) && !purposes.Contains(AnyPurpose))
            return $"is not a server's certificate: its extended key usage does not name server authentication{(purposes.Contains(ClientAuthentication) ? ", but that of a client (a device's certificate?)" : "")}";

        return WeakHash.Of(leaf) is { } hash && !leaf.SubjectName.RawData.AsSpan().SequenceEqual(leaf.IssuerName.RawData)
            ? $"is signed with {hash}, which clients refuse"
            : null;
    }

    private void RefuseInvalid(X509Certificate2 leaf)
    {
        var now = time.GetUtcNow().UtcDateTime;
        var (begins, ends) = (leaf.NotBefore.ToUniversalTime(), leaf.NotAfter.ToUniversalTime());
        if (begins <= now && now <= ends)
            return;

        leaf.Dispose();
        throw new CryptographicException(now > ends
            ? $"'{settings.CertificateFile}' ended on {ends:u}"
            : $"'{settings.CertificateFile}' begins only on {begins:u}");
    }
}
