using System.Buffers;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Services.Sql;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Services.Sql;

public sealed class TelemetryRowReaderTests : IDisposable
{
    private static readonly Principal Device = new(PrincipalKind.Module, "d1/m1", Rights.DeviceConnect, DateTimeOffset.MaxValue, """{"scope":"module"}""", "");

    private readonly TelemetryRowReader _reader = new();

    [Fact]
    public void Message_WithEverything_FillsItsColumns()
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.MessageId, "mid"u8);
        properties.TrySet(SystemProperty.CorrelationId, "cid"u8);
        properties.TrySet(SystemProperty.ContentType, "application/json"u8);
        properties.TrySet(SystemProperty.ContentEncoding, "utf-8"u8);
        properties.TryAdd("alert"u8, "nö"u8);
        properties.TryAdd("flag"u8, default, isNull: true);

        var row = Read("""{"t": 21.5}"""u8, properties);

        Assert.Equal(("d1", "m1", "mid", "cid", "application/json", "utf-8"),
            (row.DeviceId, row.ModuleId, row.MessageId, row.CorrelationId, row.ContentType, row.ContentEncoding));
        Assert.Equal("""{"alert":"nö","flag":null}""", row.Properties);
        Assert.Equal("""{"t": 21.5}""", row.Body);
        Assert.Contains("\"iothub-connection-auth-generation-id\":\"637\"", row.SystemProperties);
        Assert.Contains("\"message-id\":\"mid\"", row.SystemProperties);
        Assert.DoesNotContain("x-opt-sequence-number", row.SystemProperties);
        Assert.Null(row.RawMessage);
    }

    [Theory]
    [InlineData("21.5", null, "body")]
    [InlineData("[1,2]", "application/json; charset=utf-8", "body")]
    [InlineData("{}", "application/cloudevents+json", "body")]
    [InlineData("{}", "text/plain", "text")]
    [InlineData("hello", null, "text")]
    [InlineData("{\"a\":1,\"a\":2}", null, "text")] // a database would keep one of the two
    [InlineData("{\"a\":\"\\u0000\"}", null, "text")] // PostgreSQL has no NUL
    [InlineData("{\"a\":1} x", null, "text")]
    [InlineData("a\0b", null, "bytes")]
    [InlineData("", null, "none")]
    public void Body_GoesWhereItIsKeptWhole(string body, string? contentType, string column)
    {
        var properties = new MessageProperties();
        if (contentType is not null)
            properties.TrySet(SystemProperty.ContentType, Encoding.UTF8.GetBytes(contentType));

        var row = Read(Encoding.UTF8.GetBytes(body), properties);

        Assert.Equal(column, row switch { { Body: not null } => "body", { BodyText: not null } => "text", { BodyBytes: not null } => "bytes", _ => "none" });
        Assert.Equal(body, row.Body ?? row.BodyText ?? Encoding.UTF8.GetString(row.BodyBytes ?? []));
    }

    [Fact]
    public void Body_NotUtf8_IsBytes()
    {
        Assert.Equal([0xff, 0xfe], Read([0xff, 0xfe], new MessageProperties()).BodyBytes);
    }

    [Fact]
    public void Body_Compressed_IsBytes()
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.ContentEncoding, "gzip"u8);

        Assert.NotNull(Read("looks like text"u8, properties).BodyBytes);
    }

    [Fact]
    public void Body_NestedDeeply_IsText()
    {
        Assert.NotNull(Read(Encoding.UTF8.GetBytes(new string('[', 100) + new string(']', 100)), new MessageProperties()).BodyText);
    }

    [Theory]
    [InlineData("a\0b", "v")]
    [InlineData("n", "a\0b")]
    public void Property_WithNul_KeepsTheWholeMessage(string name, string value)
    {
        var properties = new MessageProperties();
        properties.TryAdd(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value));

        var row = Read("x"u8, properties);

        Assert.True(row.IsRaw);
        Assert.Equal("d1", row.DeviceId);
        Assert.Equal(row.Stored.ToArray(), row.RawMessage);
    }

    [Fact]
    public void Property_NotUtf8_KeepsTheWholeMessage()
    {
        // The hub refuses such a message today; stored ones must not stop a connection.
        var properties = new MessageProperties();
        properties.TryAdd("n"u8, "not yet"u8);
        var stored = Read("x"u8, properties).Stored.ToArray();
        stored[stored.AsSpan().IndexOf("not yet"u8)] = 0xff;

        Assert.True(_reader.Read(new LogRecord(StreamId.Events, 0, 5, DateTimeOffset.UnixEpoch, SourceKind.Telemetry, 0, stored)).IsRaw);
    }

    [Fact]
    public void Bytes_ThatAreNoMessage_AreKept()
    {
        var row = _reader.Read(new LogRecord(StreamId.Events, 0, 1, DateTimeOffset.UnixEpoch, SourceKind.Telemetry, 0, new byte[] { 1, 2, 3 }));

        Assert.Equal([1, 2, 3], row.RawMessage);
    }

    [Fact]
    public void Row_MadePlainer_EndsWithTheStoredMessage()
    {
        var row = Read("1e999999"u8, new MessageProperties());

        var text = row.Plainer()!;
        var raw = text.Plainer()!;

        Assert.Equal("1e999999", text.BodyText);
        Assert.True(raw.IsRaw);
        Assert.Null(raw.Plainer());
    }

    public void Dispose() => _reader.Dispose();

    private TelemetryRow Read(ReadOnlySpan<byte> body, MessageProperties properties)
    {
        var batch = new RecordBatch();
        var stamp = new Ingest(new Hub.Telemetry.ScriptedLog(), new QuarantineLine()).StampOf(Identity.Of("d1", "m1"), Device, "637", null);
        Assert.Equal(TelemetryOutcome.Accepted, Ingest.Encode(stamp, properties, new ReadOnlySequence<byte>(body.ToArray()), batch));
        return _reader.Read(new LogRecord(
            StreamId.Events, batch.Partition, 5, DateTimeOffset.UnixEpoch, SourceKind.Telemetry, 0, batch.Written[RecordHeader.Length..].ToArray()));
    }
}
