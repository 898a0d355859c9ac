using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>
/// Reads a batch of messages: <c>[{"body":"aGVsbG8=","properties":{"iothub-app-k":"v"}},{"body":"hello","base64Encoded":false}]</c>.
/// All of it is taken or nothing. Fields that are not known are passed over; later SDKs may send more.
/// </summary>
internal ref struct DeviceTelemetryBatch
{
    /// <summary>Far more than any SDK puts into 256 KB, and a bound on what tiny messages cost with all that the hub adds to each.</summary>
    public const int MaxMessages = 1000;

    private const int MaxDepth = 16;

    private readonly DeviceSession _session;
    private readonly RecordBatch _batch;
    private readonly MessageProperties _properties = new();
    private readonly byte[] _text;
    private Utf8JsonReader _json;
    private long _size;

    private DeviceTelemetryBatch(DeviceSession session, ReadOnlySequence<byte> body, RecordBatch batch, byte[] text)
    {
        _session = session;
        _batch = batch;
        _text = text;
        _json = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = MaxDepth });
    }

    /// <summary>Encodes every message of the batch.</summary>
    /// <exception cref="HubException">400: it is not such JSON (the message says which message, and repeats nothing of it); 413: it is too large.</exception>
    public static void Encode(DeviceSession session, ReadOnlySequence<byte> body, RecordBatch batch)
    {
        // No text in the JSON is longer than the JSON.
        var text = ArrayPool<byte>.Shared.Rent((int)Math.Max(1, body.Length));
        try
        {
            new DeviceTelemetryBatch(session, body, batch, text).ReadMessages();
        }
        catch (JsonException)
        {
            throw Malformed(batch.Count, "the JSON is not valid");
        }
        catch (InvalidOperationException)
        {
            throw Malformed(batch.Count, "a name holds what is no character"); // Of a text it is said where it is read.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(text);
        }
    }

    private void ReadMessages()
    {
        if (!_json.Read() || _json.TokenType != JsonTokenType.StartArray)
            throw Malformed(0, "a batch is an array of messages");

        while (_json.Read() && _json.TokenType != JsonTokenType.EndArray)
        {
            if (_json.TokenType != JsonTokenType.StartObject)
                throw Malformed(_batch.Count, "a message is an object");
            if (_batch.Count == MaxMessages)
                throw new HubException(HubErrors.MessageTooLarge, $"a batch holds at most {MaxMessages} messages");

            ReadMessage();
        }

        // The reader refuses what comes after the array.
        while (_json.Read())
        {
        }

        if (_batch.Count == 0)
            throw Malformed(0, "the batch holds no message");
    }

    private void ReadMessage()
    {
        _properties.Clear();
        var length = -1;
        var isBase64 = true;
        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            if (_json.ValueTextEquals("body"u8))
                length = ReadBody(length);
            else if (_json.ValueTextEquals("base64Encoded"u8))
                isBase64 = ReadBoolean();
            else if (_json.ValueTextEquals("properties"u8))
                ReadProperties();
            else
                _json.Skip();
        }

        if (length < 0)
            throw Malformed(_batch.Count, "it has no body");
        if (isBase64 && Base64.DecodeFromUtf8InPlace(_text.AsSpan(0, length), out length) != OperationStatus.Done)
            throw Malformed(_batch.Count, "its body is not base64");

        _size += length + _properties.SizeBytes;
        if (_size > Ingest.MaxMessageBytes)
            throw HttpMessageProperties.TooLarge();
        HttpMessageProperties.Check(_session.SendTelemetry(_properties, new ReadOnlySequence<byte>(_text, 0, length), _batch));
    }

    private int ReadBody(int before)
    {
        _json.Read();
        if (_json.TokenType != JsonTokenType.String || before >= 0)
            throw Malformed(_batch.Count, "its body is one text");

        return CopyText();
    }

    private bool ReadBoolean()
    {
        _json.Read();
        return _json.TokenType is JsonTokenType.True or JsonTokenType.False
            ? _json.GetBoolean()
            : throw Malformed(_batch.Count, "base64Encoded is true or false");
    }

    private void ReadProperties()
    {
        _json.Read();
        if (_json.TokenType == JsonTokenType.Null)
            return;
        if (_json.TokenType != JsonTokenType.StartObject)
            throw Malformed(_batch.Count, "its properties are an object");

        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            var name = GetText();
            _json.Read();
            if (_json.TokenType is not (JsonTokenType.String or JsonTokenType.Null))
                throw Malformed(_batch.Count, "a property is a text or null");

            var isNull = _json.TokenType == JsonTokenType.Null;
            var value = isNull ? [] : Encoding.UTF8.GetBytes(GetText());
            if (!HttpMessageProperties.TryAdd(_properties, name, value, isNull))
                throw HttpMessageProperties.TooMany();
        }
    }

    private int CopyText()
    {
        try
        {
            return _json.CopyString(_text);
        }
        catch (InvalidOperationException)
        {
            throw NoText();
        }
    }

    private string GetText()
    {
        try
        {
            return _json.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw NoText();
        }
    }

    // How the reader says that an escape or the bytes of a text are no characters.
    private HubException NoText() => Malformed(_batch.Count, "a text holds what is no character");

    private static HubException Malformed(int message, string what) => new(HubErrors.FormatError, $"message {message} of the batch: {what}");
}
