using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Certificates;

namespace Sallyport.Tests.Executable.Certificates;

public sealed class TlsDirectoryTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void FirstStart_MakesThreeRootsAndAServerCertificate()
    {
        var files = Directory("localhost", "10.1.2.3").Load();

        Assert.Equal(
            ["device-root.crt", "device-root.key", "gateway-root.crt", "gateway-root.key", "server-root.crt", "server-root.key", "server.crt", "server.key"],
            System.IO.Directory.GetFiles(_directory["tls"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.All(System.IO.Directory.GetFiles(_directory["tls"], "*.key"), key => Assert.Equal(WholeFile.OwnerOnly, File.GetUnixFileMode(key)));
        Assert.True(files.Leaf.MatchesHostname("localhost"));
        Assert.True(files.Leaf.MatchesHostname("10.1.2.3"));
        Assert.Equal("1.3.6.1.5.5.7.3.1", Assert.Single(Assert.Single(files.Leaf.Extensions.OfType<X509EnhancedKeyUsageExtension>()).EnhancedKeyUsages.Cast<System.Security.Cryptography.Oid>()).Value);
        Assert.Equal("1.2.840.10045.3.1.7", files.Leaf.GetECDsaPublicKey()!.ExportParameters(false).Curve.Oid.Value);
    }

    [Fact]
    public void SecondStart_KeepsWhatIsThere()
    {
        var first = Directory("localhost").Load().Leaf.Thumbprint;

        Assert.Equal(first, Directory("localhost").Load().Leaf.Thumbprint);
        Assert.Null(Directory("localhost").LoadIfChanged());
    }

    [Fact]
    public void HostAdded_WithinTheConstraints_IssuesALeafOfTheSameRoot()
    {
        var before = Directory("localhost").Load().Leaf.Thumbprint;
        var root = File.ReadAllText(_directory["tls/server-root.crt"]);

        var leaf = Directory("localhost", "press.local").Load().Leaf;

        Assert.NotEqual(before, leaf.Thumbprint);
        Assert.True(leaf.MatchesHostname("press.local"));
        Assert.Equal(root, File.ReadAllText(_directory["tls/server-root.crt"]));
    }

    [Fact]
    public void HostAdded_OutsideTheConstraints_MakesANewRoot()
    {
        Directory("localhost").Load();
        var root = File.ReadAllText(_directory["tls/server-root.crt"]);

        var leaf = Directory("localhost", "hub.example.org").Load().Leaf;

        Assert.NotEqual(root, File.ReadAllText(_directory["tls/server-root.crt"]));
        AssertTrusted(leaf, expected: true);
    }

    [Fact]
    public void Leaf_ForANameThatTheRootDoesNotPermit_IsNotTrusted()
    {
        Directory("localhost").Load();
        using var root = X509Certificate2.CreateFromPemFile(_directory["tls/server-root.crt"], _directory["tls/server-root.key"]);

        AssertTrusted(Issue.Server(root, ["localhost"], _time.GetUtcNow()), expected: true);
        AssertTrusted(Issue.Server(root, ["bank.example"], _time.GetUtcNow()), expected: false);
        AssertTrusted(Issue.Server(root, ["203.0.113.9"], _time.GetUtcNow()), expected: false);
    }

    [Fact]
    public void Renewal_WhenAThirdOfTheLifeIsLeft_HappensByItself()
    {
        // A timer of its own: it would tick for every minute of two months.
        var timer = new FakeTimeProvider();
        using var certificate = new ServerCertificate(Directory("localhost"), timer, NullLogger.Instance);
        var before = certificate.Https;

        _time.Advance(TimeSpan.FromDays(59));
        timer.Advance(ServerCertificate.Interval);
        Assert.Same(before, certificate.Https);

        _time.Advance(TimeSpan.FromDays(2));
        timer.Advance(ServerCertificate.Interval);
        Assert.NotSame(before, certificate.Https);
        Assert.NotEqual(
            before.ServerCertificateContext!.TargetCertificate.Thumbprint, certificate.Https.ServerCertificateContext!.TargetCertificate.Thumbprint);
    }

    [Fact]
    public void ClockSetBack_BeforeTheCertificateBegins_IssuesAnother()
    {
        Directory("localhost").Load();
        var now = _time.GetUtcNow();
        _time.Advance(TimeSpan.FromDays(70));
        var first = Directory("localhost").Load().Leaf;
        var earlier = new FakeTimeProvider(now);

        var again = new TlsDirectory(_directory["tls"], ["localhost"], earlier, NullLogger.Instance).Load().Leaf;

        Assert.NotEqual(first.Thumbprint, again.Thumbprint);
    }

    [Fact]
    public void Root_NearItsEnd_IsReplaced()
    {
        Directory("localhost").Load();
        var root = File.ReadAllText(_directory["tls/server-root.crt"]);

        _time.Advance(Issue.RootLifetime - Issue.ServerLifetime);
        Directory("localhost").Load();

        Assert.NotEqual(root, File.ReadAllText(_directory["tls/server-root.crt"]));
    }

    private TlsDirectory Directory(params string[] hosts) => new(_directory["tls"], hosts, _time, NullLogger.Instance);

    private void AssertTrusted(X509Certificate2 leaf, bool expected)
    {
        using var chain = new X509Chain { ChainPolicy = { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck } };
        chain.ChainPolicy.CustomTrustStore.ImportFromPemFile(_directory["tls/server-root.crt"]);
        Assert.Equal(expected, chain.Build(leaf));
    }
}
