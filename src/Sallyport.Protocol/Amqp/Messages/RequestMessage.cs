using System.Text;

namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>
/// A request to a node that answers (<c>$cbs</c>, <c>$management</c>): its application properties, and where the answer goes. Copied out of the
/// transfer, because it is answered later. Never printed: the body may be a token.
/// </summary>
public sealed record RequestMessage
{
    /// <summary>No request of a client is larger; tokens are a few hundred bytes.</summary>
    public const int MaxBytes = 16 * 1024;

    // Heads of sections, names, sizes.
    private const int Overhead = 256;

    /// <summary>The message-id with its constructor, to be said back with its type unchanged; empty when there is none.</summary>
    public required byte[] EncodedId { get; init; }

    /// <summary>Null when absent.</summary>
    public string? ReplyTo { get; init; }

    public string? Operation { get; init; }

    /// <summary>Application property <c>type</c>.</summary>
    public string? Type { get; init; }

    /// <summary>Application property <c>name</c>.</summary>
    public string? Name { get; init; }

    /// <summary>Application property <c>partition</c>.</summary>
    public string? Partition { get; init; }

    /// <summary>The body when it is a text value; null for any other.</summary>
    public string? Text { get; init; }

    /// <summary>Reads a request; null when it is none.</summary>
    public static RequestMessage? TryRead(ReadOnlySpan<byte> message)
    {
        // azure-eventhub for Python sends READ without any body section.
        if (message.Length > MaxBytes || !StoredMessage.TryRead(message, out var sections, isBodyRequired: false))
            return null;

        return new RequestMessage
        {
            EncodedId = sections.EncodedProperty(AmqpProperty.MessageId).ToArray(),
            ReplyTo = sections.TryGet(AmqpProperty.ReplyTo, out var replyTo) ? TextOf(replyTo) : null,
            Operation = Find(sections.ApplicationProperties, "operation"u8),
            Type = Find(sections.ApplicationProperties, "type"u8),
            Name = Find(sections.ApplicationProperties, "name"u8),
            Partition = Find(sections.ApplicationProperties, "partition"u8),
            Text = sections.BodySection == AmqpSection.AmqpValue ? TextOf(sections.BodyValue) : null,
        };
    }

    /// <summary>Encodes it, as a client asks.</summary>
    /// <param name="to">The node that answers.</param>
    public byte[] Encode(string to)
    {
        var characters = to.Length + (ReplyTo?.Length ?? 0) + (Operation?.Length ?? 0) + (Type?.Length ?? 0) + (Name?.Length ?? 0) + (Partition?.Length ?? 0) + (Text?.Length ?? 0);
        var target = new byte[Overhead + EncodedId.Length + (3 * characters)];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        if (EncodedId.Length == 0)
            writer.Null();
        else
            writer.Encoded(EncodedId);
        writer.Null(); // user-id
        writer.String(Encoding.UTF8.GetBytes(to));
        writer.Null(); // subject
        if (ReplyTo is null)
            writer.Null();
        else
            writer.String(Encoding.UTF8.GetBytes(ReplyTo));
        writer.End(list, (int)AmqpProperty.ReplyTo + 1);

        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        var elements = Put(ref writer, "operation"u8, Operation) + Put(ref writer, "type"u8, Type) + Put(ref writer, "name"u8, Name) + Put(ref writer, "partition"u8, Partition);
        writer.End(map, elements);

        writer.Section(AmqpSection.AmqpValue);
        if (Text is null)
            writer.Null();
        else
            writer.String(Encoding.UTF8.GetBytes(Text));
        return target[..writer.Written];
    }

    public override string ToString() => Operation ?? "request";

    private static int Put(ref AmqpWriter writer, ReadOnlySpan<byte> key, string? value)
    {
        if (value is null)
            return 0;

        writer.String(key);
        writer.String(Encoding.UTF8.GetBytes(value));
        return 2;
    }

    private static string? Find(AmqpMap properties, ReadOnlySpan<byte> key) => properties.TryFind(key, out var value) ? TextOf(value) : null;

    private static string? TextOf(AmqpValue value) => value.IsText ? Encoding.UTF8.GetString(value.Content) : null;
}
