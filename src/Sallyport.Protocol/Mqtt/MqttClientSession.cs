using System.Buffers;

namespace Sallyport.Protocol.Mqtt;

public enum MqttClientState
{
    /// <summary>Nothing sent yet.</summary>
    New,

    /// <summary>CONNECT is written, CONNACK not yet read.</summary>
    Connecting,
    Connected,

    /// <summary>Refused, or DISCONNECT is written: nothing more is sent.</summary>
    Closed,
}

/// <summary>What <see cref="MqttClientSession.Read"/> found.</summary>
public enum MqttClientEvent
{
    /// <summary>No whole packet is there.</summary>
    NeedMore,

    /// <summary>A packet that needs nothing from the driver (PINGRESP).</summary>
    Handled,

    /// <summary>CONNACK 0; <see cref="MqttClientPacket.SessionPresent"/> is set.</summary>
    Connected,

    /// <summary>CONNACK with <see cref="MqttClientPacket.ConnectCode"/>; the connection is to be closed.</summary>
    Refused,

    /// <summary>PUBACK of <see cref="MqttClientPacket.PacketId"/>.</summary>
    Acknowledged,

    /// <summary>SUBACK: <see cref="MqttClientPacket.Codes"/>, one per filter in the order asked (0x80: refused).</summary>
    Subscribed,
    Unsubscribed,

    /// <summary>A message: <see cref="MqttClientPacket.Message"/>. With QoS 1 its PUBACK is already in the output.</summary>
    Message,
}

/// <summary>The fields of what was read; which are set depends on the event. Slices are valid until the input is advanced.</summary>
public readonly record struct MqttClientPacket(
    ushort PacketId = 0, MqttConnectCode ConnectCode = MqttConnectCode.Accepted, bool SessionPresent = false,
    ReadOnlySequence<byte> Codes = default, MqttPublish Message = default);

/// <param name="MaxInFlight">How many QoS 1 messages may wait for their PUBACK, 1 to 32,767.</param>
public sealed record MqttClientOptions(int MaxInFlight = 100);

/// <summary>
/// The client's side of one MQTT 3.1.1 connection, without I/O: what to send is written to the buffer given, what arrives is handed in.
/// Used by one driver at a time; not thread-safe. Times are monotonic milliseconds of any origin.
/// </summary>
/// <remarks>
/// The driver owns retransmission: after a reconnect it publishes again, first and with the id of before, what was not acknowledged.
/// </remarks>
public sealed class MqttClientSession(MqttClientOptions options)
{
    /// <summary>The longest packet a hub sends: a command of 64 KB or a twin, with its topic.</summary>
    public const int MaxPacketLength = 512 * 1024;

    private const long ConnectTimeoutMs = 60_000;
    private const long PingTimeoutMs = 30_000;
    private readonly HashSet<ushort> _inFlight = [];
    private readonly HashSet<ushort> _subscribing = [];
    private readonly HashSet<ushort> _unsubscribing = [];
    private ushort _lastPacketId;
    private long _keepAliveMs;
    private long _pingDue = long.MaxValue;
    private long _answerDue = long.MaxValue;

    public MqttClientState State { get; private set; }

    /// <summary>QoS 1 messages without PUBACK.</summary>
    public int InFlight => _inFlight.Count;

    /// <summary>Whether a QoS 1 message may be published now.</summary>
    public bool HasRoom => _inFlight.Count < options.MaxInFlight;

    /// <summary>When <see cref="Tick"/> has something to do; <see cref="long.MaxValue"/> for never.</summary>
    public long NextDueMs => Math.Min(_pingDue, _answerDue);

    /// <summary>Writes CONNECT. Once per session object. [MQTT-3.1.0-1] [MQTT-3.1.0-2]</summary>
    public void Connect(IBufferWriter<byte> output, MqttConnect connect, long nowMs)
    {
        Demand(MqttClientState.New);
        State = MqttClientState.Connecting;
        _keepAliveMs = connect.KeepAliveSeconds * 1000L;
        _answerDue = nowMs + ConnectTimeoutMs;
        MqttWriter.Connect(output, connect);
    }

