namespace Sallyport.Protocol.Mqtt;

/// <summary>A topic filter and the QoS asked for (0 to 2) or granted (0 or 1).</summary>
public readonly record struct MqttSubscription(string Filter, byte QoS);

/// <summary>A SUBSCRIBE packet, MQTT 3.1.1 section 3.8.</summary>
public sealed record MqttSubscribe(ushort PacketId, IReadOnlyList<MqttSubscription> Subscriptions)
{
    /// <summary>More filters in one packet than any client sends; beyond it the connection is closed.</summary>
    public const int MaxFilters = 64;

    /// <exception cref="MqttProtocolException">The packet does not follow the specification.</exception>
    public static MqttSubscribe Read(in MqttFrame frame)
    {
        if (frame.Flags != 2) // [MQTT-3.8.1-1]
            throw new MqttProtocolException("reserved flags of SUBSCRIBE are wrong");

        var fields = new MqttFields(frame.Body);
        var packetId = fields.UInt16("packet id");
        if (packetId == 0) // [MQTT-2.3.1-1]
            throw new MqttProtocolException("the packet id of SUBSCRIBE is 0");
        if (fields.IsAtEnd) // [MQTT-3.8.3-3]
            throw new MqttProtocolException("SUBSCRIBE has no filter");

        var subscriptions = new List<MqttSubscription>(4);
        while (!fields.IsAtEnd)
        {
            var filter = Filter(ref fields, subscriptions.Count); // [MQTT-3.8.3-1]
            var qos = fields.Byte("requested QoS");
            if (qos > 2) // [MQTT-3.8.3-4]
                throw new MqttProtocolException("the requested QoS is not 0, 1 or 2");

            subscriptions.Add(new MqttSubscription(filter, qos));
        }

        return new MqttSubscribe(packetId, subscriptions);
    }

    internal static string Filter(ref MqttFields fields, int before)
    {
        if (before == MaxFilters)
            throw new MqttProtocolException($"more than {MaxFilters} filters in one packet");

        var filter = fields.Text("topic filter");
        return filter.Length > 0 ? filter : throw new MqttProtocolException("a topic filter is empty"); // [MQTT-4.7.3-1]
    }
}

/// <summary>An UNSUBSCRIBE packet, MQTT 3.1.1 section 3.10.</summary>
public sealed record MqttUnsubscribe(ushort PacketId, IReadOnlyList<string> Filters)
{
    /// <exception cref="MqttProtocolException">The packet does not follow the specification.</exception>
    public static MqttUnsubscribe Read(in MqttFrame frame)
    {
        if (frame.Flags != 2) // [MQTT-3.10.1-1]
            throw new MqttProtocolException("reserved flags of UNSUBSCRIBE are wrong");

        var fields = new MqttFields(frame.Body);
        var packetId = fields.UInt16("packet id");
        if (packetId == 0) // [MQTT-2.3.1-1]
            throw new MqttProtocolException("the packet id of UNSUBSCRIBE is 0");
        if (fields.IsAtEnd) // [MQTT-3.10.3-2]
            throw new MqttProtocolException("UNSUBSCRIBE has no filter");

        var filters = new List<string>(2);
        while (!fields.IsAtEnd)
            filters.Add(MqttSubscribe.Filter(ref fields, filters.Count)); // [MQTT-3.10.3-1]

        return new MqttUnsubscribe(packetId, filters);
    }
}
