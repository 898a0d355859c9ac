using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>Who sends or connects too often: held back, never told so by MQTT 3.1.1.</summary>
public sealed class MqttQuotaTests : IAsyncDisposable
{
    private MqttTestHub _hub = null!;

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Telemetry_BeyondTheQuota_WaitsForItsPuback_AndOthersDoNot()
    {
        _hub = await MqttTestHub.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 2, Burst = TimeSpan.FromSeconds(1) });
        var device = await _hub.ConnectAsync();
        var other = await _hub.ConnectAsync("d2");
        await device.SendTogetherAsync(Packets.Telemetry(packetId: 1), Packets.Telemetry(packetId: 2));
        await device.ExpectAsync(Packets.PubAck(1), Packets.PubAck(2));

        _hub.Time.ForgetTimers();
        await device.SendAsync(Packets.Telemetry(packetId: 3));
        await _hub.Time.TimerMadeAsync(); // It is held back.
        Assert.Equal(2, _hub.StoredCount());
        await other.SendAsync(Packets.Publish("devices/d2/messages/events/", "x", 1, 9));
        await other.ExpectAsync(Packets.PubAck(9));

        _hub.Time.Advance(TimeSpan.FromMilliseconds(500));
        await device.ExpectAsync(Packets.PubAck(3));
    }

    [Fact]
    public async Task Telemetry_HeldBackFor20Seconds_IsClosed_AndItIsOnRecordWhy()
    {
        _hub = await MqttTestHub.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        var device = await _hub.ConnectAsync();
        await device.SendTogetherAsync([.. Enumerable.Range(1, 40).Select(id => Packets.Telemetry(packetId: (ushort)id))]);
        await device.ExpectAsync([.. Enumerable.Range(1, 40).Select(id => Packets.PubAck((ushort)id))]);

        _hub.Time.ForgetTimers();
        await device.SendAsync(Packets.Telemetry(packetId: 41));
        await _hub.Time.TimerMadeAsync();
        for (var second = 0; second < 21; second++)
            _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await device.ExpectClosedAsync();
        Assert.StartsWith("429001 held back", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
        Assert.Equal(40, _hub.StoredCount());
    }

    [Fact]
    public async Task Subscribe_CountsAsAMessage()
    {
        _hub = await MqttTestHub.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        var device = await _hub.ConnectAsync();
        await device.SendAsync(Packets.Telemetry(packetId: 1));
        await device.ExpectAsync(Packets.PubAck(1));

        _hub.Time.ForgetTimers();
        await device.SendAsync(Packets.Subscribe(2, ("devices/d1/messages/devicebound/#", 1)));
        await _hub.Time.TimerMadeAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await device.ExpectAsync([0x90, 3, 0, 2, 1]);
    }

    [Fact]
    public async Task Device_ThatConnectsTooOften_IsHeldBack_AndRefusedWhenThatTakesTooLong()
    {
        _hub = await MqttTestHub.StartAsync(quotas: new QuotaOptions { DeviceConnectionsPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        var first = await _hub.ConnectAsync();

        _hub.Time.ForgetTimers();
        var second = _hub.Open();
        await second.SendAsync(Packets.ConnectBytes());
        await _hub.Time.TimerMadeAsync();
        await first.ExpectAliveAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await second.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        await first.ExpectClosedAsync();
    }

    [Fact]
    public async Task TakeOvers_OfADuel_AreSlowedFromTheSixthInAMinute_AndTheNewerStillWins()
    {
        _hub = await MqttTestHub.StartAsync(quotas: new QuotaOptions { DeviceConnectionsPerSecond = 0 });
        var holder = await _hub.ConnectAsync();
        for (var takeOver = 0; takeOver < ConnectedDevices.FreeTakeOvers; takeOver++)
        {
            var newer = await _hub.ConnectAsync();
            await holder.ExpectClosedAsync();
            holder = newer;
        }

        _hub.Time.ForgetTimers();
        var sixth = _hub.Open();
        await sixth.SendAsync(Packets.ConnectBytes());
        await _hub.Time.TimerMadeAsync();
        await holder.ExpectAliveAsync();
        _hub.Time.Advance(ConnectedDevices.LongestTakeOverDelay);

        await sixth.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        await holder.ExpectClosedAsync();
    }
}
