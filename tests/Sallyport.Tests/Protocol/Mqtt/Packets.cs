using System.Buffers;
using System.Text;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Mqtt;

/// <summary>Packets as bytes, whole or as broken as a test needs them.</summary>
internal static class Packets
{
    public const string Host = "hub.test";

    public static byte[] Of(Action<IBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(output);
        return output.WrittenSpan.ToArray();
    }

    public static MqttConnect Connect(string clientId = "d1", bool clean = true, ushort keepAlive = 60, string? token = "good", MqttWill? will = null) =>
        new(clientId, clean, keepAlive, $"{Host}/{clientId}/?api-version=2021-04-12", token, will);

    public static byte[] ConnectBytes(string clientId = "d1", bool clean = true, MqttWill? will = null) =>
        Of(o => MqttWriter.Connect(o, Connect(clientId, clean, will: will)));

    public static byte[] Publish(string topic, string payload = "x", byte qos = 1, ushort packetId = 1, bool dup = false, bool retain = false) =>
        Of(o => MqttWriter.Publish(o, dup, qos, retain, packetId, Encoding.UTF8.GetBytes(topic), Encoding.UTF8.GetBytes(payload)));

    public static byte[] Telemetry(string payload = "x", byte qos = 1, ushort packetId = 1, string bag = "", bool dup = false, bool retain = false) =>
        Publish("devices/d1/messages/events/" + bag, payload, qos, packetId, dup, retain);

    public static byte[] Subscribe(ushort packetId, params (string Filter, byte QoS)[] filters) =>
        Of(o => MqttWriter.Subscribe(o, packetId, [.. filters.Select(f => new MqttSubscription(f.Filter, f.QoS))]));

    public static byte[] Unsubscribe(ushort packetId, params string[] filters) => Of(o => MqttWriter.Unsubscribe(o, packetId, filters));

    public static byte[] PingReq => [0xc0, 0];

    public static byte[] Disconnect => [0xe0, 0];

    public static byte[] ConnAck(MqttConnectCode code, bool sessionPresent = false) => [0x20, 2, sessionPresent ? (byte)1 : (byte)0, (byte)code];

    public static byte[] PubAck(ushort packetId) => [0x40, 2, (byte)(packetId >> 8), (byte)packetId];

    public static byte[] Concat(params byte[][] packets) => [.. packets.SelectMany(p => p)];

    /// <summary>The same bytes in segments of the given size, as a slow network or small blocks bring them.</summary>
    public static ReadOnlySequence<byte> InSegments(byte[] bytes, int size)
    {
        if (bytes.Length == 0)
            return ReadOnlySequence<byte>.Empty;

        var first = new Segment(bytes.AsMemory(0, Math.Min(size, bytes.Length)), 0);
        var last = first;
        for (var at = size; at < bytes.Length; at += size)
            last = last.Append(bytes.AsMemory(at, Math.Min(size, bytes.Length - at)));
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long index)
        {
            Memory = memory;
            RunningIndex = index;
        }

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
