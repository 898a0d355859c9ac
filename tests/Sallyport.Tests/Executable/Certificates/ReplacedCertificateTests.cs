using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Certificates;
using Sallyport.Settings;
using Sallyport.Tests.Executable.Bounds;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>The certificate files of an operator are replaced under a running hub, well or badly.</summary>
public sealed class ReplacedCertificateTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly X509Certificate2 _root;
    private readonly List<X509Certificate2> _made = [];
    private TestHub _hub = null!;

    public ReplacedCertificateTests()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=root", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        _root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(30));
        File.WriteAllText(_directory["root.pem"], _root.ExportCertificatePem());
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Write(Leaf());
        _hub = await TestHub.StartAsync(settings => settings with { Tls = Settings() });
    }

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _directory.Dispose();
        _root.Dispose();
        foreach (var made in _made)
            made.Dispose();
    }

    [Fact]
    public async Task Replaced_UnderConnections_TheyGoOnAndNewOnesSeeTheNewOne()
    {
        using var owner = _hub.Owner();
        var keys = new List<string>();
        foreach (var id in new[] { "d1", "d2" })
            keys.Add((string)(await owner.PutDeviceAsync(id, []))["authentication"]!["symmetricKey"]!["primaryKey"]!);
        await using var mqtt = await WireDevice.OpenAsync(_hub.Endpoints, "MQTT", "d1");
        await mqtt.ConnectAsync(keys[0], DateTimeOffset.UtcNow.AddHours(1));
        await using var webSocket = await WireDevice.OpenAsync(_hub.Endpoints, "MQTT-WS", "d2");
        await webSocket.ConnectAsync(keys[1], DateTimeOffset.UtcNow.AddHours(1));
        await using var https = await WireDevice.TlsAsync(_hub.Endpoints, _hub.Endpoints.HttpsPort);
        await ExpectLiveAsync(https);
        var before = https.RemoteCertificate!.GetCertHashString();

        var next = Leaf();
        Write(next);
        _hub.Host.Certificate.Reload();

        foreach (var port in new[] { _hub.Endpoints.HttpsPort, _hub.Endpoints.MqttsPort!.Value })
        {
            await using var handshake = await WireDevice.TlsAsync(_hub.Endpoints, port);
            Assert.Equal(next.GetCertHashString(), handshake.RemoteCertificate!.GetCertHashString());
        }

        await mqtt.PublishAsync("1");
        await webSocket.PublishAsync("1");
        await ExpectLiveAsync(https);
        Assert.NotEqual(next.GetCertHashString(), before);
    }

    public static TheoryData<string> Broken => ["garbage", "empty", "half", "key of another", "without key", "ended", "not begun", "gone"];

    [Theory]
    [MemberData(nameof(Broken))]
    public void Replaced_ByWhatCannotBeUsed_TheOldOneStaysAndTheLogSaysWhy(string how)
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        var log = new Lines();
        var first = Leaf();
        Write(first);
        using var certificate = new ServerCertificate(new GivenCertificate(Settings(), time), time, log);
        var inForce = certificate.Https;

        Break(how);
        time.Advance(ServerCertificate.Interval);

        Assert.Same(inForce, certificate.Https);
        var said = Assert.Single(log.Said);
        Assert.Equal(LogLevel.Error, said.Level);
        Assert.Contains("the present one stays in force", said.Message);
        Assert.Contains(_directory["server"], said.Message);
        if (how is "ended" or "not begun")
            Assert.Contains(how == "ended" ? "ended on" : "begins only on", said.Message);

        // Mended, it is taken at the next look.
        var mended = Leaf();
        Write(mended);
        time.Advance(ServerCertificate.Interval);
        Assert.Equal(mended.GetCertHashString(), certificate.Mqtts.ServerCertificateContext!.TargetCertificate.GetCertHashString());
    }

    private void Break(string how)
    {
        switch (how)
        {
            case "garbage":
                File.WriteAllText(_directory["server.crt"], "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n");
                break;
            case "empty":
                File.WriteAllText(_directory["server.crt"], "");
                break;
            case "half":
                File.WriteAllText(_directory["server.crt"], File.ReadAllText(_directory["server.crt"])[..200]);
                break;
            case "key of another":
                File.WriteAllText(_directory["server.crt"], Leaf().ExportCertificatePem());
                break;
            case "without key":
                File.WriteAllText(_directory["server.key"], "no key\n");
                break;
            case "ended":
                Write(Leaf(from: -10, until: -1));
                break;
            case "not begun":
                Write(Leaf(from: 1, until: 10));
                break;
            default:
                File.Delete(_directory["server.key"]);
                break;
        }
    }

    private TlsSettings Settings() => new() { CertificateFile = _directory["server.crt"], KeyFile = _directory["server.key"], CaFile = _directory["root.pem"] };

    private static async Task ExpectLiveAsync(SslStream https)
    {
        await https.WriteAsync("GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray(), Cancel);
        var answer = "";
        var some = new byte[1024];
        while (!answer.EndsWith(answer.Contains("chunked", StringComparison.Ordinal) ? "\r\n0\r\n\r\n" : "live\n", StringComparison.Ordinal))
            answer += Encoding.ASCII.GetString(some, 0, await https.ReadAsync(some, Cancel) is > 0 and var count ? count : throw new EndOfStreamException());
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
    }

    private X509Certificate2 Leaf(int from = -1, int until = 20)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using var bare = request.Create(_root, DateTimeOffset.UtcNow.AddDays(from), DateTimeOffset.UtcNow.AddDays(until), RandomNumberGenerator.GetBytes(8));
        var leaf = bare.CopyWithPrivateKey(key);
        _made.Add(leaf);
        return leaf;
    }

    private void Write(X509Certificate2 leaf)
    {
        using var key = leaf.GetECDsaPrivateKey()!;
        File.WriteAllText(_directory["server.crt"], leaf.ExportCertificatePem());
        File.WriteAllText(_directory["server.key"], key.ExportPkcs8PrivateKeyPem());
    }

    private sealed class Lines : ILogger
    {
        public List<(LogLevel Level, string Message)> Said { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Said.Add((logLevel, formatter(state, exception)));
    }
}
