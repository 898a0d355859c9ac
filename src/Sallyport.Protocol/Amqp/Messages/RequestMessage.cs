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
        if (message.Length > MaxBytes || !StoredMessage.TryRead(message, out var sections))
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

    public override string ToString() => Operation ?? "request";

    private static string? Find(AmqpMap properties, ReadOnlySpan<byte> key) => properties.TryFind(key, out var value) ? TextOf(value) : null;

    private static string? TextOf(AmqpValue value) => value.IsText ? Encoding.UTF8.GetString(value.Content) : null;
}
