using System.Buffers;

namespace Sallyport.Protocol.Mqtt;

/// <summary>A PUBLISH packet, MQTT 3.1.1 section 3.3, as slices of the read buffer: valid as long as that. No text is decoded.</summary>
/// <param name="PacketId">0 with QoS 0.</param>
/// <param name="Topic">Raw bytes; the session checks them where it uses them.</param>
public readonly record struct MqttPublish(
    bool Dup, byte QoS, bool Retain, ushort PacketId, ReadOnlySequence<byte> Topic, ReadOnlySequence<byte> Payload)
{
    /// <exception cref="MqttProtocolException">The packet does not follow the specification.</exception>
    public static MqttPublish Read(in MqttFrame frame)
    {
        var qos = (byte)((frame.Flags >> 1) & 3);
        var dup = (frame.Flags & 8) != 0;
        if (qos == 3) // [MQTT-3.3.1-4]
            throw new MqttProtocolException("both QoS bits of PUBLISH are set");
        if (dup && qos == 0) // [MQTT-3.3.1-2]
            throw new MqttProtocolException("DUP is set on a PUBLISH of QoS 0");

        var fields = new MqttFields(frame.Body);
        var topic = fields.Bytes("topic name"); // [MQTT-3.3.2-1]
        if (topic.IsEmpty) // [MQTT-4.7.3-1]
            throw new MqttProtocolException("the topic name is empty");

        var packetId = qos == 0 ? (ushort)0 : fields.UInt16("packet id"); // [MQTT-2.3.1-5]
        if (qos != 0 && packetId == 0) // [MQTT-2.3.1-1]
            throw new MqttProtocolException("the packet id of PUBLISH is 0");

        return new MqttPublish(dup, qos, (frame.Flags & 1) != 0, packetId, topic, fields.Rest);
    }
}
