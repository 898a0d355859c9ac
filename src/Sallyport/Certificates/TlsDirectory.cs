using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;

namespace Sallyport.Certificates;

/// <summary>
/// The generated certificates of one hub, in <c>DIR/tls</c>: three roots (server, device, gateway), each <c>NAME-root.crt</c> with
/// <c>NAME-root.key</c>, and the server's own <c>server.crt</c> with <c>server.key</c>. Keys have mode 0600.
/// Used by one thread at a time, under the data directory's lock.
/// </summary>
/// <param name="directory"><c>DIR/tls</c>.</param>
/// <param name="hosts">The names and addresses that the server certificate must carry.</param>
internal sealed class TlsDirectory(string directory, IReadOnlyList<string> hosts, TimeProvider time, ILogger log) : IServerCertificateSource
{
    /// <summary>A third of the life is left for whoever notices that renewal fails.</summary>
    public static readonly TimeSpan RenewBefore = Issue.ServerLifetime / 3;

    private const string ServerRoot = "server-root";
    private const string Server = "server";
    private const string DeviceRootName = "device-root";
    private const string GatewayRootName = "gateway-root";

    /// <summary>What clients are told to trust.</summary>
    public string CaFile => CertificatePath(ServerRoot);

    /// <summary>The path of the server root of a data directory, for offline reading.</summary>
    public static string CaFileOf(string dataDirectory) => Path.Combine(dataDirectory, "tls", ServerRoot + ".crt");

    /// <summary>The root that issues development certificates for devices, with its key; null when it was never made.</summary>
    /// <param name="directory"><c>DIR/tls</c>.</param>
    public static X509Certificate2? DeviceRoot(string directory) => TryRead(directory, DeviceRootName);

    /// <summary>The roots that never vouch for a device, those that there are.</summary>
    /// <param name="directory"><c>DIR/tls</c>.</param>
    public static IReadOnlyList<X509Certificate2> OtherRoots(string directory) =>
        [.. new[] { ServerRoot, GatewayRootName }.Select(name => Path.Combine(directory, name + ".crt")).Where(File.Exists).Select(X509CertificateLoader.LoadCertificateFromFile)];

    /// <summary>Makes whatever is missing, ended or does not fit the hosts.</summary>
    /// <returns>The server's certificate and key.</returns>
    /// <exception cref="IOException">A file could not be read or written.</exception>
    /// <exception cref="System.Security.Cryptography.CryptographicException">A file does not hold a certificate or key.</exception>
    public ServerCertificateFiles Load() => LoadOrMake(out _);

    /// <inheritdoc/>
    public ServerCertificateFiles? LoadIfChanged()
    {
        var files = LoadOrMake(out var isNew);
        if (isNew)
            return files;

        files.Leaf.Dispose();
        return null;
    }

    private ServerCertificateFiles LoadOrMake(out bool isNew)
    {
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        MakeRootWhenMissing(DeviceRootName, "Sallyport device root");
        MakeRootWhenMissing(GatewayRootName, "Sallyport gateway root");

        var now = time.GetUtcNow();
        using var root = ServerRootFor(now);
        var leaf = TryRead(Server);
        isNew = leaf is null || !Fits(leaf, root, now);
        if (isNew)
        {
            leaf?.Dispose();
            leaf = Issue.Server(root, hosts, now);
            Write(Server, leaf);
            log.ServerCertificateIssued(string.Join(", ", hosts), leaf.NotAfter.ToUniversalTime());
        }

        return new ServerCertificateFiles(leaf!, []);
    }

    private void MakeRootWhenMissing(string name, string commonName)
    {
        if (File.Exists(CertificatePath(name)))
            return;

        using var root = Issue.Root(commonName, permitted: null, time.GetUtcNow());
        Write(name, root);
    }

    private X509Certificate2 ServerRootFor(DateTimeOffset now)
    {
        var root = TryRead(ServerRoot);
        if (root is not null && root.NotAfter.ToUniversalTime() > now + Issue.ServerLifetime && hosts.All(PermittedNames.Of(root).Permits))
            return root;

        if (root is not null)
            log.ServerRootReplaced(CaFile);
        root?.Dispose();
        root = Issue.Root("Sallyport server root", PermittedNames.For(hosts), now);
        Write(ServerRoot, root);
        return root;
    }

    private bool Fits(X509Certificate2 leaf, X509Certificate2 root, DateTimeOffset now)
    {
        if (leaf.NotBefore.ToUniversalTime() > now || leaf.NotAfter.ToUniversalTime() - RenewBefore <= now)
            return false;

        var issuer = leaf.Extensions.OfType<X509AuthorityKeyIdentifierExtension>().Single().KeyIdentifier!.Value;
        var rootKey = root.Extensions.OfType<X509SubjectKeyIdentifierExtension>().Single().SubjectKeyIdentifierBytes;
        return issuer.Span.SequenceEqual(rootKey.Span) && hosts.All(host => leaf.MatchesHostname(host, allowWildcards: false, allowCommonName: false));
    }

    private X509Certificate2? TryRead(string name) => TryRead(directory, name);

    private static X509Certificate2? TryRead(string directory, string name)
    {
        var (certificate, key) = (Path.Combine(directory, name + ".crt"), Path.Combine(directory, name + ".key"));
        return File.Exists(certificate) && File.Exists(key) ? X509Certificate2.CreateFromPemFile(certificate, key) : null;
    }

    /// <summary>Key first: a certificate without its key is made again, a key without certificate is never looked at.</summary>
    private void Write(string name, X509Certificate2 certificate)
    {
        using var key = certificate.GetECDsaPrivateKey()!;
        WholeFile.Replace(KeyPath(name), key.ExportPkcs8PrivateKeyPem() + "\n", WholeFile.OwnerOnly);
        WholeFile.Replace(CertificatePath(name), certificate.ExportCertificatePem() + "\n", WholeFile.ReadableByAll);
    }

    private string CertificatePath(string name) => Path.Combine(directory, name + ".crt");

    private string KeyPath(string name) => Path.Combine(directory, name + ".key");
}
