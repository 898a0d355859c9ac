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
    public const int MaxDepth = AmqpJson.MaxDepth;

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
            AmqpJson.WriteValue(json, value);
        else
            json.WriteNullValue();
    }

    private static void WriteMap(Utf8JsonWriter json, ReadOnlySpan<byte> name, AmqpMap map)
    {
        json.WriteStartObject(name);
        foreach (var pair in map)
        {
            AmqpJson.WriteName(json, pair.Key);
            AmqpJson.WriteValue(json, pair.Value);
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

            json.WritePropertyName(AmqpJson.NameOf(property));
            AmqpJson.WriteValue(json, property, value);
        }

        json.WriteEndObject();
    }

    /// <summary>Writes the value and returns what it is.</summary>
    private static ReadOnlySpan<byte> WriteBody(Utf8JsonWriter json, in StoredMessage message)
    {
        if (message.BodySection != AmqpSection.Data)
        {
            AmqpJson.WriteValue(json, message.BodyValue);
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
}
