using System.Buffers;
using System.Text;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Mqtt;

public sealed class MqttCodecTests
{
    private const int Max = MqttServerSession.MaxPacketLength;

    [Fact]
    public void Frame_InAnySegments_IsReadWhole()
    {
        var bytes = Packets.Telemetry(new string('x', 300), bag: "a=b");
        for (var size = 1; size <= bytes.Length; size++)
        {
            var input = Packets.InSegments([.. bytes, 0xc0], size);
            Assert.True(MqttFrame.TryRead(ref input, Max, out var frame));
            var publish = MqttPublish.Read(frame);

            Assert.Equal(1, input.Length);
            Assert.Equal("devices/d1/messages/events/a=b", Encoding.UTF8.GetString(publish.Topic.ToArray()));
            Assert.Equal(300, publish.Payload.Length);
        }
    }

    [Fact]
    public void Frame_CutAnywhere_AsksForMoreAndTakesNothing()
    {
        var bytes = Packets.Telemetry(new string('x', 300));
        for (var length = 0; length < bytes.Length; length++)
        {
            var input = new ReadOnlySequence<byte>(bytes, 0, length);
            Assert.False(MqttFrame.TryRead(ref input, Max, out _));
            Assert.Equal(length, input.Length);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(127)]
    [InlineData(128)]
    [InlineData(16_383)]
    [InlineData(16_384)]
    [InlineData(262_144)]
    public void Frame_AtTheBordersOfRemainingLength_ComesBackAsWritten(int payload)
    {
        var input = new ReadOnlySequence<byte>(Packets.Telemetry(new string('x', payload)));

        Assert.True(MqttFrame.TryRead(ref input, Max, out var frame));
        Assert.Equal(payload, MqttPublish.Read(frame).Payload.Length);
        Assert.True(input.IsEmpty);
    }

    [Fact]
    public void Frame_LongerThanTaken_IsRefusedAtItsHeader()
    {
        var input = new ReadOnlySequence<byte>([0x30, 0x80, 0x80, 0x80, 0x01]);

        var refusal = Assert.Throws<MqttProtocolException>(() => MqttFrame.TryRead(ref input, Max, out _));

        Assert.Equal(HubErrors.MessageTooLarge, refusal.Error);
    }

    [Theory]
    [InlineData(new byte[] { 0x30, 0xff, 0xff, 0xff, 0xff, 0x01 })]
    [InlineData(new byte[] { 0x00, 0x00 })]
    [InlineData(new byte[] { 0xf0, 0x00 })]
    public void Frame_WithABadHeader_IsRefused(byte[] bytes)
    {
        var input = new ReadOnlySequence<byte>(bytes);

        Assert.Throws<MqttProtocolException>(() => MqttFrame.TryRead(ref input, int.MaxValue, out _));
    }

    [Fact]
    public void Connect_WrittenWithEverything_IsReadTheSame() // [MQTT-3.1.3-1] [MQTT-3.1.2-9] [MQTT-3.1.2-19] [MQTT-3.1.2-21]
    {
        var connect = new MqttConnect("d1/m1", false, 240, "hub.test/d1/m1/", "secret", new MqttWill("devices/d1/messages/events/", [1, 2, 3], 1, true));

        var read = MqttConnect.Read(Frame(Packets.Of(o => MqttWriter.Connect(o, connect))));

        Assert.Equal(connect with { Will = null }, read with { Will = null });
        Assert.Equal([1, 2, 3], read.Will!.Payload);
        Assert.Equal(("devices/d1/messages/events/", 1, true), (read.Will.Topic, read.Will.QoS, read.Will.Retain));
    }

    [Fact]
    public void Connect_WithoutUserNameAndPassword_HasNone() // [MQTT-3.1.2-18] [MQTT-3.1.2-20]
    {
        var read = MqttConnect.Read(Frame(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect("d1", true, 0)))));

