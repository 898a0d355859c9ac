using System.Buffers;
using System.Text;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Tests.Protocol.Mqtt;

public sealed class MqttServerSessionTests
{
    private readonly MqttServerSession _session = new();
    private readonly ArrayBufferWriter<byte> _output = new();

    [Fact]
    public void FirstPacket_NotConnect_EndsWithoutAnAnswer() // [MQTT-3.1.0-1]
    {
        var refusal = Refused(Packets.PingReq);

        Assert.Null(refusal.ConnectCode);
        Assert.Equal(0, _output.WrittenCount);
    }

    [Fact]
    public void Connect_OfAnotherLevel_IsRefusedWithCode1() // [MQTT-3.1.2-2]
    {
        var bytes = Packets.ConnectBytes();
        bytes[8] = 5;

        Assert.Equal(MqttConnectCode.UnacceptableProtocolVersion, Refused(bytes).ConnectCode);
    }

    [Theory]
    [InlineData(false)] // [MQTT-3.1.3-8]
    [InlineData(true)] // [MQTT-3.1.3-9]
    public void Connect_WithoutClientId_IsRefusedWithCode2(bool clean) =>
        Assert.Equal(MqttConnectCode.IdentifierRejected, Refused(Packets.ConnectBytes("", clean)).ConnectCode);

