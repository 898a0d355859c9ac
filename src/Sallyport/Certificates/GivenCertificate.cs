using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Settings;

namespace Sallyport.Certificates;

/// <summary>The server certificate that an operator gave; read again when its file changes. Used by one thread at a time.</summary>
internal sealed class GivenCertificate(TlsSettings settings) : IServerCertificateSource
{
    private byte[] _seen = [];

    public ServerCertificateFiles Load() => LoadIfChanged() ?? throw new InvalidOperationException("the certificate was loaded before");

    public ServerCertificateFiles? LoadIfChanged()
    {
        var certificates = File.ReadAllText(settings.CertificateFile!);
        var key = settings.KeyFile is null ? certificates : File.ReadAllText(settings.KeyFile);
        var hash = SHA256.HashData([.. System.Text.Encoding.UTF8.GetBytes(certificates), .. System.Text.Encoding.UTF8.GetBytes(key)]);
        if (hash.AsSpan().SequenceEqual(_seen))
            return null;

        var leaf = X509Certificate2.CreateFromPem(certificates, key);
        var all = new X509Certificate2Collection();
        all.ImportFromPem(certificates);
        all[0].Dispose();
        all.RemoveAt(0);
        _seen = hash;
        return new ServerCertificateFiles(leaf, all);
    }
}
