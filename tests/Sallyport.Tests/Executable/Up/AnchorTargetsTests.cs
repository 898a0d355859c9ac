using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Settings;
using Sallyport.Tests.Executable.Cli;

namespace Sallyport.Tests.Executable.Up;

/// <summary>A hub whose anchors go to collectors of this test, over real TLS.</summary>
public sealed class AnchorTargetsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly X509Certificate2 _certificate;

    public AnchorTargetsTests()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=collector", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        using var made = request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddHours(-1), TimeProvider.System.GetUtcNow().AddDays(1));
        _certificate = X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pkcs12), null);
        File.WriteAllText(_directory["root.pem"], _certificate.ExportCertificatePem());
        _listener.Start();
    }

    private int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public void Dispose()
    {
        _listener.Dispose();
        _certificate.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Syslog_IsSentTheHeadInRfc5425Frames_ThatVerifyTakesAsTheyAre()
    {
        await using var hub = await StartAsync(new AuditSettings { AnchorSyslog = $"localhost:{Port}" });

        var frame = await ReceiveAsync(null);

        var space = frame.IndexOf(' ', StringComparison.Ordinal);
        Assert.Equal(frame.Length - space - 1, int.Parse(frame.AsSpan(0, space), CultureInfo.InvariantCulture));
        Assert.Matches(@"^<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ sallyport \d+ audit-anchor - \{""format"":""sallyport-audit-anchor""", frame[(space + 1)..]);
        await File.WriteAllTextAsync(_directory["collected"], frame, TestContext.Current.CancellationToken);
        var verified = await CliResult.OfAsync(["audit", "verify", "--data", hub.Data, "--anchor", _directory["collected"]]);
        Assert.Equal("", verified.Error);
        Assert.Equal(1, JsonNode.Parse(verified.Out)!["anchors"]!.GetValue<int>());
    }

    [Fact]
    public async Task Webhook_IsPostedTheHeadAsJson_AndAFailureIsSeenInStatus()
    {
        await using var hub = await StartAsync(new AuditSettings { AnchorWebhook = new Uri($"https://localhost:{Port}/anchors") });

        var refused = await ReceiveAsync("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        var taken = await ReceiveAsync("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("POST /anchors HTTP/1.1\r\n", refused, StringComparison.Ordinal);
        Assert.Contains("\r\n\r\n{\"format\":\"sallyport-audit-anchor\"", taken, StringComparison.Ordinal);
        using var owner = hub.Owner();
        var target = (await owner.SendAsync(HttpMethod.Get, "manage/v1/status"))!["anchorTargets"]!.AsArray().Single()!;
        Assert.Equal("webhook localhost", target["target"]!.GetValue<string>());
    }

    [Fact]
    public async Task Collector_OfAnotherRoot_GetsNothing()
    {
        using var other = new AnchorTargetsTests();
        await using var hub = await StartAsync(new AuditSettings { AnchorSyslog = $"localhost:{other.Port}" });

        await Assert.ThrowsAnyAsync<Exception>(() => other.ReceiveAsync(null));

        using var owner = hub.Owner();
        string? error = null;
        while (error is null)
            error = (await owner.SendAsync(HttpMethod.Get, "manage/v1/status"))!["anchorTargets"]!.AsArray().Single()!["lastError"]?.GetValue<string>();
        Assert.Contains("certificate", error, StringComparison.OrdinalIgnoreCase);
    }

    private Task<TestHub> StartAsync(AuditSettings audit) =>
        TestHub.StartAsync(settings => settings with { Audit = audit, Outgoing = settings.Outgoing with { RootsFile = _directory["root.pem"] } });

    /// <summary>What the next connection says, up to its end or to the end of its JSON.</summary>
    private async Task<string> ReceiveAsync(string? answer)
    {
        var cancel = TestContext.Current.CancellationToken;
        using var client = await _listener.AcceptTcpClientAsync(cancel);
        await using var tls = new SslStream(client.GetStream());
        await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = _certificate }, cancel);
        var text = new StringBuilder();
        var buffer = new byte[4096];
        int read;
        while ((read = await tls.ReadAsync(buffer, cancel)) > 0)
        {
            text.Append(Encoding.ASCII.GetString(buffer, 0, read));
            if (answer is not null && text[^1] == '}')
                break;
        }

        Assert.True(answer is not null || text.Length > 0, "nothing came");
        if (answer is not null)
            await tls.WriteAsync(Encoding.ASCII.GetBytes(answer), cancel);
        await tls.ShutdownAsync();
        return text.ToString();
    }
}
