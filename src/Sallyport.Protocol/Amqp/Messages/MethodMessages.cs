using System.Text;

namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>Requests of direct methods as devices take them over AMQP, and their answers. Pure.</summary>
/// <remarks>
/// The request's id travels as correlation-id: as uuid, because the Java client takes no other, and comes back as uuid or as text (IoT Hub's
/// Node client sends the one or the other). Names of the application properties are IoT Hub's.
/// </remarks>
public static class MethodMessages
{
    // Heads of sections, the id and the name's key.
    private const int Overhead = 128;

    /// <summary>Encodes a request.</summary>
    /// <param name="payload">JSON; becomes a data section.</param>
    public static byte[] EncodeRequest(Guid id, string name, ReadOnlySpan<byte> payload)
    {
        var text = Encoding.UTF8.GetBytes(name);
        var target = new byte[Overhead + text.Length + payload.Length];
        var writer = new AmqpWriter(target);
        WriteCorrelationId(ref writer, id);
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        writer.String("IoThub-methodname"u8);
        writer.String(text);
        writer.End(map, 2);
        writer.Section(AmqpSection.Data);
        writer.Binary(payload);
        return target[..writer.Written];
    }

    /// <summary>Encodes an answer, as a device sends it.</summary>
    /// <param name="payload">JSON, or empty for null.</param>
    public static byte[] EncodeResponse(Guid id, int status, ReadOnlySpan<byte> payload)
    {
        var target = new byte[Overhead + payload.Length];
        var writer = new AmqpWriter(target);
        WriteCorrelationId(ref writer, id);
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        writer.String("IoThub-status"u8);
        writer.Int(status);
        writer.End(map, 2);
        writer.Section(AmqpSection.Data);
        writer.Binary(payload);
        return target[..writer.Written];
    }

    /// <summary>Reads a request, as a device gets it; false when it is none.</summary>
    public static bool TryReadRequest(ReadOnlySpan<byte> message, out Guid id, out string name, out ReadOnlySpan<byte> payload)
    {
        name = "";
        if (!TryRead(message, out var sections, out var requestId, out payload) | !Guid.TryParse(requestId, out id))
            return false;
        if (!sections.ApplicationProperties.TryFind("IoThub-methodname"u8, out var value) || !value.IsText)
            return false;

        name = Encoding.UTF8.GetString(value.Content);
        return true;
    }

    /// <summary>Reads an answer; false when it is none: no correlation-id, or a body that is no data.</summary>
    /// <param name="requestId">The correlation-id as text.</param>
    /// <param name="status">Null when it is missing, no integer or too large for an int.</param>
    /// <param name="payload">Empty when there is none.</param>
    public static bool TryReadResponse(ReadOnlySpan<byte> message, out string requestId, out int? status, out ReadOnlySpan<byte> payload)
    {
        status = null;
        if (!TryRead(message, out var sections, out requestId, out payload))
            return false;
        if (sections.ApplicationProperties.TryFind("IoThub-status"u8, out var value))
            status = NumberOf(value);
        return true;
    }

    private static bool TryRead(ReadOnlySpan<byte> message, out StoredMessage sections, out string id, out ReadOnlySpan<byte> payload)
    {
        id = "";
        payload = default;
        if (!StoredMessage.TryRead(message, out sections, isBodyRequired: false) || !sections.TryGet(AmqpProperty.CorrelationId, out var correlation))
            return false;

        if (sections.BodySection == AmqpSection.Data)
            payload = sections.BodyValue.Content;
        else if (sections.BodySection != default && (sections.BodySection != AmqpSection.AmqpValue || sections.BodyValue.Type != AmqpType.Null))
            return false;

        id = correlation.Type == AmqpType.Uuid ? correlation.Uuid.ToString("D") : correlation.IsText ? Encoding.UTF8.GetString(correlation.Content) : "";
        return id.Length > 0;
    }

    private static int? NumberOf(AmqpValue value) => value.Type switch
    {
        AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long => value.Signed is >= int.MinValue and <= int.MaxValue ? (int)value.Signed : null,
        AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong => value.Unsigned <= int.MaxValue ? (int)value.Unsigned : null,
        _ => null,
    };

    private static void WriteCorrelationId(ref AmqpWriter writer, Guid id)
    {
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        for (var place = AmqpProperty.MessageId; place < AmqpProperty.CorrelationId; place++)
            writer.Null();
        writer.Uuid(id);
        writer.End(list, (int)AmqpProperty.CorrelationId + 1);
    }
}