    /// <summary>Writes a PUBLISH.</summary>
    /// <param name="topic">UTF-8, at most 65,535 bytes.</param>
    /// <param name="qos">0 or 1.</param>
    /// <param name="packetId">The id that its PUBACK will carry; 0 with QoS 0.</param>
    /// <param name="sentAs">The id that the message of QoS 1 was sent with on an earlier connection; 0 when it was not sent yet.</param>
    /// <returns>False, and nothing written, when the window is full (<see cref="HasRoom"/>).</returns>
    public bool TryPublish(
        IBufferWriter<byte> output, ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload, byte qos, long nowMs, out ushort packetId, bool retain = false, ushort sentAs = 0)
    {
        Demand(MqttClientState.Connected);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(qos, (byte)1);
        packetId = 0;
        if (qos == 1)
        {
            if (!HasRoom)
                return false;

            packetId = sentAs != 0 ? sentAs : NextPacketId(); // [MQTT-4.4.0-1]
            if (!_inFlight.Add(packetId))
                throw new ArgumentException($"packet id {packetId} is in use", nameof(sentAs));
        }

        MqttWriter.Publish(output, sentAs != 0 && qos == 1, qos, retain, packetId, topic, payload); // [MQTT-3.3.1-1] [MQTT-3.3.1-2] [MQTT-4.3.2-1]
        Sent(nowMs);
        return true;
    }

    /// <summary>Writes a SUBSCRIBE and gives the id that its SUBACK will carry.</summary>
    public ushort Subscribe(IBufferWriter<byte> output, IReadOnlyList<MqttSubscription> subscriptions, long nowMs)
    {
        Demand(MqttClientState.Connected);
        ArgumentOutOfRangeException.ThrowIfZero(subscriptions.Count); // [MQTT-3.8.3-3]
        var packetId = NextPacketId();
        _subscribing.Add(packetId);
        MqttWriter.Subscribe(output, packetId, subscriptions);
        Sent(nowMs);
        return packetId;
    }

    /// <summary>Writes an UNSUBSCRIBE and gives the id that its UNSUBACK will carry.</summary>
    public ushort Unsubscribe(IBufferWriter<byte> output, IReadOnlyList<string> filters, long nowMs)
    {
        Demand(MqttClientState.Connected);
        ArgumentOutOfRangeException.ThrowIfZero(filters.Count); // [MQTT-3.10.3-2]
        var packetId = NextPacketId();
        _unsubscribing.Add(packetId);
        MqttWriter.Unsubscribe(output, packetId, filters);
        Sent(nowMs);
        return packetId;
    }

    /// <summary>Writes DISCONNECT: the hub drops the will. Nothing may be sent after it.</summary>
    public void Disconnect(IBufferWriter<byte> output)
    {
        if (State == MqttClientState.Connected)
            MqttWriter.Empty(output, MqttPacketType.Disconnect);
        State = MqttClientState.Closed; // [MQTT-3.14.4-2]
        _pingDue = _answerDue = long.MaxValue;
    }

    /// <summary>Writes PINGREQ when it is due.</summary>
    /// <returns>False when the hub has not answered CONNECT or PINGREQ in time: the connection is dead.</returns>
    public bool Tick(IBufferWriter<byte> output, long nowMs)
    {
        if (nowMs >= _answerDue)
            return false;

        if (nowMs >= _pingDue)
        {
            MqttWriter.Empty(output, MqttPacketType.PingReq);
            _answerDue = Math.Min(_answerDue, nowMs + PingTimeoutMs); // Another ping gives no more time to answer the one before.
            _pingDue = nowMs + PingIntervalMs; // [MQTT-3.1.2-23]
        }

        return true;
    }

