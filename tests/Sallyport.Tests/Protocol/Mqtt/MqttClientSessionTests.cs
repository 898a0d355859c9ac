using System.Buffers;
using System.Text;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Mqtt;

public sealed class MqttClientSessionTests
{
    private readonly MqttClientSession _session = new(new MqttClientOptions(MaxInFlight: 2));
    private readonly ArrayBufferWriter<byte> _output = new();

    [Fact]
    public void Connect_IsTheFirstPacketAndComesOnce() // [MQTT-3.1.0-1] [MQTT-3.1.0-2]
    {
        _session.Connect(_output, Packets.Connect(), 0);

        Assert.Equal(Packets.ConnectBytes(), Sent());
        Assert.Throws<InvalidOperationException>(() => _session.Connect(_output, Packets.Connect(), 0));
        Assert.Throws<InvalidOperationException>(() => _session.TryPublish(_output, "t"u8, "p"u8, 1, 0, out _));
    }

    [Fact]
    public void ConnAck_Accepted_SaysWhetherTheSessionIsPresent()
    {
        _session.Connect(_output, Packets.Connect(), 0);

        Assert.Equal(MqttClientEvent.Connected, Read(Packets.ConnAck(MqttConnectCode.Accepted, true), out var packet));
        Assert.True(packet.SessionPresent);
        Assert.Equal(MqttClientState.Connected, _session.State);
    }

    [Fact]
    public void ConnAck_Refused_ClosesTheSession()
    {
        _session.Connect(_output, Packets.Connect(), 0);

        Assert.Equal(MqttClientEvent.Refused, Read(Packets.ConnAck(MqttConnectCode.NotAuthorized), out var packet));
        Assert.Equal(MqttConnectCode.NotAuthorized, packet.ConnectCode);
        Assert.Equal(MqttClientState.Closed, _session.State);
    }

    [Fact]
    public void FirstPacket_NotConnAck_IsABreach() // [MQTT-3.2.0-1]
    {
        _session.Connect(_output, Packets.Connect(), 0);

        Assert.Throws<MqttProtocolException>(() => Read([0xd0, 0], out _));
    }

    [Fact]
    public void Publish_OfQoS1_FillsTheWindowUntilItsPubAck() // [MQTT-4.3.2-1] [MQTT-2.3.1-2]
    {
        Connect();
        Assert.True(_session.TryPublish(_output, "t"u8, "a"u8, 1, 0, out var first));
        Assert.True(_session.TryPublish(_output, "t"u8, "b"u8, 1, 0, out var second));
        Assert.NotEqual(first, second);
        Sent();

        Assert.False(_session.HasRoom);
        Assert.False(_session.TryPublish(_output, "t"u8, "c"u8, 1, 0, out _));
        Assert.Empty(Sent());
        Assert.Equal(MqttClientEvent.Acknowledged, Read(Packets.PubAck(first), out var packet));
        Assert.Equal(first, packet.PacketId);
        Assert.True(_session.TryPublish(_output, "t"u8, "c"u8, 1, 0, out var again, sentAs: 77));
        Assert.Equal(77, again);
        Assert.Equal(0x3a, Sent()[0]); // [MQTT-3.3.1-1]
    }

    [Fact]
    public void Publish_OfQoS0_NeedsNoRoomAndNeverHasDup() // [MQTT-3.3.1-2] [MQTT-2.3.1-5]
    {
        Connect();

        Assert.True(_session.TryPublish(_output, "t"u8, "a"u8, 0, 0, out var id, sentAs: 77));
        Assert.Equal(0, id);
        Assert.Equal([0x30, 4, 0, 1, (byte)'t', (byte)'a'], Sent());
    }

    [Fact]
    public void PacketIds_AreNever0AndNeverInUse() // [MQTT-2.3.1-1] [MQTT-2.3.1-2]
    {
        Connect();
        Assert.True(_session.TryPublish(_output, "t"u8, "stays"u8, 1, 0, out var stays));
        for (var i = 0; i < 70_000; i++)
        {
            Assert.True(_session.TryPublish(_output, "t"u8, "x"u8, 1, 0, out var id));
            Assert.NotEqual(0, id);
            Assert.NotEqual(stays, id);
            Read(Packets.PubAck(id), out _);
            Sent();
        }
    }

