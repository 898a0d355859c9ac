using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Services.Sql;

/// <summary>
/// Makes rows of stored messages. Nothing is lost: what no column can hold (text with NUL or that is not UTF-8, an AMQP value as
/// body, bytes that are no message) goes into the row as the whole stored message. One reader at a time.
/// </summary>
internal sealed class TelemetryRowReader : IDisposable
{
    /// <summary>A body nested more deeply is text.</summary>
    private const int MaxJsonDepth = 64;

    // Two members of one name in an object are not JSON that a database keeps: it would keep one.
    private static readonly JsonDocumentOptions StrictJson = new() { MaxDepth = MaxJsonDepth, AllowDuplicateProperties = false };

    private readonly ArrayBufferWriter<byte> _buffer = new();
    private readonly Utf8JsonWriter _json;

    public TelemetryRowReader() =>
        _json = new Utf8JsonWriter(_buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    public void Dispose() => _json.Dispose();

    /// <summary>Never throws, whatever is stored.</summary>
    public TelemetryRow Read(in LogRecord record)
    {
        var row = new TelemetryRow { Sequence = record.Sequence, EnqueuedTime = record.EnqueuedTime, DeviceId = "", Stored = record.Message };
        if (!StoredMessage.TryRead(record.Message.Span, out var message))
            return row.AsRaw();

        var allFits = true;
        row = row with
        {
            DeviceId = Annotation(message, "iothub-connection-device-id"u8, ref allFits) ?? "",
            ModuleId = Annotation(message, "iothub-connection-module-id"u8, ref allFits),
        };
        var whole = row with
        {
            MessageId = Property(message, AmqpProperty.MessageId, ref allFits),
            CorrelationId = Property(message, AmqpProperty.CorrelationId, ref allFits),
            ContentType = Property(message, AmqpProperty.ContentType, ref allFits),
            ContentEncoding = Property(message, AmqpProperty.ContentEncoding, ref allFits),
            Properties = ApplicationProperties(message, ref allFits),
            SystemProperties = SystemProperties(message, ref allFits),
        };
        if (!allFits)
            return row.AsRaw();
        if (message.BodySection != AmqpSection.Data)
            return whole with { RawMessage = record.Message.ToArray() };

        return WithBody(whole, message.Body);
    }

    private static TelemetryRow WithBody(TelemetryRow row, ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty)
            return row;
        var isUtf8 = row.ContentEncoding is null or "" || row.ContentEncoding.Equals("utf-8", StringComparison.OrdinalIgnoreCase)
            || row.ContentEncoding.Equals("utf8", StringComparison.OrdinalIgnoreCase);
        if (!isUtf8 || !Utf8.IsValid(body) || body.Contains((byte)0))
            return row with { BodyBytes = body.ToArray() };

        var text = Encoding.UTF8.GetString(body);
        return IsJsonType(row.ContentType) && IsJson(body) ? row with { Body = text } : row with { BodyText = text };
    }

    /// <summary>Many devices send JSON and do not say so.</summary>
    private static bool IsJsonType(string? contentType)
    {
        if (string.IsNullOrEmpty(contentType))
            return true;

        var media = contentType.AsSpan();
        var parameters = media.IndexOf(';');
        media = (parameters < 0 ? media : media[..parameters]).Trim();
        return media.Equals("application/json", StringComparison.OrdinalIgnoreCase) || media.EndsWith("+json", StringComparison.OrdinalIgnoreCase);
    }

    private static bool IsJson(ReadOnlySpan<byte> body)
    {
        // An escaped NUL is JSON, but PostgreSQL cannot hold it.
        if (HasEscapedNul(body))
            return false;

        try
        {
            using var parsed = JsonDocument.Parse(body.ToArray(), StrictJson);
            return true;
        }
        catch (JsonException)
        {
            // There is no other way to ask: the parser throws on what is not JSON.
            return false;
        }
    }

    private static bool HasEscapedNul(ReadOnlySpan<byte> json) => json.IndexOf("\\u0000"u8) >= 0;

    private static string? Annotation(in StoredMessage message, ReadOnlySpan<byte> key, ref bool allFits) =>
        message.Annotations.TryFind(key, out var value) ? Text(value, ref allFits) : null;

    private static string? Property(in StoredMessage message, AmqpProperty property, ref bool allFits) =>
        message.TryGet(property, out var value) ? Text(value, ref allFits) : null;

    /// <summary>An id may be text, a number, a uuid or bytes (AMQP 1.0 part 3, 3.2.11 to 3.2.14).</summary>
    private static string? Text(AmqpValue value, ref bool allFits)
    {
        if (value.IsText)
        {
            allFits &= Fits(value.Content);
            return allFits ? Encoding.UTF8.GetString(value.Content) : null;
        }

        return value.Type switch
        {
            AmqpType.Null => null,
            AmqpType.ULong => value.Unsigned.ToString(CultureInfo.InvariantCulture),
            AmqpType.Uuid => value.Uuid.ToString("D"),
            _ => Convert.ToBase64String(value.Content),
        };
    }

    private static bool Fits(ReadOnlySpan<byte> text) => Utf8.IsValid(text) && !text.Contains((byte)0);

    private string ApplicationProperties(in StoredMessage message, ref bool allFits)
    {
        Begin();
        Write(message.ApplicationProperties, ref allFits);
        return End();
    }

    private string SystemProperties(in StoredMessage message, ref bool allFits)
    {
        Begin();
        foreach (var pair in message.Annotations)
        {
            if (!IsColumn(pair.Key))
                Write(pair, ref allFits);
        }

        for (var property = AmqpProperty.MessageId; property <= AmqpProperty.ReplyToGroupId; property++)
        {
            if (!message.TryGet(property, out var value))
                continue;

            allFits &= !value.IsText || Fits(value.Content);
            _json.WritePropertyName(AmqpJson.NameOf(property));
            AmqpJson.WriteValue(_json, property, value);
        }

        return End();
    }

    private static bool IsColumn(ReadOnlySpan<byte> annotation) =>
        annotation.SequenceEqual("x-opt-sequence-number"u8) || annotation.SequenceEqual("x-opt-offset"u8)
        || annotation.SequenceEqual("x-opt-enqueued-time"u8) || annotation.SequenceEqual("iothub-enqueuedtime"u8);

    private void Write(AmqpMap map, ref bool allFits)
    {
        foreach (var pair in map)
            Write(pair, ref allFits);
    }

    private void Write(AmqpMap.Pair pair, ref bool allFits)
    {
        allFits &= Fits(pair.Key);
        allFits &= !pair.Value.IsText || Fits(pair.Value.Content);
        AmqpJson.WriteName(_json, pair.Key);
        AmqpJson.WriteValue(_json, pair.Value);
    }

    private void Begin()
    {
        _buffer.Clear();
        _json.Reset();
        _json.WriteStartObject();
    }

    private string End()
    {
        _json.WriteEndObject();
        _json.Flush();
        return Encoding.UTF8.GetString(_buffer.WrittenSpan);
    }
}
