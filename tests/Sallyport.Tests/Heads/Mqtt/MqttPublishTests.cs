using Sallyport.Heads.Mqtt;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

public sealed class MqttPublishTests : IAsyncLifetime
{
    private MqttTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Publish_OfQoS1_IsStoredBeforeItsPubAck() // [MQTT-4.3.2-2] [MQTT-3.3.4-1] [MQTT-2.3.1-6]
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.Telemetry("21.5", packetId: 7, bag: "%24.mid=m%2F1&%24.ct=application%2Fjson&unit=C"));

        await client.ExpectAsync(Packets.PubAck(7));

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(("21.5", "m/1", "application/json", "C"), (stored.Body, stored.MessageId, stored.ContentType, stored.Properties["unit"]));
        Assert.Equal("d1", stored.Annotations["iothub-connection-device-id"]);
        Assert.Equal("1", stored.Annotations["iothub-connection-auth-generation-id"]);
    }

    [Fact]
    public async Task Publish_WhileTheLogHasNoRoom_GetsNoPubAckUntilItHas()
    {
        var client = await _hub.ConnectAsync();
        _hub.Log.Shut();
        await client.SendAsync(Packets.Telemetry(packetId: 1));
        await _hub.Log.KnockedAsync();
        await client.SendAsync(Packets.PingReq); // stays unread

        _hub.Log.Open();

        // Which of the two comes first is open: the commit may still be under way when the ping is read.
        var answers = await client.ReadAsync(6);
        Assert.Contains(Convert.ToHexString(answers), new[] { "40020001D000", "D00040020001" });
    }

    [Fact]
    public async Task Publish_Burst_IsAcknowledgedInItsOrder() // [MQTT-4.6.0-2]
    {
        var client = await _hub.ConnectAsync();
        var ids = Enumerable.Range(1, 3000).Select(i => (ushort)(i * 7)).ToArray();

        var sending = client.SendAsync([.. ids.Select(id => Packets.Telemetry(id.ToString(), packetId: id))]);
        foreach (var id in ids)
            await client.ExpectAsync(Packets.PubAck(id));
        await sending;

        Assert.Equal(ids.Select(id => id.ToString()), (await _hub.StoredAsync(3000)).Select(m => m.Body));
    }

    [Fact]
    public async Task Publish_OfQoS0_IsStoredWithoutAPubAck() // [MQTT-3.3.4-1]
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.Telemetry("quiet", qos: 0));
        await client.ExpectAliveAsync();

        Assert.Equal("quiet", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    [Fact]
    public async Task Publish_WithDup_OfAnIdAlreadyAcknowledged_IsStoredAgain() // [MQTT-3.3.1-1]
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.Telemetry("once", packetId: 5));
        await client.ExpectAsync(Packets.PubAck(5));
        await client.SendAsync(Packets.Telemetry("once", packetId: 5, dup: true));
        await client.ExpectAsync(Packets.PubAck(5));

        Assert.Equal(["once", "once"], (await _hub.StoredAsync(2)).Select(m => m.Body));
    }

    [Fact]
    public async Task Publish_WithRetain_GetsAPropertyAndIsNotRetained()
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.Telemetry(retain: true));
        await client.ExpectAsync(Packets.PubAck(1));

        Assert.Equal("true", (await _hub.StoredAsync(1))[0].Properties["mqtt-retain"]);
    }

    [Fact]
    public async Task Publish_WithSpoofedProperties_LosesThem_AndKeepsThoseThatSendersSet()
    {
        var client = await _hub.ConnectAsync();
        const string bag = "iothub-connection-device-id=other&x-opt-offset=1&iothub-MessageType=Will&iothub-enqueuedtime=0&%24.cdid=other"
            + "&iothub-ack=full&iothub-operation=o&iothub-creation-time-utc=2024-01-02T03:04:05Z&iothub-message-schema=s&own=1";
        await client.SendAsync(Packets.Telemetry(bag: bag));
        await client.ExpectAsync(Packets.PubAck(1));

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(
            ["iothub-ack", "iothub-creation-time-utc", "iothub-message-schema", "iothub-operation", "own"], stored.Properties.Keys.Order());
        Assert.Equal("d1", stored.Annotations["iothub-connection-device-id"]);
    }

    [Fact]
    public async Task Publish_WithAnUnencodedBag_AsTheCSdkSendsIt_IsUnderstood()
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.Telemetry(bag: "k 1=v/1&a=b=c&alone&empty=&%24.mid=mid/1&%24.ct=application/json/"));
        await client.ExpectAsync(Packets.PubAck(1));

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(("v/1", "b=c", null, ""), (stored.Properties["k 1"], stored.Properties["a"], stored.Properties["alone"], stored.Properties["empty"]));
        Assert.Equal(("mid/1", "application/json"), (stored.MessageId, stored.ContentType));
    }

    [Fact]
    public async Task Publish_OfAModule_NamesTheModuleAndItsOutput()
    {
        var client = await _hub.ConnectAsync("d1/m1");
        await client.SendAsync(Packets.Publish("devices/d1/modules/m1/messages/events/%24.on=out1/"));
        await client.ExpectAsync(Packets.PubAck(1));

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(("m1", "out1"), (stored.Annotations["iothub-connection-module-id"], stored.Properties["iothub-outputname"]));
    }

    [Fact]
    public async Task TwinRequest_OfQoS1_AfterTelemetry_IsAcknowledgedAfterIt() // [MQTT-4.6.0-2]
    {
        var client = await _hub.ConnectAsync();
        await client.SendTogetherAsync(Packets.Telemetry(packetId: 1), Packets.Publish("$iothub/twin/GET/?$rid=1", " ", packetId: 2), Packets.Telemetry(packetId: 3));
        await client.ExpectAsync(Packets.PubAck(1), Packets.PubAck(2), Packets.PubAck(3));

        await client.SendAsync(Packets.Publish("$iothub/twin/GET/?$rid=2", " ", packetId: 4));
        await client.ExpectAsync(Packets.PubAck(4));
    }

    public static TheoryData<string, byte[]> Offences() => new()
    {
        { "another device's topic", Packets.Publish("devices/d2/messages/events/", packetId: 2) }, // [MQTT-3.3.5-2]
        { "QoS 2", Packets.Telemetry(qos: 2, packetId: 2) },
        { "257 KB", Packets.Telemetry(new string('x', 257 * 1024), packetId: 2) },
        { "256 KB with its properties above", Packets.Telemetry(new string('x', 262_140), packetId: 2, bag: "name=value") },
        { "an oversized frame", [0x32, 0xff, 0xff, 0xff, 0x7f] },
        { "a bad escape", Packets.Telemetry(packetId: 2, bag: "a=%zz") },
        { "a cut escape", Packets.Telemetry(packetId: 2, bag: "a=%4") },
        { "a property without a name", Packets.Telemetry(packetId: 2, bag: "=v") },
        { "a doubled system property", Packets.Telemetry(packetId: 2, bag: "$.mid=1&%24.mid=2") },
        { "a doubled property", Packets.Telemetry(packetId: 2, bag: "a=1&a=2") },
        { "an expiry that is no time", Packets.Telemetry(packetId: 2, bag: "$.exp=soon") },
        { "1,025 properties", Packets.Telemetry(packetId: 2, bag: string.Join('&', Enumerable.Range(0, 1025).Select(i => $"k{i}"))) },
        { "packet id 0", Packets.Telemetry(packetId: 0) }, // [MQTT-2.3.1-1]
        { "PUBREL", [0x62, 2, 0, 1] },
        { "a reserved packet type", [0xf0, 0] },
        { "SUBSCRIBE without a filter", [0x82, 2, 0, 1] }, // [MQTT-3.8.3-3]
    };

    [Theory]
    [MemberData(nameof(Offences))]
    public async Task Offence_ClosesTheConnection_KeepsWhatCameBefore_AndNobodyElseNotices(string what, byte[] offence) // [MQTT-4.8.0-1]
    {
        var other = await _hub.ConnectAsync("d2");
        var client = await _hub.ConnectAsync();
        await client.SendTogetherAsync(Packets.Telemetry("before", packetId: 1), offence, Packets.Telemetry("after", packetId: 3));

        await client.ExpectAsync(Packets.PubAck(1));
        await client.ExpectClosedAsync();

        Assert.Equal("before", Assert.Single(await _hub.StoredAsync(1)).Body);
        Assert.Equal(1, _hub.StoredCount());
        var entry = Assert.Single(_hub.Audit.Entries);
        Assert.Equal(("device:d1", "mqtt connection", "refused", "0123456789abcdef"), (entry.Principal, entry.Action, entry.Result, entry.CredentialFingerprint));
        Assert.False(string.IsNullOrEmpty(entry.Reason), what);
        await other.SendAsync(Packets.Publish("devices/d2/messages/events/"));
        await other.ExpectAsync(Packets.PubAck(1));
    }

    [Theory]
    [InlineData(AppendOutcome.DiskFull)]
    [InlineData(AppendOutcome.HeldBack)]
    public async Task Publish_WhileTelemetryIsRefused_WaitsAndIsClosedAfter20Seconds(AppendOutcome outcome)
    {
        var client = await _hub.ConnectAsync();
        _hub.Log.Answer(outcome);
        await client.SendAsync(Packets.Telemetry());
        await _hub.Log.KnockedAsync();

        await AdvanceUntilServedAsync(client);

        await client.ExpectClosedAsync();
        Assert.StartsWith("403002", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
        Assert.Equal(0, _hub.StoredCount());
    }

    [Fact]
    public async Task Publish_WhileTheDiskIsFull_IsStoredWhenThereIsRoomAgain()
    {
        var client = await _hub.ConnectAsync();
        _hub.Log.Answer(AppendOutcome.DiskFull);
        await client.SendAsync(Packets.Telemetry("late"));
        await _hub.Time.TimerMadeAsync(); // it will try again
        _hub.Log.Open();
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await client.ExpectAsync(Packets.PubAck(1));
        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Publish_HeldBackForTooLong_IsClosedWithItsReason()
    {
        var client = await _hub.ConnectAsync();
        _hub.Log.Shut();
        await client.SendAsync(Packets.Telemetry());
        await _hub.Log.KnockedAsync();

        await AdvanceUntilServedAsync(client);

        await client.ExpectClosedAsync();
        Assert.StartsWith("429001", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Publish_AfterTheLogFailed_IsClosed()
    {
        var client = await _hub.ConnectAsync();
        _hub.Log.Answer(AppendOutcome.Failed);
        await client.SendAsync(Packets.Telemetry());

        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Peer_ThatReadsNoAnswers_IsHeldBackAndClosed()
    {
        await using var hub = await MqttTestHub.StartAsync(new MqttOptions { MaxUnreadBytes = 1024 });
        var client = await hub.ConnectAsync();
        var pings = Packets.Concat([.. Enumerable.Repeat(Packets.PingReq, 1000)]);
        while (!client.Served.IsCompleted && hub.Audit.Entries.IsEmpty)
            await client.SendAsync(pings);

        Assert.StartsWith("429001", Assert.Single(hub.Audit.Entries).Reason, StringComparison.Ordinal);
    }

    // Between the seconds a round trip of another client: the hub has time to act, and nobody else notices.
    private async Task AdvanceUntilServedAsync(MqttTestClient client)
    {
        var other = await _hub.ConnectAsync("d2", keepAlive: 0);
        // Its turn may come late: seconds of the test's clock pass until it had it. The real time bounds a test that would never end; nothing waits for it.
        var patience = Task.Delay(MqttTestClient.Patience);
        while (!client.Served.IsCompleted && !patience.IsCompleted)
        {
            _hub.Time.Advance(TimeSpan.FromSeconds(1));
            await other.ExpectAliveAsync();
        }
    }
}
