using Sallyport.Heads.Mqtt;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>How connections end, and what is left behind.</summary>
public sealed class MqttEndTests : IAsyncLifetime
{
    private static readonly MqttWill Will = new("devices/d1/messages/events/reason=gone", "farewell"u8.ToArray(), 1, Retain: true);

    private MqttTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Silence_OfOneAndAHalfKeepAlives_ClosesTheConnection() // [MQTT-3.1.2-24]
    {
        var client = await _hub.ConnectAsync(keepAlive: 60);
        _hub.Time.Advance(TimeSpan.FromSeconds(89));
        await client.ExpectAliveAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(89));
        await client.ExpectAliveAsync();

        _hub.Time.Advance(TimeSpan.FromSeconds(91));

        await client.ExpectClosedAsync();
        Assert.False(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(65_535)]
    public async Task Silence_OfAnUnboundedKeepAlive_EndsAfter1767Seconds(ushort keepAlive)
    {
        var client = await _hub.ConnectAsync(keepAlive: keepAlive);
        _hub.Time.Advance(TimeSpan.FromSeconds(1766));
        await client.ExpectAliveAsync();

        _hub.Time.Advance(TimeSpan.FromSeconds(1768));

        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Token_ThatExpires_ClosesTheConnection()
    {
        _hub.Authentication.Expires = _hub.Time.GetUtcNow() + TimeSpan.FromSeconds(30);
        var client = await _hub.ConnectAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(29));
        await client.ExpectAliveAsync();

        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        await client.ExpectClosedAsync();
        Assert.StartsWith("401003", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Clock_SetBackAnHour_ClosesNobody()
    {
        _hub.Authentication.Expires = _hub.Time.GetUtcNow() + TimeSpan.FromMinutes(60);
        var client = await _hub.ConnectAsync(keepAlive: 60);

        _hub.Time.AdjustTime(_hub.Time.GetUtcNow() - TimeSpan.FromHours(1));
        _hub.Time.Advance(TimeSpan.FromSeconds(5));

        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Identity_ClosedByTheRegistry_IsCut()
    {
        var client = await _hub.ConnectAsync();
        _hub.Devices.CloseDevice("d1", HubErrors.DeviceNotFound, "the device was disabled");

        await client.ExpectClosedAsync();
        Assert.False(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Fact]
    public async Task Will_AfterTheConnectionBroke_IsStoredAsTelemetry() // [MQTT-3.1.2-8] [MQTT-3.1.2-17]
    {
        var client = await _hub.ConnectAsync(will: Will);
        client.Abort();

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(("farewell", "Will", "gone", "true"), (stored.Body, stored.Properties["iothub-MessageType"], stored.Properties["reason"], stored.Properties["mqtt-retain"]));
        Assert.Equal("d1", stored.Annotations["iothub-connection-device-id"]);
    }

    [Fact]
    public async Task Will_AfterAnOffence_IsStored() // [MQTT-3.1.2-8]
    {
        var client = await _hub.ConnectAsync(will: Will);
        await client.SendAsync([0xf0, 0]);

        await client.ExpectClosedAsync();
        Assert.Equal("farewell", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    [Fact]
    public async Task Will_AfterDisconnect_IsNotStored() // [MQTT-3.14.4-3] [MQTT-3.1.2-12]
    {
        var client = await _hub.ConnectAsync(will: Will);
        await client.SendAsync(Packets.Disconnect);

        await client.ExpectClosedAsync();
        Assert.Equal(0, _hub.StoredCount());
    }

    [Fact]
    public async Task Disconnect_RightBehindTelemetry_LosesNothing()
    {
        var client = await _hub.ConnectAsync();
        await client.SendTogetherAsync(Packets.Telemetry("a", qos: 0), Packets.Telemetry("b", packetId: 2), Packets.Disconnect, Packets.Telemetry("never", packetId: 3));

        await client.ExpectAsync(Packets.PubAck(2));
        await client.ExpectClosedAsync();
        Assert.Equal(["a", "b"], (await _hub.StoredAsync(2)).Select(m => m.Body));
        Assert.Equal(2, _hub.StoredCount());
    }

    [Fact]
    public async Task TakeOver_WhileTelemetryIsUnderWay_StillAcknowledgesIt() // [MQTT-3.1.4-2]
    {
        var older = await _hub.ConnectAsync();
        _hub.Log.Shut();
        await older.SendAsync(Packets.Telemetry("under way"));
        await _hub.Log.KnockedAsync();
        var newer = await _hub.ConnectAsync();

        _hub.Log.Open();

        await older.ExpectAsync(Packets.PubAck(1));
        await older.ExpectClosedAsync();
        await newer.ExpectAliveAsync();
    }

    [Fact]
    public async Task Stop_EndsConnectionsAfterTheirLastAcknowledgements()
    {
        var idle = await _hub.ConnectAsync("d2");
        var busy = await _hub.ConnectAsync();
        _hub.Log.Shut();
        await busy.SendAsync(Packets.Telemetry());
        await _hub.Log.KnockedAsync();

        _hub.Head.Stop();
        await idle.ExpectClosedAsync();
        Assert.False(busy.Served.IsCompleted);
        _hub.Log.Open();

        await busy.ExpectAsync(Packets.PubAck(1));
        await busy.ExpectClosedAsync();
        Assert.Equal(0, _hub.Head.OpenConnections);
    }

    [Fact]
    public async Task Stop_WhileALogNeverAnswers_CutsAfterTheDrainTime()
    {
        var busy = await _hub.ConnectAsync();
        _hub.Log.Shut();
        await busy.SendAsync(Packets.Telemetry());
        await _hub.Log.KnockedAsync();

        _hub.Head.Stop();
        _hub.Time.Advance(new MqttOptions().DrainTimeout + TimeSpan.FromSeconds(2));

        await busy.ExpectClosedAsync();
    }

    [Fact]
    public async Task Connection_AfterStop_IsClosedAtOnce()
    {
        _hub.Head.Stop();
        var client = _hub.Open();

        await client.ExpectClosedAsync();
    }
}