        Assert.Null(read.UserName);
        Assert.Null(read.Password);
    }

    [Fact]
    public void Connect_Printed_ShowsNoPassword() =>
        Assert.DoesNotContain("secret", Packets.Connect(token: "secret").ToString(), StringComparison.Ordinal);

    [Theory]
    [InlineData("name", 0x10, "0003 4d5154 04 02 003c 0002 6431")] // [MQTT-3.1.2-1] [MQTT-3.1.4-1]
    [InlineData("flags", 0x11, "0004 4d515454 04 02 003c 0002 6431")] // [MQTT-2.2.2-2]
    [InlineData("reserved connect flag", 0x10, "0004 4d515454 04 03 003c 0002 6431")] // [MQTT-3.1.2-3]
    [InlineData("will QoS or", 0x10, "0004 4d515454 04 0a 003c 0002 6431")] // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
    [InlineData("will QoS or", 0x10, "0004 4d515454 04 22 003c 0002 6431")] // [MQTT-3.1.2-15]
    [InlineData("will QoS is 3", 0x10, "0004 4d515454 04 1e 003c 0002 6431 0001 61 0000")] // [MQTT-3.1.2-14]
    [InlineData("without a user name", 0x10, "0004 4d515454 04 42 003c 0002 6431 0001 61")] // [MQTT-3.1.2-22]
    [InlineData("client id is not UTF-8", 0x10, "0004 4d515454 04 02 003c 0002 ff31")] // [MQTT-3.1.3-4] [MQTT-1.5.3-1]
    [InlineData("U+0000", 0x10, "0004 4d515454 04 02 003c 0002 6400")] // [MQTT-1.5.3-2]
    [InlineData("surrogates", 0x10, "0004 4d515454 04 02 003c 0003 eda080")] // [MQTT-1.5.3-1]
    [InlineData("will topic is not UTF-8", 0x10, "0004 4d515454 04 06 003c 0002 6431 0001 ff 0000")] // [MQTT-3.1.3-10]
    [InlineData("user name is not UTF-8", 0x10, "0004 4d515454 04 82 003c 0002 6431 0001 ff")] // [MQTT-3.1.3-11]
    [InlineData("ends in its client id", 0x10, "0004 4d515454 04 02 003c")] // [MQTT-3.1.3-3]
    [InlineData("ends in its user name", 0x10, "0004 4d515454 04 82 003c 0002 6431")] // [MQTT-3.1.2-19]
    [InlineData("behind its last field", 0x10, "0004 4d515454 04 02 003c 0002 6431 00")]
    public void Connect_Malformed_IsRefusedWithoutConnAck(string what, byte first, string hex)
    {
        var frame = Frame(Packet(first, hex));

        var refusal = Assert.Throws<MqttProtocolException>(() => MqttConnect.Read(frame));

        Assert.Null(refusal.ConnectCode);
        if (what != "surrogates")
            Assert.Contains(what, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_WithAByteOrderMark_KeepsIt() // [MQTT-1.5.3-3]
    {
        var read = MqttSubscribe.Read(Frame(Packet(0x82, "0001 0004 efbbbf61 00")));

        Assert.Equal("\ufeffa", read.Subscriptions[0].Filter);
    }

    [Theory]
    [InlineData("both QoS bits", 0x36, "0001 61 0001")] // [MQTT-3.3.1-4]
    [InlineData("DUP", 0x38, "0001 61")] // [MQTT-3.3.1-2]
    [InlineData("packet id of PUBLISH is 0", 0x32, "0001 61 0000")] // [MQTT-2.3.1-1]
    [InlineData("ends in its packet id", 0x32, "0001 61 00")]
    [InlineData("ends in its topic name", 0x30, "0009 61")] // [MQTT-3.3.2-1]
    [InlineData("topic name is empty", 0x30, "0000")] // [MQTT-4.7.3-1]
    public void Publish_Malformed_IsRefused(string what, byte first, string hex)
    {
        var frame = Frame(Packet(first, hex));

        Assert.Contains(what, Assert.Throws<MqttProtocolException>(() => MqttPublish.Read(frame)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Publish_OfQoS0_HasNoPacketId() // [MQTT-2.3.1-5]
    {
        var publish = MqttPublish.Read(Frame(Packet(0x30, "0001 61 0102")));

        Assert.Equal(0, publish.PacketId);
        Assert.Equal([1, 2], publish.Payload.ToArray());
    }

    [Theory]
    [InlineData("flags", 0x80, "0001 0001 61 00")] // [MQTT-3.8.1-1]
    [InlineData("packet id of SUBSCRIBE is 0", 0x82, "0000 0001 61 00")] // [MQTT-2.3.1-1]
    [InlineData("no filter", 0x82, "0001")] // [MQTT-3.8.3-3]
    [InlineData("not UTF-8", 0x82, "0001 0001 ff 00")] // [MQTT-3.8.3-1]
    [InlineData("not 0, 1 or 2", 0x82, "0001 0001 61 03")] // [MQTT-3.8.3-4]
    [InlineData("not 0, 1 or 2", 0x82, "0001 0001 61 81")] // [MQTT-3.8.3-4]
    [InlineData("ends in its requested QoS", 0x82, "0001 0001 61")]
    [InlineData("filter is empty", 0x82, "0001 0000 00")] // [MQTT-4.7.3-1]
    public void Subscribe_Malformed_IsRefused(string what, byte first, string hex)
    {
        var frame = Frame(Packet(first, hex));

        Assert.Contains(what, Assert.Throws<MqttProtocolException>(() => MqttSubscribe.Read(frame)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("flags", 0xa0, "0001 0001 61")] // [MQTT-3.10.1-1]
    [InlineData("packet id of UNSUBSCRIBE is 0", 0xa2, "0000 0001 61")] // [MQTT-2.3.1-1]
    [InlineData("no filter", 0xa2, "0001")] // [MQTT-3.10.3-2]
    [InlineData("not UTF-8", 0xa2, "0001 0001 ff")] // [MQTT-3.10.3-1]
    public void Unsubscribe_Malformed_IsRefused(string what, byte first, string hex)
    {
        var frame = Frame(Packet(first, hex));

        Assert.Contains(what, Assert.Throws<MqttProtocolException>(() => MqttUnsubscribe.Read(frame)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Subscribe_WithMoreFiltersThanAnyClientSends_IsRefused()
    {
        var frame = Frame(Packets.Subscribe(1, [.. Enumerable.Range(0, MqttSubscribe.MaxFilters + 1).Select(i => ($"f{i}", (byte)0))]));

        Assert.Throws<MqttProtocolException>(() => MqttSubscribe.Read(frame));
    }

    [Theory]
    [InlineData(MqttConnectCode.Accepted, true, "20020100")]
    [InlineData(MqttConnectCode.NotAuthorized, true, "20020005")] // [MQTT-3.2.2-4]
    public void ConnAck_IsWrittenAsInTheSpecification(MqttConnectCode code, bool sessionPresent, string hex) =>
        Assert.Equal(hex, Convert.ToHexString(Packets.Of(o => MqttWriter.ConnAck(o, sessionPresent, code))));

    [Fact]
    public void PubAck_CarriesThePacketId() // [MQTT-2.3.1-6]
    {
        var packet = new byte[MqttWriter.PubAckLength];
        MqttWriter.PubAck(packet, 0xbeef);

        Assert.Equal("4002BEEF", Convert.ToHexString(packet));
    }

    private static MqttFrame Frame(byte[] bytes)
    {
        var input = new ReadOnlySequence<byte>(bytes);
        Assert.True(MqttFrame.TryRead(ref input, Max, out var frame));
        return frame;
    }

    private static byte[] Packet(byte first, string hex)
    {
        var body = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
        return [first, (byte)body.Length, .. body];
    }
}