    /// <summary>Takes the next packet out of what has arrived.</summary>
    /// <param name="input">Moved behind the packet; unchanged when more is needed.</param>
    /// <param name="output">Gets the PUBACK of a QoS 1 message.</param>
    /// <exception cref="MqttProtocolException">The hub broke the protocol: close the connection.</exception>
    public MqttClientEvent Read(ref ReadOnlySequence<byte> input, IBufferWriter<byte> output, long nowMs, out MqttClientPacket packet)
    {
        packet = default;
        if (!MqttFrame.TryRead(ref input, MaxPacketLength, out var frame))
            return MqttClientEvent.NeedMore;
        if (State == MqttClientState.Connecting)
            return OnConnAck(frame, nowMs, out packet);
        if (State != MqttClientState.Connected)
            throw new MqttProtocolException($"{frame.Type} while not connected");

        switch (frame.Type)
        {
            case MqttPacketType.Publish:
                return OnPublish(frame, output, nowMs, out packet);
            case MqttPacketType.PubAck:
                packet = new MqttClientPacket(ReadId(frame, _inFlight));
                return MqttClientEvent.Acknowledged;
            case MqttPacketType.SubAck:
                packet = new MqttClientPacket(ReadId(frame, _subscribing), Codes: frame.Body.Slice(2));
                return MqttClientEvent.Subscribed;
            case MqttPacketType.UnsubAck:
                packet = new MqttClientPacket(ReadId(frame, _unsubscribing));
                return MqttClientEvent.Unsubscribed;
            case MqttPacketType.PingResp:
                _answerDue = long.MaxValue;
                return MqttClientEvent.Handled;
            default:
                throw new MqttProtocolException($"{frame.Type} is not for a client");
        }
    }

    private MqttClientEvent OnConnAck(in MqttFrame frame, long nowMs, out MqttClientPacket packet)
    {
        if (frame.Type != MqttPacketType.ConnAck) // [MQTT-3.2.0-1]
            throw new MqttProtocolException($"{frame.Type} instead of CONNACK");

        var fields = new MqttFields(frame.Body);
        var sessionPresent = (fields.Byte("acknowledge flags") & 1) != 0;
        var code = (MqttConnectCode)fields.Byte("return code");
        packet = new MqttClientPacket(ConnectCode: code, SessionPresent: sessionPresent);
        _answerDue = long.MaxValue;
        if (code != MqttConnectCode.Accepted)
        {
            State = MqttClientState.Closed;
            return MqttClientEvent.Refused;
        }

        State = MqttClientState.Connected;
        Sent(nowMs);
        return MqttClientEvent.Connected;
    }

    private MqttClientEvent OnPublish(in MqttFrame frame, IBufferWriter<byte> output, long nowMs, out MqttClientPacket packet)
    {
        var publish = MqttPublish.Read(frame);
        if (publish.QoS == 2)
            throw new MqttProtocolException("a message of QoS 2");

        if (publish.QoS == 1)
        {
            MqttWriter.PubAck(output.GetSpan(MqttWriter.PubAckLength), publish.PacketId); // [MQTT-4.3.2-2] [MQTT-4.6.0-2]
            output.Advance(MqttWriter.PubAckLength);
            Sent(nowMs);
        }

        packet = new MqttClientPacket(publish.PacketId, Message: publish);
        return MqttClientEvent.Message;
    }

    private static ushort ReadId(in MqttFrame frame, HashSet<ushort> waiting)
    {
        var fields = new MqttFields(frame.Body);
        var packetId = fields.UInt16("packet id");
        return waiting.Remove(packetId) ? packetId : throw new MqttProtocolException($"{frame.Type} for packet id {packetId}, which waits for none");
    }

    private ushort NextPacketId()
    {
        do
        {
            _lastPacketId = _lastPacketId == ushort.MaxValue ? (ushort)1 : (ushort)(_lastPacketId + 1); // [MQTT-2.3.1-1]
        }
        while (_inFlight.Contains(_lastPacketId) || _subscribing.Contains(_lastPacketId) || _unsubscribing.Contains(_lastPacketId)); // [MQTT-2.3.1-2]

        return _lastPacketId;
    }

    // The hub waits one and a half times the keep-alive; three quarters of it leaves room for a slow network.
    private long PingIntervalMs => _keepAliveMs * 3 / 4;

    private void Sent(long nowMs) => _pingDue = _keepAliveMs == 0 ? long.MaxValue : nowMs + PingIntervalMs;

    private void Demand(MqttClientState state)
    {
        if (State != state)
            throw new InvalidOperationException($"the session is {State}, not {state}");
    }
}
