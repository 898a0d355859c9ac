using System.Buffers.Binary;
using System.Text;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Messages as bytes, made without the codec under test.</summary>
internal static class AmqpMessages
{
    /// <summary>Of a device: a data section, behind application properties when there are any.</summary>
    public static byte[] Data(byte[] body, params (string Name, object? Value)[] properties) =>
        [.. Section(0x74, properties), .. new byte[] { 0, 0x53, 0x75 }, .. Frames.Value(body)];

    public static byte[] Text(string body, params (string Name, object? Value)[] properties) => Data(Encoding.UTF8.GetBytes(body), properties);

    /// <summary>Of a service, to a device.</summary>
    /// <param name="properties">Application properties.</param>
    public static byte[] Command(string? to, string body, string? messageId = null, params (string Name, object? Value)[] properties) =>
        Command(new Described(0x73, messageId, null, to), Encoding.UTF8.GetBytes(body), properties);

    /// <param name="standard">The section of standard properties.</param>
    public static byte[] Command(Described standard, byte[] body, params (string Name, object? Value)[] properties) => [.. Frames.Value(standard), .. Data(body, properties)];

    /// <summary>The envelope of a batch: a data section for each message.</summary>
    public static byte[] Batch(params byte[][] messages) => [.. messages.SelectMany(message => Data(message))];

    public static byte[] PutToken(string audience, string token, string id = "1", string replyTo = "cbs") =>
    [
        .. Properties(id, replyTo), .. Section(0x74, ("operation", "put-token"), ("type", "servicebus.windows.net:sastoken"), ("name", audience)),
        0, 0x53, 0x77, .. Frames.Value(token),
    ];

    public static byte[] Read(string type, string? partition = null, string id = "1", string replyTo = "answers") =>
    [
        .. Properties(id, replyTo), .. Section(0x74, ("operation", "READ"), ("type", type), ("name", "events"), ("partition", partition)),
        0, 0x53, 0x77, 0x40,
    ];

    /// <summary>The attach of a reader of a partition.</summary>
    /// <param name="selector">Such as <c>amqp.annotation.x-opt-sequence-number > '5'</c>; null: none.</param>
    /// <param name="settleMode">0: it wants to settle; 1: settled; null: it does not say.</param>
    public static byte[] Reader(
        uint handle, int partition, string? selector = null, long? epoch = null, string group = "$Default", string hub = "events", bool metric = false, byte? settleMode = null,
        ushort channel = 0)
    {
        object? filters = selector is null ? null : Map((new Symbol("apache.org:selector-filter:string"), new Encoded([0, 0x80, 0, 0, 0x46, 0x8c, 0, 0, 0, 4, .. Frames.Value(selector)])));
        object? properties = epoch is { } level ? Map((new Symbol("com.microsoft:epoch"), Long(level))) : null;
        object? desired = metric ? new Symbol("com.microsoft:enable-receiver-runtime-metric") : null;
        var source = new Described(0x28, $"{hub}/ConsumerGroups/{group}/Partitions/{partition}", null, null, null, null, null, null, filters);
        return Frames.Amqp(channel, 0x12, $"reader-{handle}", handle, true, settleMode, null, source, new Described(0x29, "here"), null, null, null, null, null, desired, properties);
    }

    /// <summary>A map with its constructor.</summary>
    public static Encoded Map(params (object Key, object? Value)[] pairs)
    {
        byte[] content = [.. pairs.SelectMany(pair => (byte[])[.. Frames.Value(pair.Key), .. Frames.Value(pair.Value)])];
        return new Encoded([0xd1, .. BigEndian(content.Length + 4), .. BigEndian(pairs.Length * 2), .. content]);
    }

    public static Encoded Long(long value)
    {
        var bytes = new byte[9];
        bytes[0] = 0x81;
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(1), value);
        return new Encoded(bytes);
    }

    public static byte[] BigEndian(int value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        return bytes;
    }

    // message-id, user-id, to, subject, reply-to.
    private static byte[] Properties(string id, string replyTo) => Frames.Value(new Described(0x73, id, null, null, null, replyTo));

    private static byte[] Section(byte code, params (string Name, object? Value)[] pairs) =>
        pairs.Length == 0 ? [] : [0, 0x53, code, .. Map([.. pairs.Select(pair => ((object)pair.Name, pair.Value))]).Bytes];
}
