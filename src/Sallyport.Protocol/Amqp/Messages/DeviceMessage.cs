using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Sallyport.Protocol.Messages;

namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>
/// A telemetry message as AMQP devices encode it, read into the hub's words: standard properties and the annotations and application properties
/// that IoT Hub's clients use for system properties. Pure; allocates nothing for what clients send.
/// </summary>
public static class DeviceMessage
{
    private const int LongestNumber = 40;

    /// <summary>Reads one message.</summary>
    /// <param name="properties">Gets its properties; to be empty before.</param>
    /// <param name="body">The payload: of a data section, or of an amqp-value that is a binary or a text.</param>
    /// <returns>What is wrong with it; null when nothing is.</returns>
    public static string? Read(ReadOnlySpan<byte> message, MessageProperties properties, out ReadOnlySpan<byte> body)
    {
        body = default;
        if (!StoredMessage.TryRead(message, out var sections))
            return "the sections of the message could not be read, or there is not exactly one body section";
        if (sections.BodySection == AmqpSection.AmqpSequence || (sections.BodySection == AmqpSection.AmqpValue && sections.BodyValue.Type is not (AmqpType.Binary or AmqpType.String)))
            return "the body of a message is a data section, or a value that is a binary or a text";

        body = sections.BodyValue.Content;
        for (var place = AmqpProperty.MessageId; place <= AmqpProperty.AbsoluteExpiryTime; place++)
        {
            if (KeyOf(place) is { } key && sections.TryGet(place, out var value) && !TrySet(properties, key, value))
                return "a standard property of the message is not of a type that it may have";
        }

        foreach (var annotation in sections.Annotations)
        {
            if (AnnotationKey(annotation.Key) is { } key && annotation.Value.Type != AmqpType.Null && !TrySet(properties, key, annotation.Value))
                return "an annotation of the message is not of a type that it may have";
        }

        foreach (var pair in sections.ApplicationProperties)
        {
            if (!TryAdd(properties, pair.Key, pair.Value))
                return $"an application property is compound, or there are more than {MessageProperties.MaxCount}";
        }

        return null;
    }

    private static SystemProperty? KeyOf(AmqpProperty place) => place switch
    {
        AmqpProperty.MessageId => SystemProperty.MessageId,
        AmqpProperty.UserId => SystemProperty.UserId,
        AmqpProperty.To => SystemProperty.To,
        AmqpProperty.CorrelationId => SystemProperty.CorrelationId,
        AmqpProperty.ContentType => SystemProperty.ContentType,
        AmqpProperty.ContentEncoding => SystemProperty.ContentEncoding,
        AmqpProperty.AbsoluteExpiryTime => SystemProperty.AbsoluteExpiryTime,
        _ => null,
    };

    private static SystemProperty? AnnotationKey(ReadOnlySpan<byte> name)
    {
        if (name.SequenceEqual("iothub-interface-id"u8))
            return SystemProperty.InterfaceId;
        if (name.SequenceEqual("dt-subject"u8))
            return SystemProperty.Subject;
        if (name.SequenceEqual("Diagnostic-Id"u8))
            return SystemProperty.DiagnosticId;
        return name.SequenceEqual("Correlation-Context"u8) ? SystemProperty.DiagnosticContext : null;
    }

    private static SystemProperty? ApplicationKey(ReadOnlySpan<byte> name)
    {
        if (!name.StartsWith("iothub-"u8))
            return null;
        if (name.SequenceEqual("iothub-creation-time-utc"u8))
            return SystemProperty.CreationTimeUtc;
        if (name.SequenceEqual("iothub-message-schema"u8))
            return SystemProperty.MessageSchema;
        if (name.SequenceEqual("iothub-outputname"u8))
            return SystemProperty.OutputName;
        if (name.SequenceEqual("iothub-ack"u8))
            return SystemProperty.Ack;
        return name.SequenceEqual("iothub-operation"u8) ? SystemProperty.Operation : null;
    }

    private static bool TrySet(MessageProperties properties, SystemProperty key, AmqpValue value)
    {
        if (value.IsText || value.Type == AmqpType.Binary)
            return properties.TrySet(key, value.Content);

        Span<byte> text = stackalloc byte[LongestNumber];
        return TryFormat(value, text, out var length) && properties.TrySet(key, text[..length]);
    }

    private static bool TryAdd(MessageProperties properties, ReadOnlySpan<byte> name, AmqpValue value)
    {
        if (ApplicationKey(name) is { } key)
            return value.Type == AmqpType.Null || TrySet(properties, key, value);
        if (value.IsText || value.Type == AmqpType.Null)
            return properties.TryAdd(name, value.Content, isNull: value.Type == AmqpType.Null);
        if (value.Type == AmqpType.Binary)
            return TryAddBase64(properties, name, value.Content);

        Span<byte> text = stackalloc byte[LongestNumber];
        return TryFormat(value, text, out var length) && properties.TryAdd(name, text[..length]);
    }

    private static bool TryAddBase64(MessageProperties properties, ReadOnlySpan<byte> name, ReadOnlySpan<byte> binary)
    {
        var text = ArrayPool<byte>.Shared.Rent(Base64.GetMaxEncodedToUtf8Length(binary.Length));
        try
        {
            return Base64.EncodeToUtf8(binary, text, out _, out var length) == OperationStatus.Done && properties.TryAdd(name, text.AsSpan(0, length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(text);
        }
    }

    // The text that the hub keeps: the value as JSON would write it, a time in ISO 8601, a uuid with dashes.
    private static bool TryFormat(AmqpValue value, Span<byte> text, out int length)
    {
        length = 0;
        switch (value.Type)
        {
            case AmqpType.Boolean:
                length = value.Boolean ? 4 : 5;
                (value.Boolean ? "true"u8 : "false"u8).CopyTo(text);
                return true;
            case AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong:
                return Utf8Formatter.TryFormat(value.Unsigned, text, out length);
            case AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long:
                return Utf8Formatter.TryFormat(value.Signed, text, out length);
            case AmqpType.Float or AmqpType.Double:
                return value.Real.TryFormat(text, out length, default, CultureInfo.InvariantCulture);
            case AmqpType.Uuid:
                return Utf8Formatter.TryFormat(value.Uuid, text, out length);
            case AmqpType.Char when Rune.TryCreate((uint)value.Unsigned, out var rune):
                return rune.TryEncodeToUtf8(text, out length);
            case AmqpType.Timestamp when value.Signed is >= -62_135_596_800_000 and <= 253_402_300_799_999:
                return Utf8Formatter.TryFormat(DateTimeOffset.FromUnixTimeMilliseconds(value.Signed).UtcDateTime, text, out length, 'O');
            default:
                return false;
        }
    }
}
