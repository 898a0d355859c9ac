using System.Text;

namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>What a device asks about its twin over AMQP.</summary>
public enum TwinOperation
{
    /// <summary>Nothing that the hub knows.</summary>
    Unknown,

    /// <summary><c>GET</c>: the twin.</summary>
    Get,

    /// <summary><c>PATCH</c> of <c>/properties/reported</c>.</summary>
    Report,

    /// <summary><c>PUT</c> of <c>/notifications/twin/properties/desired</c>: be told of changes from now on.</summary>
    Subscribe,

    /// <summary><c>DELETE</c> of the same.</summary>
    Unsubscribe,
}

/// <summary>A request about a twin, copied out of its transfer: it is answered later. Immutable.</summary>
/// <param name="EncodedId">The correlation-id with its constructor: it is said back with its type unchanged.</param>
/// <param name="Body">JSON of a report; whatever was sent with the others.</param>
public sealed record TwinRequest(byte[] EncodedId, TwinOperation Operation, byte[] Body);

/// <summary>
/// Requests about twins as devices send them over AMQP, their answers, and the notifications of desired properties. Pure.
/// </summary>
/// <remarks>
/// What is asked stands in the message annotations <c>operation</c> and <c>resource</c>; the outcome in <c>status</c> (an int: clients take another
/// type for success) and <c>version</c> (a long). A message without correlation-id is a notification: clients tell it by that.
/// </remarks>
public static class TwinMessages
{
    // Heads of sections, annotations.
    private const int Overhead = 128;

    /// <summary>Reads a request; null when it is none: no message, or without a correlation-id, so that it could not be answered.</summary>
    public static TwinRequest? TryReadRequest(ReadOnlySpan<byte> message)
    {
        if (StoredMessage.TryRead(message, out var sections))
            return Request(sections);

        // Clients that have nothing to say send no body at all (C#, Java), which the standard does not know [AMQP-3.2].
        byte[] withBody = [.. message, 0x00, 0x53, (byte)AmqpSection.AmqpValue, AmqpCodes.Null];
        return StoredMessage.TryRead(withBody, out sections) ? Request(sections) : null;
    }

    private static TwinRequest? Request(in StoredMessage sections)
    {
        var id = sections.EncodedProperty(AmqpProperty.CorrelationId);
        if (id.IsEmpty || id is [AmqpCodes.Null])
            return null;

        var operation = Find(sections.Annotations, "operation"u8);
        var resource = Find(sections.Annotations, "resource"u8);
        return new TwinRequest(id.ToArray(), OperationOf(operation, resource), sections.Body.ToArray());
    }

    /// <summary>Encodes an answer.</summary>
    /// <param name="status">As of HTTP.</param>
    /// <param name="version"><c>$version</c> of the reported properties after a report; null for none.</param>
    /// <param name="body">JSON; empty for none.</param>
    public static byte[] EncodeResponse(ReadOnlySpan<byte> encodedId, int status, long? version, ReadOnlySpan<byte> body)
    {
        var target = new byte[Overhead + encodedId.Length + body.Length];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.MessageAnnotations);
        var map = writer.BeginMap();
        writer.Symbol("status"u8);
        writer.Int(status);
        if (version is { } number)
        {
            writer.Symbol("version"u8);
            writer.Long(number);
        }

        writer.End(map, version is null ? 2 : 4);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        for (var place = AmqpProperty.MessageId; place < AmqpProperty.CorrelationId; place++)
            writer.Null();
        writer.Encoded(encodedId);
        writer.End(list, (int)AmqpProperty.CorrelationId + 1);
        writer.Section(AmqpSection.Data);
        writer.Binary(body);
        return target[..writer.Written];
    }

    /// <summary>Encodes a notification.</summary>
    /// <param name="change">JSON: what changed, with <c>$version</c>.</param>
    public static byte[] EncodeNotification(ReadOnlySpan<byte> change)
    {
        var target = new byte[Overhead + change.Length];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.Data);
        writer.Binary(change);
        return target[..writer.Written];
    }

    private static TwinOperation OperationOf(string? operation, string? resource)
    {
        var isReported = Is(resource, "/properties/reported");
        var isDesired = Is(resource, "/notifications/twin/properties/desired");
        return operation?.ToUpperInvariant() switch
        {
            "GET" => TwinOperation.Get,
            "PATCH" when isReported => TwinOperation.Report,
            "PUT" when isDesired => TwinOperation.Subscribe,
            "DELETE" when isDesired => TwinOperation.Unsubscribe,
            _ => TwinOperation.Unknown,
        };
    }

    private static bool Is(string? resource, string path) => resource is not null && resource.AsSpan().TrimEnd('/').Equals(path, StringComparison.OrdinalIgnoreCase);

    private static string? Find(AmqpMap annotations, ReadOnlySpan<byte> key) =>
        annotations.TryFind(key, out var value) && value.IsText ? Encoding.UTF8.GetString(value.Content) : null;
}
