using System.Buffers;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Topics;

namespace Sallyport.Protocol.Mqtt;

/// <summary>What a packet asks of the driver.</summary>
public enum MqttServerStep
{
    /// <summary>The input holds no whole packet.</summary>
    NeedMore,

    /// <summary>Dealt with; an answer, if there is one, is in the output.</summary>
    Handled,

    /// <summary><see cref="MqttServerSession.Connect"/> is set: authenticate, then call <see cref="MqttServerSession.Accept"/> or throw with a CONNACK code.</summary>
    Connect,

    /// <summary>A telemetry message: store it, and with QoS 1 stage its packet id in <see cref="MqttServerSession.Acks"/>.</summary>
    Telemetry,

    /// <summary><see cref="MqttServerSession.Request"/> is set: act on it. With QoS 1 its packet id is staged in <see cref="MqttServerSession.Acks"/>.</summary>
    Request,

    /// <summary>The client acknowledged <see cref="MqttServerSession.AcknowledgedId"/>, which the hub may have published, or an earlier connection.</summary>
    Acknowledged,

    /// <summary>The subscriptions changed: save them before the output, which holds the answer, is sent.</summary>
    SubscriptionsChanged,

    /// <summary>DISCONNECT: end without a will, and read no further.</summary>
    Disconnected,
}

/// <summary>A telemetry message as slices: valid until the next call on the session and as long as the input.</summary>
/// <param name="packetId">What PUBACK will carry; 0 when none is owed (QoS 0).</param>
/// <param name="bag">The property bag, checked to be UTF-8; see <see cref="PropertyBag"/>.</param>
/// <param name="retain">RETAIN was set: the message gets the property <c>mqtt-retain</c>; nothing is retained.</param>
public readonly ref struct MqttTelemetry(ushort packetId, ReadOnlySpan<byte> bag, ReadOnlySequence<byte> payload, bool retain)
{
    public ushort PacketId { get; } = packetId;
    public ReadOnlySpan<byte> Bag { get; } = bag;
    public ReadOnlySequence<byte> Payload { get; } = payload;
    public bool Retain { get; } = retain;
}

/// <summary>
/// The hub's side of one MQTT 3.1.1 connection with IoT Hub's rules, without I/O: packets in, decisions and answers out.
/// One method per packet, rules in the order of the specification with the clause at the line end
/// (<c>docs/protocols/mqtt.md</c>). Used by the one loop that reads the connection; only <see cref="Acks"/> is shared with the sender.
/// </summary>
public sealed class MqttServerSession
{
    /// <summary>The longest CONNECT, in bytes: nobody is authenticated yet.</summary>
    public const int MaxConnectLength = 16 * 1024;

    /// <summary>IoT Hub's bound on a message: 256 KB.</summary>
    public const int MaxPayloadLength = 262_144;

    /// <summary>The longest packet after CONNECT: payload, topic, and the lengths and ids between them.</summary>
    public const int MaxPacketLength = MaxPayloadLength + ushort.MaxValue + 4;

    private const byte SubscriptionFailed = 0x80;
    private readonly List<MqttSubscription> _subscriptions = new(DeviceTopics.MaxSubscriptions);
    private DeviceTopics? _topics;
    private byte[]? _scratch;

    /// <summary>Set by <see cref="MqttServerStep.Connect"/>; its password is forgotten by <see cref="Accept"/>.</summary>
    public MqttConnect? Connect { get; private set; }

    /// <summary>Set by <see cref="MqttServerStep.Request"/>.</summary>
    public MqttRequest? Request { get; private set; }

    /// <summary>Set by <see cref="MqttServerStep.Acknowledged"/>.</summary>
    public ushort AcknowledgedId { get; private set; }

    /// <summary>CONNACK 0 was given.</summary>
    public bool IsConnected => _topics is not null;

    /// <summary>What to store when the connection ends now; null when there is none or DISCONNECT dropped it.</summary>
    public MqttWill? Will { get; private set; }

    /// <summary>What the client is subscribed to, QoS as granted, at most <see cref="DeviceTopics.MaxSubscriptions"/>.</summary>
    public IReadOnlyList<MqttSubscription> Subscriptions => _subscriptions;

    /// <summary>Whether the client is subscribed to one of the hub's filters.</summary>
    public bool IsSubscribed(string filter) => IndexOf(filter) >= 0;

    /// <summary>The PUBACKs owed.</summary>
    public MqttAcks Acks { get; } = new();

