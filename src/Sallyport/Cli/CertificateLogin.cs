using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary>An operator's client certificate as a login: <c>HostName=…;ClientCertificate=FILE;ClientKey=FILE</c>. Names files and holds no secret.</summary>
/// <param name="KeyFile">May be the certificate's own.</param>
internal sealed record CertificateLogin(string HostName, string CertificateFile, string KeyFile)
{
    private const string CertificateName = "ClientCertificate";
    private const string KeyName = "ClientKey";

    /// <summary>Whether a login is meant to be one of these.</summary>
    public static bool IsOne(string text) => text.Contains($"{CertificateName}=", StringComparison.OrdinalIgnoreCase);

    /// <param name="source">For messages.</param>
    /// <param name="directory">What relative paths are relative to.</param>
    /// <exception cref="WrongUsageException">It is none.</exception>
    public static CertificateLogin Parse(string source, string text, string directory)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var part in text.Trim().Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? "" : part[..equals].Trim();
            if (name.ToUpperInvariant() is not ("HOSTNAME" or "CLIENTCERTIFICATE" or "CLIENTKEY") || equals == part.Length - 1 || !values.TryAdd(name, part[(equals + 1)..].Trim()))
                throw Wrong();
        }

        if (!values.TryGetValue("HostName", out var host) || Uri.CheckHostName(host) is UriHostNameType.Unknown || !values.TryGetValue(CertificateName, out var certificate))
            throw Wrong();
        return new CertificateLogin(host, Path.GetFullPath(certificate, directory), Path.GetFullPath(values.GetValueOrDefault(KeyName, certificate), directory));

        WrongUsageException Wrong() => new($"{source}: a login by certificate has each of HostName=…;{CertificateName}=FILE;{KeyName}=FILE once and nothing else.");
    }

    /// <exception cref="FailedException">The certificate or its key cannot be used, or others can read the key.</exception>
    /// <exception cref="IOException">The file of the root cannot be read.</exception>
    public ServiceClient Connect(ServiceClientOptions options)
    {
        const UnixFileMode Others = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;
        try
        {
            if ((File.GetUnixFileMode(KeyFile) & Others) is not UnixFileMode.None)
                throw new FailedException($"The key {KeyFile} is open to other users of this machine: close it with chmod 600, and make another key if somebody may have read this one.");

            // Whatever the client then cannot read is not these two.
            X509Certificate2.CreateFromPemFile(CertificateFile, KeyFile).Dispose();
        }
        catch (Exception unusable) when (unusable is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            throw new FailedException(
                $"The client certificate {CertificateFile} with the key {KeyFile} cannot be used ({unusable.Message.TrimEnd('.')}): both are PEM, the key without a password.", unusable);
        }

        return ServiceClient.OfOperator(HostName, options with { ClientCertificateFile = CertificateFile, ClientKeyFile = KeyFile });
    }
}
