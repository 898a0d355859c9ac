using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>Devices with good certificates on a whole hub, over each transport, until the ground is taken from them.</summary>
public sealed class CertificateConnectionTests : IAsyncLifetime
{
    private readonly DateTimeOffset _now = DateTimeOffset.UtcNow;
    private TestHub _hub = null!;
    private CertificateDevices _devices = null!;
    private TestAuthority _plant = null!;

    public static TheoryData<string> Transports => [.. CertificateDevices.Transports];

    public static TheoryData<string> Lasting => ["MQTT", "MQTT-WS"];

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _devices = new CertificateDevices(_hub);
        _plant = TestAuthority.Root("plant", _now);
        await _devices.TrustAsync("plant", _plant);
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task Device_WithItsThumbprintOrAnAuthority_IsLetIn(string transport)
    {
        using var pinned = SelfSigned();
        var line = _plant.Below("line");
        await _devices.RegisterAsync("pinned", pinned.GetCertHashString(HashAlgorithmName.SHA256));
        await _devices.RegisterAsync("direct");
        await _devices.RegisterAsync("below");

        Assert.True(await _devices.ComeAsync(transport, "pinned", new PresentedCertificate(pinned, [])));
        Assert.True(await _devices.ComeAsync(transport, "direct", _plant.Show(_plant.Leaf("direct"))));
        Assert.True(await _devices.ComeAsync(transport, "below", line.Show(line.Leaf("below"))));
    }

    [Fact]
    public async Task Telemetry_OfADeviceWithACertificate_SaysSo()
    {
        await _devices.RegisterAsync("d1");
        await using var device = await _devices.OpenAsync("MQTT", "d1", _plant.Show(_plant.Leaf("d1")));
        Assert.Equal(MqttConnectCode.Accepted, await device.ConnectByCertificateAsync());
        await device.PublishAsync("{}");

        var (_, lines) = await _hub.GetAsync("manage/v1/events?from=earliest&follow=false&deviceId=d1", _hub.Endpoints.OwnerConnectionString);
        var message = lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).Single(line => (string?)line["source"] == "Telemetry");

        Assert.Equal(
            """{"scope":"device","type":"x509","issuer":"external","acceptingIpFilterRule":null}""", (string?)message["annotations"]!["iothub-connection-auth-method"]);
    }

    [Theory]
    [MemberData(nameof(Lasting))]
    public async Task Connection_OfADeletedAuthority_Ends(string transport)
    {
        await _devices.RegisterAsync("d1");
        await using var device = await _devices.OpenAsync(transport, "d1", _plant.Show(_plant.Leaf("d1")));
        Assert.Equal(MqttConnectCode.Accepted, await device.ConnectByCertificateAsync());

        await _devices.DistrustAsync("plant");

        await device.ExpectClosedAsync();
    }

    [Theory]
    [MemberData(nameof(Lasting))]
    public async Task Connection_OfARevokedCertificate_Ends_AndOthersGoOn(string transport)
    {
        var leaf = _plant.Leaf("d1");
        await _devices.RegisterAsync("d1");
        await _devices.RegisterAsync("d2");
        await using var revoked = await _devices.OpenAsync(transport, "d1", _plant.Show(leaf));
        await using var other = await _devices.OpenAsync(transport, "d2", _plant.Show(_plant.Leaf("d2")));
        Assert.Equal(MqttConnectCode.Accepted, await revoked.ConnectByCertificateAsync());
        Assert.Equal(MqttConnectCode.Accepted, await other.ConnectByCertificateAsync());

        await _devices.RevokeAsync("plant", _plant.Revoke([leaf]));

        await revoked.ExpectClosedAsync();
        await other.ExpectAliveAsync();
        Assert.Equal(HttpStatusCode.Unauthorized, await _devices.PostAsync("d1", _plant.Show(leaf)));
    }

    [Theory]
    [MemberData(nameof(Lasting))]
    public async Task Connection_OfADeviceThatLosesTheTagOfItsAuthority_Ends_AndOthersGoOn(string transport)
    {
        using var owner = _hub.Owner();
        await owner.SendAsync(
            HttpMethod.Put, "manage/v1/certificates/plant", new JsonObject { ["properties"] = new JsonObject { ["deviceTags"] = new JsonArray("location.site=berlin") } }, ifMatch: "*", cancel: TestContext.Current.CancellationToken);
        foreach (var id in (string[])["d1", "d2"])
            await _devices.RegisterAsync(id);
        Assert.False(await _devices.ComeAsync(transport, "d1", _plant.Show(_plant.Leaf("d1"))));
        await TagAsync("d1", "berlin");
        await TagAsync("d2", "berlin");
        await using var device = await _devices.OpenAsync(transport, "d1", _plant.Show(_plant.Leaf("d1")));
        await using var other = await _devices.OpenAsync(transport, "d2", _plant.Show(_plant.Leaf("d2")));
        Assert.Equal(MqttConnectCode.Accepted, await device.ConnectByCertificateAsync());
        Assert.Equal(MqttConnectCode.Accepted, await other.ConnectByCertificateAsync());

        await TagAsync("d1", "hamburg");

        await device.ExpectClosedAsync();
        await other.ExpectAliveAsync();
        Assert.Equal(HttpStatusCode.Unauthorized, await _devices.PostAsync("d1", _plant.Show(_plant.Leaf("d1"))));

        async Task TagAsync(string id, string site) => await owner.SendAsync(
            HttpMethod.Patch, $"twins/{id}", new JsonObject { ["tags"] = new JsonObject { ["location"] = new JsonObject { ["site"] = site } } }, cancel: TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Connection_OfAChangedThumbprint_Ends()
    {
        using var before = SelfSigned();
        using var after = SelfSigned();
        await _devices.RegisterAsync("d1", before.Thumbprint);
        await using var device = await _devices.OpenAsync("MQTT", "d1", new PresentedCertificate(before, []));
        Assert.Equal(MqttConnectCode.Accepted, await device.ConnectByCertificateAsync());

        await _devices.RegisterAsync("d1", after.Thumbprint, ifMatch: "*");

        await device.ExpectClosedAsync();
        Assert.False(await _devices.ComeAsync("MQTT", "d1", new PresentedCertificate(before, [])));
        Assert.True(await _devices.ComeAsync("MQTT", "d1", new PresentedCertificate(after, [])));
    }

    [Fact]
    public async Task Connection_OfACertificateThatExpires_Ends()
    {
        await using var hub = await TestHub.StartAsync(time: new ShiftedTime());
        var devices = new CertificateDevices(hub);
        await devices.TrustAsync("plant", _plant);
        await devices.RegisterAsync("d1");
        await using var device = await devices.OpenAsync("MQTT", "d1", _plant.Show(_plant.Leaf("d1", notAfter: _now.AddDays(1))));
        Assert.Equal(MqttConnectCode.Accepted, await device.ConnectByCertificateAsync());

        ShiftedTime.Shift = TimeSpan.FromDays(2);

        await device.ExpectClosedAsync();
    }

    private X509Certificate2 SelfSigned()
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new CertificateRequest("CN=anything", key, HashAlgorithmName.SHA256).CreateSelfSigned(_now.AddDays(-1), _now.AddDays(30));
    }

    /// <summary>The machine's clock, which somebody sets forward.</summary>
    private sealed class ShiftedTime : TimeProvider
    {
        public static TimeSpan Shift { get; set; }

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + Shift;
    }
}
