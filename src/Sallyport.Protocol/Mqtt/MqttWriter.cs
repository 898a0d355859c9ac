using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Sallyport.Protocol.Mqtt;

/// <summary>Writes whole packets of both roles, each with one reservation, so that a writer shared under a lock never holds half a packet.</summary>
public static class MqttWriter
{
    /// <summary>Bytes of a PUBACK.</summary>
    public const int PubAckLength = 4;

    /// <exception cref="ArgumentException">A field is longer than 65,535 bytes.</exception>
    public static void Connect(IBufferWriter<byte> output, MqttConnect connect)
    {
        var flags = (byte)((connect.CleanSession ? MqttConnect.CleanSessionFlag : 0)
            | (connect.Will is { } w ? MqttConnect.WillFlag | (w.QoS << 3) | (w.Retain ? MqttConnect.WillRetainFlag : 0) : 0)
            | (connect.UserName is null ? 0 : MqttConnect.UserNameFlag)
            | (connect.Password is null ? 0 : MqttConnect.PasswordFlag));
        var remaining = 10 + TextLength(connect.ClientId)
            + (connect.Will is { } will ? TextLength(will.Topic) + 2 + will.Payload.Length : 0)
            + (connect.UserName is { } user ? TextLength(user) : 0)
            + (connect.Password is { } password ? TextLength(password) : 0);

        var packet = Begin(output, MqttPacketType.Connect, 0, remaining, out var length);
        packet = Text(packet, "MQTT"); // [MQTT-3.1.2-1]
        packet[0] = MqttConnect.Level;
        packet[1] = flags;
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], connect.KeepAliveSeconds);
        packet = Text(packet[4..], connect.ClientId); // [MQTT-3.1.3-1]
        if (connect.Will is not null)
        {
            packet = Text(packet, connect.Will.Topic);
            BinaryPrimitives.WriteUInt16BigEndian(packet, checked((ushort)connect.Will.Payload.Length));
            connect.Will.Payload.CopyTo(packet[2..]);
            packet = packet[(2 + connect.Will.Payload.Length)..];
        }

        if (connect.UserName is not null)
            packet = Text(packet, connect.UserName);
        if (connect.Password is not null)
            Text(packet, connect.Password);
        output.Advance(length);
    }

    public static void ConnAck(IBufferWriter<byte> output, bool sessionPresent, MqttConnectCode code)
    {
        var packet = Begin(output, MqttPacketType.ConnAck, 0, 2, out var length);
        packet[0] = sessionPresent && code == MqttConnectCode.Accepted ? (byte)1 : (byte)0; // [MQTT-3.2.2-4]
        packet[1] = (byte)code;
        output.Advance(length);
    }

    /// <param name="packetId">Not 0 when <paramref name="qos"/> is 1.</param>
    /// <param name="topic">UTF-8, without wildcards, at most 65,535 bytes.</param>
    public static void Publish(IBufferWriter<byte> output, bool dup, byte qos, bool retain, ushort packetId, ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload)
    {
        var flags = (byte)((dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0));
        var remaining = 2 + topic.Length + (qos == 0 ? 0 : 2) + payload.Length; // [MQTT-2.3.1-5]
        var packet = Begin(output, MqttPacketType.Publish, flags, remaining, out var length);
        BinaryPrimitives.WriteUInt16BigEndian(packet, checked((ushort)topic.Length));
        topic.CopyTo(packet[2..]); // [MQTT-3.3.2-1]
        packet = packet[(2 + topic.Length)..];
        if (qos != 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(packet, packetId);
            packet = packet[2..];
        }

        payload.CopyTo(packet);
        output.Advance(length);
    }

    /// <summary>Writes a PUBACK into <see cref="PubAckLength"/> bytes.</summary>
    public static void PubAck(Span<byte> packet, ushort packetId) =>
        BinaryPrimitives.WriteUInt32BigEndian(packet, 0x4002_0000u | packetId); // [MQTT-2.3.1-6]

    public static void Subscribe(IBufferWriter<byte> output, ushort packetId, IReadOnlyList<MqttSubscription> subscriptions)
    {
        var remaining = 2;
        for (var i = 0; i < subscriptions.Count; i++)
            remaining += TextLength(subscriptions[i].Filter) + 1;

        var packet = Begin(output, MqttPacketType.Subscribe, 2, remaining, out var length); // [MQTT-3.8.1-1]
        BinaryPrimitives.WriteUInt16BigEndian(packet, packetId);
        packet = packet[2..];
        for (var i = 0; i < subscriptions.Count; i++)
        {
            packet = Text(packet, subscriptions[i].Filter);
            packet[0] = subscriptions[i].QoS;
            packet = packet[1..];
        }

        output.Advance(length);
    }

    public static void SubAck(IBufferWriter<byte> output, ushort packetId, ReadOnlySpan<byte> codes)
    {
        var packet = Begin(output, MqttPacketType.SubAck, 0, 2 + codes.Length, out var length);
        BinaryPrimitives.WriteUInt16BigEndian(packet, packetId); // [MQTT-2.3.1-7] [MQTT-3.8.4-2]
        codes.CopyTo(packet[2..]); // [MQTT-3.9.3-1]
        output.Advance(length);
    }

    public static void Unsubscribe(IBufferWriter<byte> output, ushort packetId, IReadOnlyList<string> filters)
    {
        var remaining = 2;
        for (var i = 0; i < filters.Count; i++)
            remaining += TextLength(filters[i]);

        var packet = Begin(output, MqttPacketType.Unsubscribe, 2, remaining, out var length); // [MQTT-3.10.1-1]
        BinaryPrimitives.WriteUInt16BigEndian(packet, packetId);
        packet = packet[2..];
        for (var i = 0; i < filters.Count; i++)
            packet = Text(packet, filters[i]);

        output.Advance(length);
    }

    public static void UnsubAck(IBufferWriter<byte> output, ushort packetId)
    {
        var packet = Begin(output, MqttPacketType.UnsubAck, 0, 2, out var length);
        BinaryPrimitives.WriteUInt16BigEndian(packet, packetId); // [MQTT-2.3.1-7]
        output.Advance(length);
    }

    /// <summary>Writes PINGREQ, PINGRESP or DISCONNECT.</summary>
    public static void Empty(IBufferWriter<byte> output, MqttPacketType type)
    {
        Begin(output, type, 0, 0, out var length);
        output.Advance(length);
    }

    private static Span<byte> Begin(IBufferWriter<byte> output, MqttPacketType type, byte flags, int remaining, out int length)
    {
        var headerLength = remaining switch { < 128 => 2, < 16_384 => 3, < 2_097_152 => 4, _ => 5 };
        length = headerLength + remaining;
        var packet = output.GetSpan(length);
        packet[0] = (byte)(((int)type << 4) | flags);
        var rest = remaining;
        for (var at = 1; at < headerLength; at++)
        {
            packet[at] = (byte)((rest & 0x7f) | (at + 1 < headerLength ? 0x80 : 0));
            rest >>= 7;
        }

        return packet[headerLength..length];
    }

    private static int TextLength(string text)
    {
        var length = Encoding.UTF8.GetByteCount(text);
        return length <= ushort.MaxValue ? 2 + length : throw new ArgumentException("an MQTT text field has at most 65,535 bytes");
    }

    private static Span<byte> Text(Span<byte> packet, string text)
    {
        var length = Encoding.UTF8.GetBytes(text, packet[2..]);
        BinaryPrimitives.WriteUInt16BigEndian(packet, (ushort)length);
        return packet[(2 + length)..];
    }
}
