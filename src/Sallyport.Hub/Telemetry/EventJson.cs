using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// An event as one line of JSON, straight from its stored sections:
/// <code>
/// {"partition":0,"sequenceNumber":5,"offset":"00000000000000000005","enqueuedTime":"2026-01-02T03:04:05.678Z",
///  "deviceId":"d1","moduleId":null,"source":"Telemetry","annotations":{…},"systemProperties":{…},"properties":{…},
///  "body":{"t":21.5},"bodyEncoding":"json"}
/// </code>
/// <c>bodyEncoding</c> says what <c>body</c> is: <c>json</c> (the payload is JSON), <c>utf-8</c> (text), <c>base64</c> (anything else, and
/// UTF-16 or UTF-32 by its content encoding), or <c>amqp</c> (an AMQP value instead of bytes).
/// </summary>
/// <remarks>Pure; whatever is stored, one valid line comes out.</remarks>
public static class EventJson
{
    /// <summary>Deeper JSON payloads are shown as text, deeper AMQP values as null.</summary>
    public const int MaxDepth = 64;

    // What DateTimeOffset can say.
    private const long MinUnixMs = -62_135_596_800_000;
    private const long MaxUnixMs = 253_402_300_799_999;

    private static readonly string[] SystemNames =
    [
        "message-id", "user-id", "to", "subject", "reply-to", "correlation-id", "content-type", "content-encoding",
        "absolute-expiry-time", "creation-time", "group-id", "group-sequence", "reply-to-group-id",
    ];

    /// <summary>For the writer: without white space, and text readable as it is, because the line is never part of HTML.</summary>
    public static JsonWriterOptions WriterOptions { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>Writes one object.</summary>
    public static void Write(Utf8JsonWriter json, in LogRecord record)
    {
        var isReadable = StoredMessage.TryRead(record.Message.Span, out var message);
        json.WriteStartObject();
        json.WriteNumber("partition"u8, record.Partition);
        json.WriteNumber("sequenceNumber"u8, record.Sequence);
        Span<char> offset = stackalloc char[20];
        record.Sequence.TryFormat(offset, out _, "D20", null);
        json.WriteString("offset"u8, offset);
        json.WriteString("enqueuedTime"u8, record.EnqueuedTime.UtcDateTime);
        WriteAnnotation(json, message, "deviceId"u8, "iothub-connection-device-id"u8);
        WriteAnnotation(json, message, "moduleId"u8, "iothub-connection-module-id"u8);
        WriteAnnotation(json, message, "source"u8, "iothub-message-source"u8);
        WriteMap(json, "annotations"u8, message.Annotations);
        WriteSystemProperties(json, message);
        WriteMap(json, "properties"u8, message.ApplicationProperties);
        json.WritePropertyName("body"u8);
        if (isReadable)
            json.WriteString("bodyEncoding"u8, WriteBody(json, message));
        else
            json.WriteNullValue();
        json.WriteEndObject();
    }

    private static void WriteAnnotation(Utf8JsonWriter json, in StoredMessage message, ReadOnlySpan<byte> name, ReadOnlySpan<byte> key)
    {
        json.WritePropertyName(name);
        if (message.Annotations.TryFind(key, out var value))
            WriteValue(json, value, 0);
        else
            json.WriteNullValue();
    }

    private static void WriteMap(Utf8JsonWriter json, ReadOnlySpan<byte> name, AmqpMap map)
    {
        json.WriteStartObject(name);
        foreach (var pair in map)
        {
            WriteName(json, pair.Key);
            WriteValue(json, pair.Value, 0);
        }

        json.WriteEndObject();
    }

    private static void WriteSystemProperties(Utf8JsonWriter json, in StoredMessage message)
    {
        json.WriteStartObject("systemProperties"u8);
        for (var property = AmqpProperty.MessageId; property <= AmqpProperty.ReplyToGroupId; property++)
        {
            if (!message.TryGet(property, out var value))
                continue;

            json.WritePropertyName(SystemNames[(int)property]);
            if (property == AmqpProperty.UserId && Utf8.IsValid(value.Content))
                json.WriteStringValue(value.Content);
            else
                WriteValue(json, value, 0);
        }

        json.WriteEndObject();
    }

    /// <summary>Writes the value and returns what it is.</summary>
    private static ReadOnlySpan<byte> WriteBody(Utf8JsonWriter json, in StoredMessage message)
    {
        if (message.BodySection != AmqpSection.Data)
        {
            WriteValue(json, message.BodyValue, 0);
            return "amqp"u8;
        }

        var body = message.Body;
        if (IsWideText(message) || !Utf8.IsValid(body))
        {
            json.WriteBase64StringValue(body);
            return "base64"u8;
        }

        if (!IsJson(body))
        {
            json.WriteStringValue(body);
            return "utf-8"u8;
        }

        WriteJson(json, body);
        return "json"u8;
    }

    private static bool IsWideText(in StoredMessage message) =>
        message.TryGet(AmqpProperty.ContentEncoding, out var encoding)
        && (StartsWith(encoding.Content, "utf-16"u8) || StartsWith(encoding.Content, "utf-32"u8));

    private static bool StartsWith(ReadOnlySpan<byte> text, ReadOnlySpan<byte> prefix) =>
        text.Length >= prefix.Length && Ascii.EqualsIgnoreCase(text[..prefix.Length], prefix);

    private static bool IsJson(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            var any = false;
            while (reader.Read())
                any = true;
            return any;
        }
        catch (JsonException)
        {
            // There is no other way to ask: the reader throws on what is not JSON.
            return false;
        }
    }