    [Fact]
    public void Connect_LongerThan16KiB_IsRefusedAtItsHeader()
    {
        var bytes = Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(token: new string('x', MqttServerSession.MaxConnectLength))));

        Assert.Equal(HubErrors.MessageTooLarge, Refused(bytes[..5]).Error);
    }

    [Fact]
    public void Connect_WithAWillOfQoS2_IsRefusedWithCode5() =>
        Assert.Equal(MqttConnectCode.NotAuthorized, Refused(Packets.ConnectBytes(will: new MqttWill("devices/d1/messages/events/", [], 2, false))).ConnectCode);

    [Fact]
    public void SecondPacket_BeforeConnAck_Ends() // [MQTT-3.1.4-5]
    {
        Assert.Equal(MqttServerStep.Connect, Next(Packets.ConnectBytes()));

        Refused(Packets.ConnectBytes());
    }

    [Fact]
    public void SecondConnect_Ends() // [MQTT-3.1.0-2]
    {
        Accept();

        Assert.Contains("second CONNECT", Refused(Packets.ConnectBytes()).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, true, true)] // [MQTT-3.2.2-2] [MQTT-3.1.2-4]
    [InlineData(false, false, false)] // [MQTT-3.2.2-3]
    [InlineData(true, true, false)] // [MQTT-3.2.2-1] [MQTT-3.1.2-6]
    public void ConnAck_SaysWhetherASessionIsResumed(bool clean, bool stored, bool present)
    {
        Next(Packets.ConnectBytes(clean: clean));
        _session.Accept(Identity.Of("d1"), stored ? [new(DeviceTopics.TwinResponses, 0)] : null, _output);

        Assert.Equal(Packets.ConnAck(MqttConnectCode.Accepted, present), _output.WrittenSpan.ToArray()); // [MQTT-3.1.4-4] [MQTT-3.2.0-1]
        Assert.Equal(present ? 1 : 0, _session.Subscriptions.Count);
    }

    [Fact]
    public void Accepted_ThePasswordIsForgotten()
    {
        Accept();

        Assert.Null(_session.Connect!.Password);
    }

    [Fact]
    public void Publish_ToOwnTopic_IsTelemetryWithItsBag() // [MQTT-3.3.4-1]
    {
        Accept();

        var input = new ReadOnlySequence<byte>(Packets.Telemetry("21.5", packetId: 7, bag: "a=b/c&d/", retain: true));
        Assert.Equal(MqttServerStep.Telemetry, _session.Next(ref input, _output, out var telemetry));

        Assert.Equal("a=b/c&d", Encoding.UTF8.GetString(telemetry.Bag));
        Assert.Equal("21.5", Encoding.UTF8.GetString(telemetry.Payload));
        Assert.Equal((7, true), (telemetry.PacketId, telemetry.Retain));
    }

    [Fact]
    public void Publish_CutAnywhereIntoSegments_IsTheSameTelemetry()
    {
        Accept();
        var bytes = Packets.Telemetry("21.5", bag: "a=b");
        for (var size = 1; size < bytes.Length; size++)
        {
            var input = Packets.InSegments(bytes, size);
            Assert.Equal(MqttServerStep.Telemetry, _session.Next(ref input, _output, out var telemetry));
            Assert.Equal("a=b", Encoding.UTF8.GetString(telemetry.Bag));
            Assert.Equal("21.5", Encoding.UTF8.GetString(telemetry.Payload.ToArray()));
        }

        _session.ReleaseBuffers();
    }

    [Theory]
    [InlineData("devices/d2/messages/events/")]
    [InlineData("devices/d1/modules/m1/messages/events/")]
    [InlineData("devices/d1/messages/eventsx/")]
    [InlineData("devices/D1/messages/events/")]
    [InlineData("$iothub/twin/res/200/?$rid=1")]
    [InlineData("$SYS/broker")]
    [InlineData("anything")]
    public void Publish_ToATopicThatIsNotOwn_Ends(string topic) // [MQTT-3.3.5-2]
    {
        Accept();

        Assert.Equal(HubErrors.UnauthorizedAccess, Refused(Packets.Publish(topic)).Error);
    }

    [Fact]
    public void Publish_ToAForeignTopic_ThatBreaksLines_IsPrintedWithoutThem()
    {
        Accept();

        var reason = Refused(Packets.Publish("x\r\n2026 forged line" + new string('y', 500))).Message;

        Assert.DoesNotContain('\n', reason);
        Assert.InRange(reason.Length, 1, 250);
    }

    [Fact]
    public void Publish_OfQoS2_Ends()
    {
        Accept();

        Assert.Contains("QoS 2", Refused(Packets.Telemetry(qos: 2)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(262_144, true)]
    [InlineData(262_145, false)]
    [InlineData(257 * 1024, false)]
    public void Publish_AtTheBoundOf256KB(int bytes, bool isTaken)
    {
        Accept();
        var packet = Packets.Telemetry(new string('x', bytes));

        if (isTaken)
            Assert.Equal(MqttServerStep.Telemetry, Next(packet));
        else
            Assert.Equal(HubErrors.MessageTooLarge, Refused(packet).Error);
    }

    [Fact]
    public void Publish_WithABagThatIsNotUtf8_Ends() // [MQTT-1.5.3-1] [MQTT-4.7.3-2]
    {
        Accept();
        var packet = Packets.Telemetry(bag: "a=?");
        packet[Array.IndexOf(packet, (byte)'?')] = 0xff;

        Refused(packet);
    }

    [Fact]
    public void Publish_WithANulInTheBag_Ends() // [MQTT-1.5.3-2]
    {
        Accept();

        Refused(Packets.Telemetry(bag: "a=\0"));
    }

    [Fact]
    public void Publish_WithAWildcardInARequestTopic_Ends() // [MQTT-3.3.2-2]
    {
        Accept();

        Refused(Packets.Publish("$iothub/twin/GET/?$rid=#"));
    }

    [Fact]
    public void Publish_WithAPlusInTheBag_IsTaken_AsGoModulesSendIt()
    {
        Accept();

        Assert.Equal(MqttServerStep.Telemetry, Next(Packets.Telemetry(bag: "a=b+c")));
    }

    [Theory]
    [InlineData("$iothub/twin/GET/?$rid=abc", PublishTarget.TwinGet, "", "abc")]
    [InlineData("$iothub/twin/PATCH/properties/reported/?$rid=3&$version=7", PublishTarget.TwinPatch, "", "3")]
    [InlineData("$iothub/twin/GET/", PublishTarget.TwinGet, "", "")]
    [InlineData("$iothub/methods/res/200/?$rid=9f", PublishTarget.MethodResponse, "200", "9f")]
    [InlineData("$iothub/methods/res/200?$rid=9f", PublishTarget.MethodResponse, "200", "9f")]
    [InlineData("$iothub/methods/res/", PublishTarget.MethodResponse, "", "")]
    public void Request_IsForTheDriver(string topic, PublishTarget target, string status, string requestId)
    {
        Accept();

        Assert.Equal(MqttServerStep.Request, Next(Packets.Publish(topic, "{}", qos: 0)));

        Assert.Equal(target, _session.Request!.Target);
        Assert.Equal(status, Encoding.UTF8.GetString(_session.Request.Status.Span));
        Assert.Equal(requestId, Encoding.UTF8.GetString(_session.Request.RequestId));
        Assert.Equal("{}", Encoding.UTF8.GetString(_session.Request.Payload.Span));
        Assert.Equal(0, _output.WrittenCount);
    }

    [Fact]
    public void TwinRequest_OfQoS1_IsAcknowledged() // [MQTT-3.3.4-1]
    {
        Accept();
        Next(Packets.Publish("$iothub/twin/GET/?$rid=1", " ", packetId: 9));

        _session.Acks.Release(0);
        _session.Acks.Take(0, _output);

        Assert.Equal(Packets.PubAck(9), _output.WrittenSpan.ToArray());
    }

    [Fact]
    public void Subscribe_WithSeveralFiltersOfMixedQoS_IsAnsweredInTheirOrder() // [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1]
    {
        Accept();

        var step = Next(Packets.Subscribe(
            0x1234, ("devices/d1/messages/devicebound/#", 1), (DeviceTopics.TwinResponses, 0), ("devices/d2/messages/devicebound/#", 1), (DeviceTopics.MethodRequests, 2)));

        Assert.Equal(MqttServerStep.SubscriptionsChanged, step);
        Assert.Equal([0x90, 6, 0x12, 0x34, 1, 0, 0x80, 1], _output.WrittenSpan.ToArray()); // QoS 2 is granted as 1
    }

    [Fact]
    public void Subscribe_ToTheSameFilter_ReplacesIt() // [MQTT-3.8.4-3]
    {
        Accept();
        Next(Packets.Subscribe(1, (DeviceTopics.TwinResponses, 0)));
        Next(Packets.Subscribe(2, (DeviceTopics.TwinResponses, 1)));

        Assert.Equal([new MqttSubscription(DeviceTopics.TwinResponses, 1)], _session.Subscriptions);
        Assert.Equal(MqttServerStep.Handled, Next(Packets.Subscribe(3, (DeviceTopics.TwinResponses, 1))));
    }

    [Fact]
    public void Subscribe_SixthFilter_IsRefused()
    {
        Accept("d1/m1");
        string[] filters =
        [
            "devices/d1/modules/m1/messages/devicebound/#", "devices/d1/modules/m1/inputs/#", DeviceTopics.TwinResponses,
            DeviceTopics.DesiredProperties, DeviceTopics.MethodRequests, "devices/d1/modules/m1/#",
        ];

        Next(Packets.Subscribe(1, [.. filters.Select(f => (f, (byte)1))]));

        Assert.Equal([1, 1, 1, 1, 1, 0x80], _output.WrittenSpan[4..].ToArray());
        Assert.Equal(5, _session.Subscriptions.Count);
    }

    [Fact]
    public void Unsubscribe_IsAnsweredWhateverItNames() // [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
    {
        Accept();
        Next(Packets.Subscribe(1, (DeviceTopics.TwinResponses, 0), (DeviceTopics.MethodRequests, 0)));
        _output.ResetWrittenCount();

        Assert.Equal(MqttServerStep.SubscriptionsChanged, Next(Packets.Unsubscribe(2, DeviceTopics.TwinResponses, "never/subscribed", DeviceTopics.MethodRequests)));
        Assert.Equal(MqttServerStep.Handled, Next(Packets.Unsubscribe(3, DeviceTopics.TwinResponses)));

        Assert.Empty(_session.Subscriptions);
        Assert.Equal([0xb0, 2, 0, 2, 0xb0, 2, 0, 3], _output.WrittenSpan.ToArray()); // [MQTT-2.3.1-7]
    }

    [Fact]
    public void PingReq_IsAnswered() // [MQTT-3.12.4-1]
    {
        Accept();
        Next(Packets.PingReq);

        Assert.Equal([0xd0, 0], _output.WrittenSpan.ToArray());
    }

    [Fact]
    public void Disconnect_DropsTheWill() // [MQTT-3.14.4-3] [MQTT-3.1.2-10]
    {
        Accept(will: new MqttWill("devices/d1/messages/events/", [1], 1, false));
        Assert.NotNull(_session.Will);

        Assert.Equal(MqttServerStep.Disconnected, Next(Packets.Disconnect));
        Assert.Null(_session.Will);
    }

    [Theory]
    [InlineData(new byte[] { 0xe1, 0 })] // [MQTT-3.14.1-1]
    [InlineData(new byte[] { 0xe0, 1, 0 })]
    [InlineData(new byte[] { 0xc1, 0 })] // [MQTT-2.2.2-2]
    [InlineData(new byte[] { 0xc0, 1, 0 })]
    [InlineData(new byte[] { 0x41, 2, 0, 1 })] // [MQTT-2.2.2-2]
    [InlineData(new byte[] { 0x40, 1, 0 })]
    [InlineData(new byte[] { 0x50, 2, 0, 1 })] // PUBREC
    [InlineData(new byte[] { 0x62, 2, 0, 1 })] // PUBREL
    [InlineData(new byte[] { 0x70, 2, 0, 1 })] // PUBCOMP
    [InlineData(new byte[] { 0x20, 2, 0, 0 })] // CONNACK
    [InlineData(new byte[] { 0x90, 3, 0, 1, 0 })] // SUBACK
    [InlineData(new byte[] { 0xb0, 2, 0, 1 })] // UNSUBACK
    [InlineData(new byte[] { 0xd0, 0 })] // PINGRESP
    public void Packet_ThatIsBadOrNotForAServer_Ends(byte[] packet) // [MQTT-4.8.0-1]
    {
        Accept();

        Refused(packet);
    }

    [Fact]
    public void PubAck_IsForTheDriver()
    {
        Accept();

        Assert.Equal(MqttServerStep.Acknowledged, Next(Packets.PubAck(77)));
        Assert.Equal(77, _session.AcknowledgedId);
    }

    private void Accept(string clientId = "d1", MqttWill? will = null)
    {
        Assert.Equal(MqttServerStep.Connect, Next(Packets.ConnectBytes(clientId, will: will)));
        Assert.True(Identity.TryParse(clientId, out var identity));
        _session.Accept(identity, null, _output);
        _output.ResetWrittenCount();
    }

    private MqttServerStep Next(byte[] packet)
    {
        var input = new ReadOnlySequence<byte>(packet);
        var step = _session.Next(ref input, _output, out _);
        Assert.True(input.IsEmpty);
        return step;
    }

    private MqttProtocolException Refused(byte[] packet) => Assert.Throws<MqttProtocolException>(() =>
    {
        var input = new ReadOnlySequence<byte>(packet);
        _session.Next(ref input, _output, out _);
    });
}