    /// <summary>Takes the next packet.</summary>
    /// <param name="input">What has arrived; moved behind the packet.</param>
    /// <param name="output">Gets the answers except PUBACK.</param>
    /// <param name="telemetry">Set with <see cref="MqttServerStep.Telemetry"/>.</param>
    /// <exception cref="MqttProtocolException">The connection must end; with a <see cref="MqttProtocolException.ConnectCode"/> after that CONNACK.</exception>
    public MqttServerStep Next(ref ReadOnlySequence<byte> input, IBufferWriter<byte> output, out MqttTelemetry telemetry)
    {
        telemetry = default;
        if (!IsConnected && !input.IsEmpty && input.FirstSpan is [var first, ..] && first >> 4 != (int)MqttPacketType.Connect) // [MQTT-3.1.0-1]
            throw new MqttProtocolException($"the first packet is of type {first >> 4}, not CONNECT");
        if (!MqttFrame.TryRead(ref input, IsConnected ? MaxPacketLength : MaxConnectLength, out var frame))
            return MqttServerStep.NeedMore;

        if (!IsConnected)
            return OnFirst(frame);

        switch (frame.Type)
        {
            case MqttPacketType.Publish:
                return OnPublish(frame, out telemetry);
            case MqttPacketType.PubAck:
                return OnPubAck(frame);
            case MqttPacketType.Subscribe:
                return OnSubscribe(frame, output);
            case MqttPacketType.Unsubscribe:
                return OnUnsubscribe(frame, output);
            case MqttPacketType.PingReq:
                return OnPingReq(frame, output);
            case MqttPacketType.Disconnect:
                return OnDisconnect(frame);
            case MqttPacketType.Connect: // [MQTT-3.1.0-2]
                throw new MqttProtocolException("a second CONNECT");
            default:
                throw new MqttProtocolException($"{frame.Type} is not for a server, or of QoS 2, which IoT Hub does not serve");
        }
    }

