using System.Buffers;
using System.Text;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class EventJsonTests
{
    private readonly MessageProperties _properties = new();

    [Fact]
    public void Event_OfAModule_IsWrittenWhole()
    {
        _properties.TrySet(SystemProperty.MessageId, "m-1"u8);
        _properties.TrySet(SystemProperty.UserId, "ütop"u8);
        _properties.TrySet(SystemProperty.ContentType, "application/json"u8);
        _properties.TrySet(SystemProperty.AbsoluteExpiryTime, "2030-01-02T03:04:05.678Z"u8);
        _properties.TryAdd("site"u8, "nord\"1"u8);
        _properties.TryAdd("nothing"u8, default, isNull: true);

        Assert.Equal(
            """
            {"partition":2,"sequenceNumber":7,"offset":"00000000000000000007","enqueuedTime":"2026-01-02T03:04:05.678Z","deviceId":"d1","moduleId":"m1","source":"Telemetry","annotations":{"x-opt-sequence-number":7,"x-opt-offset":"00000000000000000007","x-opt-enqueued-time":"2026-01-02T03:04:05.678Z","iothub-enqueuedtime":"2026-01-02T03:04:05.678Z","iothub-connection-device-id":"d1","iothub-connection-module-id":"m1","iothub-connection-auth-method":"{}","iothub-connection-auth-generation-id":"637","iothub-message-source":"Telemetry"},"systemProperties":{"message-id":"m-1","user-id":"ütop","content-type":"application/json","absolute-expiry-time":"2030-01-02T03:04:05.678Z"},"properties":{"site":"nord\"1","nothing":null},"body":{"t":21.50},"bodyEncoding":"json"}
            """,
            Line(Encode("""{"t":21.50}"""u8)));
    }

    [Theory]
    [InlineData("21.5", "json", "21.5")]
    [InlineData("\"text\"", "json", "\"text\"")]
    [InlineData("{\"a\":\r\n  [1,\n2] }", "json", "{\"a\":  [1,2] }")]
    [InlineData("{\"big\":123456789012345678901234567890}", "json", "{\"big\":123456789012345678901234567890}")]
    [InlineData("", "utf-8", "\"\"")]
    [InlineData("{\"cut\":", "utf-8", "\"{\\\"cut\\\":\"")]
    [InlineData("1 2", "utf-8", "\"1 2\"")]
    [InlineData("grüße\n", "utf-8", "\"grüße\\n\"")]
    public void Body_OfText_IsShownAsWhatItIs(string body, string encoding, string shown)
    {
        var line = Line(Encode(Encoding.UTF8.GetBytes(body)));

        Assert.EndsWith($"\"body\":{shown},\"bodyEncoding\":\"{encoding}\"}}", line);
        Assert.DoesNotContain('\n', line);
        using var parsed = JsonDocument.Parse(line);
    }

    [Fact]
    public void Body_NotText_IsBase64()
    {
        Assert.EndsWith("\"body\":\"/wA=\",\"bodyEncoding\":\"base64\"}", Line(Encode([0xff, 0x00])));

        _properties.TrySet(SystemProperty.ContentEncoding, "UTF-16le"u8);
        Assert.EndsWith("\"body\":\"MQA=\",\"bodyEncoding\":\"base64\"}", Line(Encode([0x31, 0x00])));
    }

    [Fact]
    public void Body_DeeperThanTheBound_IsText()
    {
        var deep = new string('[', EventJson.MaxDepth + 1) + new string(']', EventJson.MaxDepth + 1);

        Assert.EndsWith("\"bodyEncoding\":\"utf-8\"}", Line(Encode(Encoding.UTF8.GetBytes(deep))));
    }

    [Theory]
    [InlineData("00537754fb", "-5")]
    [InlineData("005377c109 04 a10174 5415 54 01 40", "[\"t\",21,1,null]")]
    [InlineData("005377c106 02 a10174 5415", "{\"t\":21}")]
    [InlineData("005376c0030154fb", "[-5]")]
    [InlineData("00537798000102030405060708090a0b0c0d0e0f", "\"00010203-0405-0607-0809-0a0b0c0d0e0f\"")]
    [InlineData("0053778300000000000003e8", "\"1970-01-01T00:00:01Z\"")]
    [InlineData("0053777200000000", "0")]
    [InlineData("005377727fc00000", "null")]
    [InlineData("005377a102ff00", "\"/wA=\"")]
    public void Body_OfAnAmqpValue_IsWrittenAsJson(string hex, string shown)
    {
        var line = Line(Convert.FromHexString(hex.Replace(" ", "")));

        Assert.EndsWith($"\"body\":{shown},\"bodyEncoding\":\"amqp\"}}", line);
    }

    [Fact]
    public void Message_Unreadable_IsStillALine()
    {
        using var parsed = JsonDocument.Parse(Line([1, 2, 3]));

        Assert.Equal(7, parsed.RootElement.GetProperty("sequenceNumber").GetInt64());
        Assert.Equal(JsonValueKind.Null, parsed.RootElement.GetProperty("body").ValueKind);
    }

    // Mutated messages: whatever is stored, one valid line comes out.
    [Fact]
    public void Message_OfAnything_IsOneValidLine()
    {
        _properties.TrySet(SystemProperty.MessageId, "m-1"u8);
        _properties.TryAdd("k"u8, "v"u8);
        var good = Encode("""{"t":21.5}"""u8).ToArray();
        var random = new Random(7);
        for (var round = 0; round < 2000; round++)
        {
            var bytes = good.ToArray();
            for (var i = random.Next(1, 4); i > 0; i--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);

            var line = Line(bytes);
            Assert.DoesNotContain('\n', line);
            using var parsed = JsonDocument.Parse(line);
        }
    }

    private byte[] Encode(ReadOnlySpan<byte> body)
    {
        var principal = new Principal(PrincipalKind.Module, "d1/m1", Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");
        var stamp = new Ingest(new ScriptedLog(), new QuarantineLine()).StampOf(Identity.Of("d1", "m1"), principal, "637", null);
        var batch = new RecordBatch();
        Assert.Equal(TelemetryOutcome.Accepted, Ingest.Encode(stamp, _properties, new ReadOnlySequence<byte>(body.ToArray()), batch));
        var message = batch.Written[RecordHeader.Length..].ToArray();
        HubAnnotations.Patch(message, 7, Time.ToUnixTimeMilliseconds());
        return message;
    }

    private static DateTimeOffset Time { get; } = new(2026, 1, 2, 3, 4, 5, 678, TimeSpan.Zero);

    private static string Line(byte[] message)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, EventJson.WriterOptions))
            EventJson.Write(json, new LogRecord(StreamId.Events, 2, 7, Time, SourceKind.Telemetry, 1, message));
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
