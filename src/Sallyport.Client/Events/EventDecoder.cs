using System.Text;
using Sallyport.Protocol.Amqp;

namespace Sallyport.Client.Events;

/// <summary>Reads what arrives into the client's own types. Pure.</summary>
internal static class EventDecoder
{
    // The first and the last millisecond that DateTimeOffset holds.
    private const long MinUnixMs = -62_135_596_800_000;
    private const long MaxUnixMs = 253_402_300_799_999;

    private static readonly (AmqpProperty Place, string Name)[] Standard =
    [
        (AmqpProperty.MessageId, "message-id"), (AmqpProperty.UserId, "user-id"), (AmqpProperty.To, "to"), (AmqpProperty.Subject, "subject"),
        (AmqpProperty.ReplyTo, "reply-to"), (AmqpProperty.CorrelationId, "correlation-id"), (AmqpProperty.ContentType, "content-type"),
        (AmqpProperty.ContentEncoding, "content-encoding"), (AmqpProperty.AbsoluteExpiryTime, "absolute-expiry-time"), (AmqpProperty.CreationTime, "creation-time"),
        (AmqpProperty.GroupId, "group-id"), (AmqpProperty.GroupSequence, "group-sequence"), (AmqpProperty.ReplyToGroupId, "reply-to-group-id"),
    ];

    /// <summary>Reads an event; null when the bytes are none, or lack the number that its place is known by.</summary>
    public static ReceivedEvent? TryRead(string partitionId, ReadOnlySpan<byte> message)
    {
        if (!StoredMessage.TryRead(message, out var sections) || !sections.Annotations.TryFind("x-opt-sequence-number"u8, out var sequence))
            return null;

        var system = new Dictionary<string, object?>();
        DateTimeOffset enqueued = default;
        var offset = "";
        foreach (var annotation in sections.Annotations)
        {
            if (annotation.Key.SequenceEqual("x-opt-offset"u8))
                offset = ValueOf(annotation.Value)?.ToString() ?? "";
            else if (annotation.Key.SequenceEqual("x-opt-enqueued-time"u8))
                enqueued = TimeOf(annotation.Value);
            else if (!annotation.Key.SequenceEqual("x-opt-sequence-number"u8))
                system[Encoding.UTF8.GetString(annotation.Key)] = ValueOf(annotation.Value);
        }

        foreach (var (place, name) in Standard)
        {
            if (sections.TryGet(place, out var value))
                system[name] = ValueOf(value);
        }

        var application = new Dictionary<string, object?>();
        foreach (var pair in sections.ApplicationProperties)
            application[Encoding.UTF8.GetString(pair.Key)] = ValueOf(pair.Value);

        return new ReceivedEvent
        {
            PartitionId = partitionId,
            SequenceNumber = sequence.Signed,
            Offset = offset,
            EnqueuedTime = enqueued,
            Body = sections.BodyValue.IsText || sections.BodyValue.Type == AmqpType.Binary ? sections.BodyValue.Content.ToArray() : default(ReadOnlyMemory<byte>),
            SystemProperties = system,
            Properties = application,
        };
    }

    /// <summary>Reads the description of the Event Hub; null when it is none.</summary>
    public static EventHubProperties? TryReadHub(AmqpValue body)
    {
        if (body.Type != AmqpType.Map)
            return null;

        var (name, created, ids) = ("", default(DateTimeOffset), new List<string>());
        foreach (var pair in AmqpMap.Of(body))
        {
            if (pair.Key.SequenceEqual("name"u8))
            {
                name = ValueOf(pair.Value)?.ToString() ?? "";
            }
            else if (pair.Key.SequenceEqual("created_at"u8))
            {
                created = TimeOf(pair.Value);
            }
            else if (pair.Key.SequenceEqual("partition_ids"u8))
            {
                var elements = pair.Value.Elements();
                while (pair.Value.Type is AmqpType.List or AmqpType.Array && elements.TryRead(out var id))
                    ids.Add(ValueOf(id)?.ToString() ?? "");
            }
        }

        return ids.Count == 0 ? null : new EventHubProperties(name, created, ids);
    }

    /// <summary>Reads the description of a partition; null when it is none.</summary>
    public static PartitionProperties? TryReadPartition(AmqpValue body)
    {
        if (body.Type != AmqpType.Map)
            return null;

        var map = AmqpMap.Of(body);
        return map.TryFind("partition"u8, out var id) && map.TryFind("last_enqueued_sequence_number"u8, out var last)
            ? new PartitionProperties(
                TextIn(map, "name"u8),
                ValueOf(id)?.ToString() ?? "",
                map.TryFind("begin_sequence_number"u8, out var begin) ? begin.Signed : 0,
                last.Signed,
                TextIn(map, "last_enqueued_offset"u8),
                map.TryFind("last_enqueued_time_utc"u8, out var time) ? TimeOf(time) : default,
                map.TryFind("is_partition_empty"u8, out var empty) && empty.Boolean)
            : null;
    }

    private static string TextIn(AmqpMap map, ReadOnlySpan<byte> key) => map.TryFind(key, out var value) ? ValueOf(value)?.ToString() ?? "" : "";

    private static DateTimeOffset TimeOf(AmqpValue value) =>
        value.Type == AmqpType.Timestamp ? DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(value.Signed, MinUnixMs, MaxUnixMs)) : default;

    private static object? ValueOf(AmqpValue value) => value.Type switch
    {
        AmqpType.String or AmqpType.Symbol => Encoding.UTF8.GetString(value.Content),
        AmqpType.Boolean => value.Boolean,
        AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long => value.Signed,
        AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong => value.Unsigned,
        AmqpType.Float or AmqpType.Double => value.Real,
        AmqpType.Char => (Rune.TryCreate((uint)value.Unsigned, out var rune) ? rune : Rune.ReplacementChar).ToString(),
        AmqpType.Timestamp => TimeOf(value),
        AmqpType.Uuid => value.Uuid,
        AmqpType.Binary => value.Content.ToArray(),
        _ => null,
    };
}