    /// <summary>Lets the client in.</summary>
    /// <param name="stored">The subscriptions of the session that is resumed; null when none is.</param>
    /// <param name="output">Gets the CONNACK.</param>
    public void Accept(Identity identity, IReadOnlyList<MqttSubscription>? stored, IBufferWriter<byte> output)
    {
        if (Connect is null || IsConnected)
            throw new InvalidOperationException("there is no CONNECT to accept");

        _topics = new DeviceTopics(identity);
        Will = Connect.Will;
        var resumes = !Connect.CleanSession && stored is not null; // [MQTT-3.1.2-4] [MQTT-3.1.2-6]
        if (resumes)
            _subscriptions.AddRange(stored!);
        Connect = Connect with { Password = null };
        MqttWriter.ConnAck(output, resumes, MqttConnectCode.Accepted); // [MQTT-3.1.4-4] [MQTT-3.2.0-1] [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    }

    /// <summary>Gives back what a packet spread over several buffers needed. Call it when the input is done with for now.</summary>
    public void ReleaseBuffers()
    {
        if (_scratch is null)
            return;

        ArrayPool<byte>.Shared.Return(_scratch);
        _scratch = null;
    }

    private MqttServerStep OnFirst(in MqttFrame frame)
    {
        if (Connect is not null) // [MQTT-3.1.4-5]
            throw new MqttProtocolException("a packet before CONNACK");

        var connect = MqttConnect.Read(frame); // [MQTT-3.1.4-1]
        if (connect.ClientId.Length == 0) // [MQTT-3.1.3-8] [MQTT-3.1.3-9]
            throw new MqttProtocolException(HubErrors.ArgumentInvalid, "the client id is empty", MqttConnectCode.IdentifierRejected);
        if (connect.Will is { QoS: 2 })
            throw new MqttProtocolException(HubErrors.ArgumentInvalid, "a will of QoS 2, which IoT Hub does not serve", MqttConnectCode.NotAuthorized);

        Connect = connect;
        return MqttServerStep.Connect;
    }

    private MqttServerStep OnPublish(MqttFrame frame, out MqttTelemetry telemetry)
    {
        telemetry = default;
        var publish = MqttPublish.Read(frame);
        if (publish.QoS == 2)
            throw new MqttProtocolException(HubErrors.ArgumentInvalid, "PUBLISH of QoS 2, which IoT Hub does not serve");
        if (publish.Payload.Length > MaxPayloadLength)
            throw new MqttProtocolException(HubErrors.MessageTooLarge, $"a message of {publish.Payload.Length} bytes");

        var topic = Contiguous(publish.Topic);
        var target = _topics!.Classify(topic, out var tail);
        if (target == PublishTarget.Foreign) // [MQTT-3.3.5-2]
            throw new MqttProtocolException(HubErrors.UnauthorizedAccess, $"PUBLISH to '{Printable(topic)}', which is not a topic of this device");

        // The C SDK writes properties un-encoded: a '+' or '#' in the bag is taken, though [MQTT-3.3.2-2] forbids the client to send it.
        if (!tail.IsEmpty)
            MqttFields.CheckText(tail, "topic name"); // [MQTT-4.7.3-2]
        if (target != PublishTarget.Telemetry && topic.IndexOfAny((byte)'+', (byte)'#') >= 0) // [MQTT-3.3.2-2]
            throw new MqttProtocolException("a wildcard in the topic of a PUBLISH");

        if (target == PublishTarget.Telemetry)
        {
            telemetry = new MqttTelemetry(publish.PacketId, tail, publish.Payload, publish.Retain);
            return MqttServerStep.Telemetry;
        }

        if (publish.QoS == 1)
            Acks.Stage(publish.PacketId); // [MQTT-3.3.4-1]
        Request = new MqttRequest(target, DeviceTopics.MethodStatus(topic).ToArray(), tail.ToArray(), publish.Payload.ToArray());
        return MqttServerStep.Request;
    }

    // A late acknowledgement of what an earlier connection sent is harmless: the driver does not know its id.
    private MqttServerStep OnPubAck(in MqttFrame frame)
    {
        NoFlags(frame);
        if (frame.Body.Length != 2)
            throw new MqttProtocolException("the length of PUBACK is not 2");

        AcknowledgedId = new MqttFields(frame.Body).UInt16("packet id");
        return MqttServerStep.Acknowledged;
    }

    private MqttServerStep OnSubscribe(in MqttFrame frame, IBufferWriter<byte> output)
    {
        var subscribe = MqttSubscribe.Read(frame);
        Span<byte> codes = stackalloc byte[MqttSubscribe.MaxFilters];
        var changed = false;
        for (var i = 0; i < subscribe.Subscriptions.Count; i++) // [MQTT-3.8.4-4]
            codes[i] = Add(subscribe.Subscriptions[i], ref changed);

        MqttWriter.SubAck(output, subscribe.PacketId, codes[..subscribe.Subscriptions.Count]); // [MQTT-3.8.4-1] [MQTT-3.8.4-5]
        return changed ? MqttServerStep.SubscriptionsChanged : MqttServerStep.Handled;
    }

    private byte Add(MqttSubscription asked, ref bool changed)
    {
        if (!_topics!.MaySubscribe(asked.Filter))
            return SubscriptionFailed;

        var granted = asked with { QoS = Math.Min(asked.QoS, (byte)1) };
        var at = IndexOf(asked.Filter);
        if (at < 0 && _subscriptions.Count == DeviceTopics.MaxSubscriptions)
            return SubscriptionFailed;

        if (at < 0)
            _subscriptions.Add(granted);
        else if (_subscriptions[at] == granted)
            return granted.QoS;
        else
            _subscriptions[at] = granted; // [MQTT-3.8.4-3]

        changed = true;
        return granted.QoS;
    }

    private MqttServerStep OnUnsubscribe(in MqttFrame frame, IBufferWriter<byte> output)
    {
        var unsubscribe = MqttUnsubscribe.Read(frame);
        var changed = false;
        foreach (var filter in unsubscribe.Filters) // [MQTT-3.10.4-6]
        {
            var at = IndexOf(filter); // [MQTT-3.10.4-1]
            if (at < 0)
                continue;

            _subscriptions.RemoveAt(at); // [MQTT-3.10.4-2]
            changed = true;
        }

        MqttWriter.UnsubAck(output, unsubscribe.PacketId); // [MQTT-3.10.4-4] [MQTT-3.10.4-5]
        return changed ? MqttServerStep.SubscriptionsChanged : MqttServerStep.Handled;
    }

    private static MqttServerStep OnPingReq(in MqttFrame frame, IBufferWriter<byte> output)
    {
        NoFlags(frame);
        NoBody(frame);
        MqttWriter.Empty(output, MqttPacketType.PingResp); // [MQTT-3.12.4-1]
        return MqttServerStep.Handled;
    }

    private MqttServerStep OnDisconnect(in MqttFrame frame)
    {
        NoFlags(frame); // [MQTT-3.14.1-1]
        NoBody(frame);
        Will = null; // [MQTT-3.1.2-10] [MQTT-3.14.4-3]
        return MqttServerStep.Disconnected;
    }

    private static void NoFlags(in MqttFrame frame)
    {
        if (frame.Flags != 0) // [MQTT-2.2.2-2]
            throw new MqttProtocolException($"reserved flags of {frame.Type} are set");
    }

    private static void NoBody(in MqttFrame frame)
    {
        if (!frame.Body.IsEmpty)
            throw new MqttProtocolException($"{frame.Type} has a body");
    }

    private int IndexOf(string filter)
    {
        for (var i = 0; i < _subscriptions.Count; i++)
        {
            if (string.Equals(_subscriptions[i].Filter, filter, StringComparison.Ordinal))
                return i;
        }

        return -1;
    }

    private ReadOnlySpan<byte> Contiguous(ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsSingleSegment)
            return bytes.FirstSpan;

        var length = (int)bytes.Length;
        if (_scratch is null || _scratch.Length < length)
        {
            ReleaseBuffers();
            _scratch = ArrayPool<byte>.Shared.Rent(length);
        }

        bytes.CopyTo(_scratch);
        return _scratch.AsSpan(0, length);
    }

    // For reasons in log and audit: short, and nothing that breaks a line.
    private static string Printable(ReadOnlySpan<byte> text)
    {
        const int longest = 128;
        var cut = text[..Math.Min(text.Length, longest)];
        return string.Create(cut.Length, cut, static (chars, bytes) =>
        {
            for (var i = 0; i < chars.Length; i++)
                chars[i] = bytes[i] is >= 0x20 and < 0x7f ? (char)bytes[i] : '.';
        });
    }
}
