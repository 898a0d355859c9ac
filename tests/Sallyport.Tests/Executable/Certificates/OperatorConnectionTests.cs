using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Tests.Executable.Bounds;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>Operators who come to a whole hub by certificate, over HTTPS.</summary>
public sealed class OperatorConnectionTests : IAsyncLifetime
{
    private readonly X509Certificate2 _alice = SelfSigned("alice");
    private TestHub _hub = null!;
    private CertificateDevices _devices = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _devices = new CertificateDevices(_hub);
        using var owner = _hub.Owner();
        await owner.SendAsync(
            HttpMethod.Put, "manage/v1/operators/alice",
            new JsonObject { ["rights"] = "registry-read, registry-write, access-manage, telemetry-read, audit-read", ["certificate"] = _alice.ExportCertificatePem() }, cancel: Cancel);
    }

    public async ValueTask DisposeAsync()
    {
        _alice.Dispose();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Operator_DoesWhatItHolds_OnRecordByNameAndCertificate_AndNothingElse()
    {
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(HttpMethod.Put, "devices/d1", _alice, """{"deviceId":"d1"}""")).Status);
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(HttpMethod.Get, "devices/d1", _alice)).Status);
        var (status, body) = await AskAsync(HttpMethod.Get, "manage/v1/connections", _alice);
        Assert.Equal((HttpStatusCode.Unauthorized, true), (status, body.Contains("IotHubUnauthorizedAccess", StringComparison.Ordinal)));
        Assert.DoesNotContain("connection-manage", body);

        var trail = await TrailAsync();
        Assert.Contains(trail, line => (string?)line["principal"] == "operator:alice" && (string?)line["credential"] == Fingerprint(_alice) && (string?)line["action"] == "device create" && (string?)line["reason"] == "");
        Assert.Contains(trail, line => (string?)line["target"] == "policy operator:alice" && (string?)line["credential"] == Fingerprint(_alice) && ((string)line["reason"]!).Contains("operator:alice does not hold connection-manage", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Certificate_UnknownExpiredOrOfADevice_IsRefusedTersely_AndDiagnosed()
    {
        var plant = TestAuthority.Root("plant", DateTimeOffset.UtcNow);
        await _devices.TrustAsync("plant", plant);
        await _devices.RegisterAsync("d1");
        using var expired = SelfSigned("expired", -1);
        using var stranger = SelfSigned("alice");
        var leaf = plant.Leaf("d1");
        using var owner = _hub.Owner();
        foreach (var (name, certificate) in new[] { ("expired", expired), ("leaf", leaf) })
            await owner.SendAsync(HttpMethod.Put, $"manage/v1/operators/{name}", new JsonObject { ["rights"] = "registry-read", ["thumbprint"] = certificate.GetCertHashString(HashAlgorithmName.SHA256) }, cancel: Cancel);

        foreach (var (certificate, subject, reason) in new[]
        {
            (stranger, "", "the certificate shown is no operator's"), (expired, "expired", "the certificate expired at"), (leaf, "leaf", "the authority plant vouches for it"),
        })
        {
            var (status, body) = await AskAsync(HttpMethod.Get, "devices/d1", certificate);
            Assert.Equal(HttpStatusCode.Unauthorized, status);
            Assert.Contains("ErrorCode:IotHubUnauthorized;Unauthorized\"", body);
            var history = (await owner.SendAsync(HttpMethod.Get, subject.Length == 0 ? "manage/v1/diagnosis/strangers" : $"manage/v1/operators/{subject}/diagnosis", cancel: Cancel))!.AsArray();
            Assert.Contains(history, attempt => (int)attempt!["code"]! == 401003 && ((string)attempt["reason"]!).Contains(reason, StringComparison.Ordinal) && (string?)attempt["credential"] == Fingerprint(certificate) && ((string)attempt["certificates"]!).Contains("CN=", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Certificate_OfAnOperator_IsNoDevices_OnAnyTransport()
    {
        await _devices.RegisterAsync("alice", _alice.Thumbprint);
        foreach (var transport in CertificateDevices.Transports)
            Assert.False(await _devices.ComeAsync(transport, "alice", new PresentedCertificate(_alice, [])), transport);

        Assert.All((await _devices.RefusalsAsync())["alice"], reason => Assert.Equal("401003 the certificate is that of operator:alice, and an operator's is no device's", reason));
    }

    [Fact]
    public async Task Token_BesideACertificate_Decides()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await AskAsync(HttpMethod.Get, "devices", _alice, authorization: "SharedAccessSignature sr=localhost&sig=x&se=1&skn=service")).Status);
    }

    [Theory]
    [InlineData("disabled")]
    [InlineData("deleted")]
    public async Task Events_OfAnOperatorWhoIsWithdrawn_End(string how)
    {
        using var http = Client(_alice);
        using var response = await http.GetAsync("manage/v1/events?consumerGroup=$Default", HttpCompletionOption.ResponseHeadersRead, Cancel);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        using var owner = _hub.Owner();
        if (how == "deleted")
            await owner.SendAsync(HttpMethod.Delete, "manage/v1/operators/alice", cancel: Cancel);
        else
            await owner.SendAsync(HttpMethod.Patch, "manage/v1/operators/alice", new JsonObject { ["status"] = "disabled" }, cancel: Cancel);

        try
        {
            await response.Content.ReadAsStringAsync(Cancel).WaitAsync(TimeSpan.FromSeconds(60), Cancel);
        }
        catch (Exception cut) when (cut is IOException or HttpRequestException)
        {
            // Ended is ended.
        }

        Assert.Equal(HttpStatusCode.Unauthorized, (await AskAsync(HttpMethod.Get, "devices", _alice)).Status);
    }

    [Fact]
    public async Task Client_OfAnOperator_CallsWithoutAToken()
    {
        using var files = new TemporaryDirectory();
        await File.WriteAllTextAsync(files["alice.pem"], _alice.ExportCertificatePem() + "\n" + _alice.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem(), Cancel);
        using var client = ServiceClient.OfOperator("localhost", new ServiceClientOptions { Port = _hub.Endpoints.HttpsPort, CaFile = _hub.Endpoints.CaFile, ClientCertificateFile = files["alice.pem"] });

        var made = await client.PutDeviceAsync("d2", cancel: Cancel);

        Assert.Equal("d2", (string?)made["deviceId"]);
    }

    private static string Fingerprint(X509Certificate2 certificate) => CertificateUse.FingerprintOf(certificate);

    private async Task<List<JsonNode>> TrailAsync()
    {
        await _hub.StopAsync();
        return [.. Directory.EnumerateFiles(Path.Combine(_hub.Data, "audit")).Order().SelectMany(File.ReadLines).Select(line => JsonNode.Parse(line)!)];
    }

    private async Task<(HttpStatusCode Status, string Body)> AskAsync(HttpMethod method, string path, X509Certificate2 certificate, string? json = null, string? authorization = null)
    {
        using var http = Client(certificate);
        using var request = new HttpRequestMessage(method, $"{path}?api-version=2021-04-12");
        if (json is not null)
            request.Content = new StringContent(json);
        if (authorization is not null)
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        using var response = await http.SendAsync(request, Cancel);
        return (response.StatusCode, await response.Content.ReadAsStringAsync(Cancel));
    }

    private HttpClient Client(X509Certificate2 certificate)
    {
        var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = WireDevice.Trust(_hub.Endpoints);
        handler.SslOptions.ClientCertificateContext = SslStreamCertificateContext.Create(certificate, null, offline: true);
        return new HttpClient(handler) { BaseAddress = new Uri($"https://localhost:{_hub.Endpoints.HttpsPort}") };
    }

    private static X509Certificate2 SelfSigned(string name, int days = 30)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-10), DateTimeOffset.UtcNow.AddDays(days));
    }
}
