using System.Buffers.Binary;
using System.Text;

namespace Sallyport.Tests.Protocol.Amqp;

/// <summary>A symbol among the fields of a hand-written performative; a string is a string there.</summary>
internal readonly record struct Symbol(string Text);

/// <summary>Bytes that stand for themselves: a value that no writer would make.</summary>
internal readonly record struct Encoded(byte[] Bytes);

/// <summary>A described list.</summary>
internal readonly record struct Described(byte Code, params object?[] Fields);

/// <summary>Frames as bytes, whole or as broken as a test needs them; made without the codec under test.</summary>
internal static class Frames
{
    public static byte[] AmqpHeader => [.. "AMQP"u8, 0, 1, 0, 0];

    public static byte[] SaslHeader => [.. "AMQP"u8, 3, 1, 0, 0];

    public static byte[] Heartbeat => Of(0, 0, []);

    public static byte[] Of(byte type, ushort channel, byte[] body, byte offset = 2)
    {
        var frame = new byte[(offset * 4) + body.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length);
        frame[4] = offset;
        frame[5] = type;
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(6), channel);
        body.CopyTo(frame, offset * 4);
        return frame;
    }

    public static byte[] Amqp(ushort channel, byte code, params object?[] fields) => Of(0, channel, Value(new Described(code, fields)));

    public static byte[] Sasl(byte code, params object?[] fields) => Of(1, 0, Value(new Described(code, fields)));

    public static byte[] SaslInit(string mechanism = "ANONYMOUS", byte[]? response = null) => Sasl(0x41, new Symbol(mechanism), response, "hub.test");

    public static byte[] Open(object? maxFrameSize = null, object? channelMax = null, object? idleTimeOutMs = null) =>
        Amqp(0, 0x10, "peer", "hub.test", maxFrameSize, channelMax, idleTimeOutMs);

    public static byte[] Begin(ushort channel = 0, ushort? remoteChannel = null, uint nextOutgoingId = 0, uint incomingWindow = 1000, uint? handleMax = null) =>
        Amqp(channel, 0x11, remoteChannel, nextOutgoingId, incomingWindow, 1000u, handleMax);

    /// <summary>The peer wants to send.</summary>
    public static byte[] AttachSender(uint handle = 0, string name = "up", string? target = "to", ushort channel = 0, uint initialDeliveryCount = 0) =>
        Amqp(channel, 0x12, name, handle, false, null, null, new Described(0x28, "from"), Terminus(0x29, target), null, null, initialDeliveryCount);

    /// <summary>The peer wants to receive.</summary>
    public static byte[] AttachReceiver(uint handle = 0, string name = "down", string? source = "from", ushort channel = 0) =>
        Amqp(channel, 0x12, name, handle, true, null, null, Terminus(0x28, source), new Described(0x29, "to"));

    /// <summary>The peer wants to receive, and says how it settles.</summary>
    public static byte[] AttachReceiver(uint handle, string name, string source, byte? sender, byte? receiver) =>
        Amqp(0, 0x12, name, handle, true, sender, receiver, new Described(0x28, source), new Described(0x29, "to"));

    /// <summary>A session's flow.</summary>
    public static byte[] Window(uint? nextIncomingId, uint incomingWindow, ushort channel = 0, bool echo = false) =>
        Amqp(channel, 0x13, nextIncomingId, incomingWindow, 0u, 1000u, null, null, null, null, null, echo);

    /// <summary>A link's flow; the session's part leaves a wide window.</summary>
    public static byte[] Credit(uint handle, uint? deliveryCount, uint? credit, bool drain = false, bool echo = false, ushort channel = 0) =>
        Amqp(channel, 0x13, 0u, uint.MaxValue, 0u, 1000u, handle, deliveryCount, credit, null, drain, echo);

    public static byte[] Transfer(
        uint handle, uint? id, byte[] payload, byte[]? tag = null, bool settled = false, bool more = false, bool aborted = false, uint format = 0, ushort channel = 0) =>
        Of(0, channel, [.. Value(new Described(0x14, handle, id, tag ?? [1], format, settled, more, null, null, false, aborted)), .. payload]);

    public static byte[] Disposition(uint first, uint? last = null, bool settled = true, object? state = null, bool receiver = true, ushort channel = 0) =>
        Amqp(channel, 0x15, receiver, first, last, settled, state);

    public static Described Accepted => new(0x24);

    public static Described Rejected => new(0x25);

    public static Described Released => new(0x26);

    public static byte[] Detach(uint handle, bool closed = true, object? error = null, ushort channel = 0) => Amqp(channel, 0x16, handle, closed, error);

    public static byte[] End(ushort channel = 0, object? error = null) => Amqp(channel, 0x17, error);

    public static byte[] Close(object? error = null) => Amqp(0, 0x18, error);

    public static Described Error(string condition, string? description = null) => new(0x1d, new Symbol(condition), description);

    public static byte[] Concat(params byte[][] frames) => [.. frames.SelectMany(f => f)];

    /// <summary>A value with its constructor.</summary>
    public static byte[] Value(object? value) => value switch
    {
        null => [0x40],
        bool b => [b ? (byte)0x41 : (byte)0x42],
        byte b => [0x50, b],
        ushort n => [0x60, (byte)(n >> 8), (byte)n],
        uint n => [0x70, .. BigEndian(n)],
        ulong n => [0x80, .. BigEndian((uint)(n >> 32)), .. BigEndian((uint)n)],
        string s => Variable(0xb1, Encoding.UTF8.GetBytes(s)),
        Symbol s => Variable(0xb3, Encoding.ASCII.GetBytes(s.Text)),
        byte[] b => Variable(0xb0, b),
        Encoded e => e.Bytes,
        Described d => [0, 0x53, d.Code, .. List(d.Fields)],
        object?[] fields => List(fields),
        _ => throw new ArgumentException($"{value.GetType()} has no encoding here"),
    };

    private static Described? Terminus(byte code, string? address) => address is null ? null : new Described(code, address);

    private static byte[] List(object?[] fields)
    {
        byte[] content = [.. fields.SelectMany(Value)];
        return [0xd0, .. BigEndian((uint)content.Length + 4), .. BigEndian((uint)fields.Length), .. content];
    }

    private static byte[] Variable(byte code, byte[] content) => [code, .. BigEndian((uint)content.Length), .. content];

    private static byte[] BigEndian(uint value) => [(byte)(value >> 24), (byte)(value >> 16), (byte)(value >> 8), (byte)value];
}
