using System.Buffers;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class IngestTests
{
    private const string AuthMethod = """{"scope":"device","type":"sas","issuer":"iothub"}""";

    private readonly Ingest _ingest = new(new ScriptedLog(), new QuarantineLine());
    private readonly RecordBatch _batch = new();
    private readonly MessageProperties _properties = new();

    [Fact]
    public void Message_OfADevice_CarriesTheHubsAnnotations()
    {
        Send(Session(Identity.Of("d1"), modelId: "dtmi:com:example:Thermostat;1"), "21.5");

        Assert.Equal("d1", Annotation("iothub-connection-device-id"));
        Assert.Equal(AuthMethod, Annotation("iothub-connection-auth-method"));
        Assert.Equal("637", Annotation("iothub-connection-auth-generation-id"));
        Assert.Equal("Telemetry", Annotation("iothub-message-source"));
        Assert.Equal("dtmi:com:example:Thermostat;1", Annotation("dt-dataschema"));
        Assert.Null(Annotation("iothub-connection-module-id"));
        Assert.Equal("21.5", Encoding.UTF8.GetString(Stored().Body));
    }

    [Fact]
    public void Message_OfAModule_NamesTheModule()
    {
        Send(Session(Identity.Of("d1", "m1")), "x");

        Assert.Equal("d1", Annotation("iothub-connection-device-id"));
        Assert.Equal("m1", Annotation("iothub-connection-module-id"));
    }

    [Fact]
    public void Message_PatchedByTheLog_HasItsPosition()
    {
        Send(Session(Identity.Of("d1")), "x");
        HubAnnotations.Patch(_batch.Written[RecordHeader.Length..], 42, 1_700_000_000_123);

        Assert.Equal("00000000000000000042", Annotation("x-opt-offset"));
        Assert.True(Stored().Annotations.TryFind("x-opt-sequence-number"u8, out var sequence));
        Assert.Equal(42, sequence.Signed);
        Assert.True(Stored().Annotations.TryFind("iothub-enqueuedtime"u8, out var enqueued));
        Assert.Equal(AmqpType.Timestamp, enqueued.Type);
        Assert.Equal(1_700_000_000_123, enqueued.Signed);
    }

    [Fact]
    public void SystemProperties_GoWhereAzurePutsThem()
    {
        Set(SystemProperty.MessageId, "5f0c9e3e-1111-4222-8333-444455556666");
        Set(SystemProperty.CorrelationId, "cid/1");
        Set(SystemProperty.UserId, "ütop");
        Set(SystemProperty.To, "/devices/d1/messages/events");
        Set(SystemProperty.ContentType, "application/json");
        Set(SystemProperty.ContentEncoding, "utf-8");
        Set(SystemProperty.AbsoluteExpiryTime, "2030-01-02T03:04:05.678Z");
        Set(SystemProperty.CreationTimeUtc, "2029-01-02T03:04:05.0000000Z");
        Set(SystemProperty.MessageSchema, "s1");
        Set(SystemProperty.OutputName, "out1");
        Set(SystemProperty.InterfaceId, "urn:azureiot:Security:SecurityAgent:1");
        Set(SystemProperty.Subject, "thermostat1");
        Set(SystemProperty.DiagnosticId, "diag");
        Set(SystemProperty.DiagnosticContext, "creationtimeutc=1");
        Set(SystemProperty.MessageType, "Will");
        Send(Session(Identity.Of("d1")), "{}");

        Assert.Equal("5f0c9e3e-1111-4222-8333-444455556666", Property(AmqpProperty.MessageId, AmqpType.String));
        Assert.Equal("cid/1", Property(AmqpProperty.CorrelationId, AmqpType.String));
        Assert.Equal("ütop", Property(AmqpProperty.UserId, AmqpType.Binary));
        Assert.Equal("/devices/d1/messages/events", Property(AmqpProperty.To, AmqpType.String));
        Assert.Equal("application/json", Property(AmqpProperty.ContentType, AmqpType.Symbol));
        Assert.Equal("utf-8", Property(AmqpProperty.ContentEncoding, AmqpType.Symbol));
        Assert.True(Stored().TryGet(AmqpProperty.AbsoluteExpiryTime, out var expiry));
        Assert.Equal(new DateTimeOffset(2030, 1, 2, 3, 4, 5, 678, TimeSpan.Zero).ToUnixTimeMilliseconds(), expiry.Signed);
        Assert.Equal("2029-01-02T03:04:05.0000000Z", Application("iothub-creation-time-utc"));
        Assert.Equal("s1", Application("iothub-message-schema"));
        Assert.Equal("out1", Application("iothub-outputname"));
        Assert.Equal("Will", Application("iothub-MessageType"));
        Assert.Equal("urn:azureiot:Security:SecurityAgent:1", Annotation("iothub-interface-id"));
        Assert.Equal("thermostat1", Annotation("dt-subject"));
        Assert.Equal("diag", Annotation("Diagnostic-Id"));
        Assert.Equal("creationtimeutc=1", Annotation("Correlation-Context"));
    }

    [Fact]
    public void ApplicationProperties_KeepNullApartFromEmpty()
    {
        Add("k 1", "v/1");
        Add("empty", "");
        Assert.True(_properties.TryAdd("nothing"u8, default, isNull: true));
        Send(Session(Identity.Of("d1")), "x");

        Assert.Equal("v/1", Application("k 1"));
        Assert.Equal("", Application("empty"));
        Assert.True(Stored().ApplicationProperties.TryFind("nothing"u8, out var nothing));
        Assert.Equal(AmqpType.Null, nothing.Type);
    }

    [Theory]
    [InlineData("iothub-connection-device-id")]
    [InlineData("IoTHub-Connection-Device-Id")]
    [InlineData("iothub-enqueuedtime")]
    [InlineData("iothub-message-source")]
    [InlineData("iothub-MessageType")]
    [InlineData("x-opt-offset")]
    [InlineData("X-OPT-anything")]
    public void ApplicationProperty_ReservedForTheHub_IsRemoved(string name)
    {
        Add(name, "spoofed");
        Add("mine", "1");
        Send(Session(Identity.Of("d1")), "x");

        Assert.Null(Application(name));
        Assert.Equal("1", Application("mine"));
        Assert.Equal("d1", Annotation("iothub-connection-device-id"));
    }

    [Fact]
    public void ApplicationProperty_ThatSendersMaySet_IsKeptUnlessTheSystemPropertySaysIt()
    {
        Add("iothub-ack", "full");
        Add("iothub-message-schema", "as-property");
        Set(SystemProperty.MessageSchema, "as-system");
        Send(Session(Identity.Of("d1")), "x");

        Assert.Equal("full", Application("iothub-ack"));
        Assert.Equal("as-system", Application("iothub-message-schema"));
    }

    [Theory]
    [InlineData(0, TelemetryOutcome.Accepted)]
    [InlineData(1, TelemetryOutcome.TooLarge)]
    public void Size_CountsBodyAndPropertyText(int beyond, TelemetryOutcome expected)
    {
        Set(SystemProperty.ContentType, "text/plain");
        Add("name", "value");
        var body = new byte[Ingest.MaxMessageBytes - "text/plain".Length - "name".Length - "value".Length + beyond];

        Assert.Equal(expected, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, new(body), _batch));
        Assert.Equal(expected == TelemetryOutcome.Accepted ? 1 : 0, _batch.Count);
    }

    [Theory]
    [InlineData(SystemProperty.MessageId, "has space")]
    [InlineData(SystemProperty.MessageId, "nön-ascii")]
    [InlineData(SystemProperty.ContentType, "text/plän")]
    [InlineData(SystemProperty.AbsoluteExpiryTime, "tomorrow")]
    [InlineData(SystemProperty.AbsoluteExpiryTime, "")]
    [InlineData(SystemProperty.AbsoluteExpiryTime, "2030-01-02T03:04:05.0000000000000000000000000000000000000000Z")]
    public void SystemProperty_NotAllowed_RefusesTheMessage(SystemProperty key, string value)
    {
        Set(key, value);

        Assert.Equal(TelemetryOutcome.BadProperty, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, default, _batch));
        Assert.Equal(0, _batch.Count);
        Assert.Equal(0, _batch.Bytes);
    }

    [Theory]
    [InlineData(128, TelemetryOutcome.Accepted)]
    [InlineData(129, TelemetryOutcome.BadProperty)]
    public void MessageId_IsBounded(int length, TelemetryOutcome expected)
    {
        Set(SystemProperty.MessageId, new string('m', length));

        Assert.Equal(expected, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, default, _batch));
    }

    [Fact]
    public void Text_NotUtf8_RefusesTheMessage()
    {
        Assert.True(_properties.TryAdd("k"u8, [0xc3, 0x28]));

        Assert.Equal(TelemetryOutcome.BadProperty, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, default, _batch));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(MessageProperties.MaxCount)]
    public void ApplicationProperty_Doubled_RefusesTheMessage(int count)
    {
        for (var i = 0; i < count - 1; i++)
            Add($"k{i}", "v");
        Assert.Equal(TelemetryOutcome.Accepted, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, default, _batch));

        Add("k0", "again");
        Assert.Equal(TelemetryOutcome.BadProperty, Ingest.Encode(Session(Identity.Of("d1")).Stamp, _properties, default, _batch));
    }

    [Fact]
    public void Batch_HoldsSeveralMessages_AcrossItsOwnGrowth()
    {
        var session = Session(Identity.Of("d1"));
        for (var i = 0; i < 50; i++)
        {
            _properties.Clear();
            Add("n", i.ToString());
            Assert.Equal(TelemetryOutcome.Accepted, session.SendTelemetry(_properties, new ReadOnlySequence<byte>(new byte[i * 37]), _batch));
        }

        var at = 0;
        for (var i = 0; i < 50; i++)
        {
            var record = _batch.Written[at..];
            Assert.True(StoredMessage.TryRead(record[RecordHeader.Length..RecordHeader.TotalLength(record)], out var message));
            Assert.Equal(i * 37, message.Body.Length);
            Assert.True(message.ApplicationProperties.TryFind("n"u8, out var n));
            Assert.Equal(i.ToString(), Encoding.UTF8.GetString(n.Content));
            at += RecordHeader.TotalLength(record);
        }

        Assert.Equal(50, _batch.Count);
        Assert.Equal(_batch.Written.Length, at);
    }

    [Fact]
    public void Payload_InManySegments_IsStoredWhole()
    {
        var payload = Segments("alpha"u8.ToArray(), [], "beta"u8.ToArray());
        Assert.Equal(TelemetryOutcome.Accepted, Session(Identity.Of("d1")).SendTelemetry(_properties, payload, _batch));

        Assert.Equal("alphabeta", Encoding.UTF8.GetString(Stored().Body));
    }

    [Fact]
    public void Encoding_InSteadyState_AllocatesNothing()
    {
        var session = Session(Identity.Of("d1"));
        var payload = new ReadOnlySequence<byte>(new byte[256]);
        Rounds(100);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Rounds(1000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Rounds(int count)
        {
            for (var i = 0; i < count; i++)
            {
                _properties.Clear();
                _properties.TrySet(SystemProperty.MessageId, "m-1"u8);
                _properties.TrySet(SystemProperty.ContentType, "application/json"u8);
                _properties.TrySet(SystemProperty.AbsoluteExpiryTime, "2030-01-02T03:04:05.678Z"u8);
                _properties.TryAdd("unit"u8, "celsius"u8);
                _properties.TryAdd("site"u8, "north"u8);
                _batch.Clear();
                if (session.SendTelemetry(_properties, payload, _batch) != TelemetryOutcome.Accepted)
                    throw new InvalidOperationException("refused");
                var append = session.FlushAsync(_batch, null, default);
                if (!append.IsCompletedSuccessfully || append.Result.Outcome != AppendOutcome.Accepted)
                    throw new InvalidOperationException("not appended");
            }
        }
    }

    private DeviceSession Session(Identity identity, string? modelId = null) =>
        new(identity, new Principal(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, AuthMethod, ""), "637", modelId, _ingest,
            new Quotas(new QuotaOptions(), TimeProvider.System).Of(identity), DevicePromises.None);

    private void Send(DeviceSession session, string body)
    {
        Assert.Equal(TelemetryOutcome.Accepted, session.SendTelemetry(_properties, new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(body)), _batch));
        Assert.Equal(PartitionOf.Device(session.Identity.DeviceId, 4), _batch.Partition);
    }

    private void Set(SystemProperty key, string value) => Assert.True(_properties.TrySet(key, Encoding.UTF8.GetBytes(value)));

    private void Add(string name, string value) => Assert.True(_properties.TryAdd(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value)));

    private StoredMessage Stored()
    {
        Assert.True(StoredMessage.TryRead(_batch.Written[RecordHeader.Length..], out var message));
        return message;
    }

    private string? Annotation(string key) =>
        Stored().Annotations.TryFind(Encoding.UTF8.GetBytes(key), out var value) ? Encoding.UTF8.GetString(value.Content) : null;

    private string? Application(string key) =>
        Stored().ApplicationProperties.TryFind(Encoding.UTF8.GetBytes(key), out var value) ? Encoding.UTF8.GetString(value.Content) : null;

    private string? Property(AmqpProperty property, AmqpType type)
    {
        Assert.True(Stored().TryGet(property, out var value));
        Assert.Equal(type, value.Type);
        return Encoding.UTF8.GetString(value.Content);
    }

    private static ReadOnlySequence<byte> Segments(params byte[][] parts)
    {
        var first = new Segment(parts[0], null);
        var last = first;
        foreach (var part in parts[1..])
            last = new Segment(part, last);
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] bytes, Segment? before)
        {
            Memory = bytes;
            if (before is null)
                return;

            RunningIndex = before.RunningIndex + before.Memory.Length;
            before.Next = this;
        }
    }
}