    [Fact]
    public void PubAck_NobodyWaitsFor_IsABreach()
    {
        Connect();

        Assert.Throws<MqttProtocolException>(() => Read(Packets.PubAck(9), out _));
    }

    [Fact]
    public void SubscribeAndUnsubscribe_AreMatchedByTheirIds() // [MQTT-2.3.1-7] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
    {
        Connect();
        var subscribe = _session.Subscribe(_output, [new("a/#", 1), new("b/#", 0)], 0);
        Assert.Equal(0x82, Sent()[0]);
        Assert.Equal(MqttClientEvent.Subscribed, Read([0x90, 4, (byte)(subscribe >> 8), (byte)subscribe, 1, 0x80], out var packet));
        Assert.Equal([1, 0x80], packet.Codes.ToArray());

        var unsubscribe = _session.Unsubscribe(_output, ["a/#"], 0);
        Assert.Equal(0xa2, Sent()[0]);
        Assert.Equal(MqttClientEvent.Unsubscribed, Read([0xb0, 2, (byte)(unsubscribe >> 8), (byte)unsubscribe], out _));
    }

    [Fact]
    public void Message_OfQoS1_IsAcknowledged() // [MQTT-4.3.2-2]
    {
        Connect();

        Assert.Equal(MqttClientEvent.Message, Read(Packets.Publish("c/d", "hello", packetId: 5), out var packet));
        Assert.Equal(("c/d", "hello"), (Encoding.UTF8.GetString(packet.Message.Topic), Encoding.UTF8.GetString(packet.Message.Payload)));
        Assert.Equal(Packets.PubAck(5), Sent());
    }

    [Fact]
    public void KeepAlive_Silence_SendsAPingBeforeTheHubGivesUp() // [MQTT-3.1.2-23]
    {
        Connect();
        Assert.Equal(45_000, _session.NextDueMs);
        Assert.True(_session.Tick(_output, 44_999));
        Assert.Empty(Sent());

        Assert.True(_session.Tick(_output, 45_000));
        Assert.Equal(Packets.PingReq, Sent());
        Assert.Equal(MqttClientEvent.Handled, Read([0xd0, 0], out _));
        Assert.True(_session.Tick(_output, 76_000));
    }

    [Fact]
    public void KeepAlive_NoAnswer_MeansTheConnectionIsDead()
    {
        Connect();
        _session.Tick(_output, 45_000);

        Assert.False(_session.Tick(_output, 75_000));
    }

    [Fact]
    public void KeepAlive_ShorterThanTheWaitForAnAnswer_StillFindsTheConnectionDead()
    {
        _session.Connect(_output, Packets.Connect(keepAlive: 20), 0);
        Read(Packets.ConnAck(MqttConnectCode.Accepted), out _);
        Assert.True(_session.Tick(_output, 15_000));
        Assert.True(_session.Tick(_output, 30_000));

        Assert.False(_session.Tick(_output, 45_000));
    }

    [Fact]
    public void Connect_NoAnswer_MeansTheConnectionIsDead()
    {
        _session.Connect(_output, Packets.Connect(), 0);

        Assert.True(_session.Tick(_output, 59_999));
        Assert.False(_session.Tick(_output, 60_000));
    }

    [Fact]
    public void Disconnect_IsTheLastPacket() // [MQTT-3.14.4-2]
    {
        Connect();
        _session.Disconnect(_output);

        Assert.Equal(Packets.Disconnect, Sent());
        Assert.Throws<InvalidOperationException>(() => _session.TryPublish(_output, "t"u8, "p"u8, 0, 0, out _));
        Assert.Equal(long.MaxValue, _session.NextDueMs);
    }

    private void Connect()
    {
        _session.Connect(_output, Packets.Connect(keepAlive: 60), 0);
        Read(Packets.ConnAck(MqttConnectCode.Accepted), out _);
        Sent();
    }

    private byte[] Sent()
    {
        var sent = _output.WrittenSpan.ToArray();
        _output.ResetWrittenCount();
        return sent;
    }

    private MqttClientEvent Read(byte[] bytes, out MqttClientPacket packet)
    {
        var input = new ReadOnlySequence<byte>(bytes);
        return _session.Read(ref input, _output, 0, out packet);
    }
}
