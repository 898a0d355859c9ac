using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Settings;

namespace Sallyport.Certificates;

/// <summary>
/// The server certificate that an operator gave; read again when its file changes. One that is not valid now is taken at the start, where there
/// is no better one, and not in the place of another. Used by one thread at a time.
/// </summary>
internal sealed class GivenCertificate(TlsSettings settings, TimeProvider time) : IServerCertificateSource
{
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