    // As it came, numbers and escapes untouched, but on one line: a payload may be laid out on several.
    private static void WriteJson(Utf8JsonWriter json, ReadOnlySpan<byte> body)
    {
        if (body.IndexOfAny((byte)'\n', (byte)'\r') < 0)
        {
            json.WriteRawValue(body, skipInputValidation: true);
            return;
        }

        var line = ArrayPool<byte>.Shared.Rent(body.Length);
        try
        {
            var length = 0;
            foreach (var b in body)
            {
                // In valid JSON a line break is always between tokens; in a string it is escaped.
                if (b is not ((byte)'\n' or (byte)'\r'))
                    line[length++] = b;
            }

            json.WriteRawValue(line.AsSpan(0, length), skipInputValidation: true);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(line);
        }
    }

    private static void WriteValue(Utf8JsonWriter json, AmqpValue value, int depth)
    {
        switch (value.Type)
        {
            case AmqpType.Boolean:
                json.WriteBooleanValue(value.Boolean);
                break;
            case AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong:
                json.WriteNumberValue(value.Unsigned);
                break;
            case AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long:
                json.WriteNumberValue(value.Signed);
                break;
            case AmqpType.Float or AmqpType.Double when double.IsFinite(value.Real):
                json.WriteNumberValue(value.Real);
                break;
            case AmqpType.Char when Rune.IsValid((uint)value.Unsigned):
                json.WriteStringValue(new Rune((uint)value.Unsigned).ToString());
                break;
            case AmqpType.Timestamp when value.Signed is >= MinUnixMs and <= MaxUnixMs:
                json.WriteStringValue(DateTimeOffset.FromUnixTimeMilliseconds(value.Signed).UtcDateTime);
                break;
            case AmqpType.Timestamp:
                json.WriteNumberValue(value.Signed);
                break;
            case AmqpType.Uuid:
                json.WriteStringValue(value.Uuid);
                break;
            case AmqpType.String or AmqpType.Symbol when Utf8.IsValid(value.Content):
                json.WriteStringValue(value.Content);
                break;
            case AmqpType.Binary or AmqpType.Decimal or AmqpType.String or AmqpType.Symbol:
                json.WriteBase64StringValue(value.Content);
                break;
            case AmqpType.List or AmqpType.Array or AmqpType.Map or AmqpType.Described when depth < MaxDepth:
                WriteCompound(json, value, depth + 1);
                break;
            default:
                json.WriteNullValue();
                break;
        }
    }

    // A map is an object when its keys are text, else a list of keys and values in turn; of a described value the descriptor comes first.
    private static void WriteCompound(Utf8JsonWriter json, AmqpValue value, int depth)
    {
        var elements = value.Elements();
        if (value.Type == AmqpType.Map && HasTextKeys(value))
        {
            json.WriteStartObject();
            while (elements.TryRead(out var key) && elements.TryRead(out var element))
            {
                WriteName(json, key.Content);
                WriteValue(json, element, depth);
            }

            json.WriteEndObject();
            return;
        }

        json.WriteStartArray();
        while (elements.TryRead(out var element))
            WriteValue(json, element, depth);
        json.WriteEndArray();
    }

    private static bool HasTextKeys(AmqpValue map)
    {
        var elements = map.Elements();
        for (var isKey = true; elements.TryRead(out var element); isKey = !isKey)
        {
            if (isKey && !element.IsText)
                return false;
        }

        return true;
    }

    private static void WriteName(Utf8JsonWriter json, ReadOnlySpan<byte> name)
    {
        if (Utf8.IsValid(name))
            json.WritePropertyName(name);
        else
            json.WritePropertyName(Convert.ToBase64String(name));
    }
}
