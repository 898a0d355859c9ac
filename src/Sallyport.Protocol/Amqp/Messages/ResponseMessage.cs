using System.Text;

namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>
/// The answer to a <see cref="RequestMessage"/>: correlation-id as the request's id came, status as application properties, a value as the body.
/// </summary>
public static class ResponseMessage
{
    // Heads of sections, names, numbers.
    private const int Overhead = 192;

    /// <summary>Reads an answer, as a client that numbers its requests gets it; false when it is none.</summary>
    /// <param name="id">The number of the request.</param>
    /// <param name="body">The value of the body; lives as long as <paramref name="message"/>.</param>
    public static bool TryRead(ReadOnlySpan<byte> message, out ulong id, out int status, out string description, out AmqpValue body)
    {
        (id, status, description) = (0, 0, "");
        body = default;
        if (!StoredMessage.TryRead(message, out var sections) || sections.BodySection != AmqpSection.AmqpValue
            || !sections.TryGet(AmqpProperty.CorrelationId, out var correlation) || correlation.Type != AmqpType.ULong)
        {
            return false;
        }

        // Event Hubs writes statusCode on some nodes.
        var properties = sections.ApplicationProperties;
        if (!properties.TryFind("status-code"u8, out var code) && !properties.TryFind("statusCode"u8, out code))
            return false;
        if (properties.TryFind("status-description"u8, out var text) && text.IsText)
            description = Encoding.UTF8.GetString(text.Content);

        id = correlation.Unsigned;
        status = (int)code.Signed;
        body = sections.BodyValue;
        return true;
    }

    /// <summary>Encodes an answer without content.</summary>
    public static byte[] Encode(RequestMessage request, int status, string description) => Encode(request, status, description, [0x40]);

    /// <summary>Encodes an answer.</summary>
    /// <param name="description">For people; no secret.</param>
    /// <param name="encodedBody">The value of the body, encoded.</param>
    public static byte[] Encode(RequestMessage request, int status, string description, ReadOnlySpan<byte> encodedBody)
    {
        var text = Encoding.UTF8.GetBytes(description);
        var target = new byte[Overhead + request.EncodedId.Length + text.Length + encodedBody.Length];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        for (var place = AmqpProperty.MessageId; place < AmqpProperty.CorrelationId; place++)
            writer.Null();
        if (request.EncodedId.Length == 0)
            writer.Null();
        else
            writer.Encoded(request.EncodedId);
        writer.End(list, (int)AmqpProperty.CorrelationId + 1);

        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        writer.String("status-code"u8);
        writer.Int(status);
        writer.String("status-description"u8);
        writer.String(text);
        writer.End(map, 4);

        writer.Section(AmqpSection.AmqpValue);
        writer.Encoded(encodedBody);
        return target[..writer.Written];
    }
}
