using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Encodes events that are not telemetry (IoT Hub: non-telemetry events), like stored telemetry (<c>docs/formats/message.md</c>), for the outbox.
/// Immutable; thread-safe.
/// </summary>
internal sealed class ChangeEvents(HubNames names, TimeProvider time)
{
    // Heads of sections and values, and the names of annotations and properties: about 600 bytes.
    private const int FixedOverhead = 1024;

    private const int MaxTextOnStack = 512;

    // Ids must differ between all events there ever were, and be cheap: each random one costs a call of the kernel.
    private static readonly long Process = BitConverter.ToInt64(RandomNumberGenerator.GetBytes(sizeof(long)));
    private static long _made;

    private readonly byte[] _hubName = Encoding.UTF8.GetBytes(names.HubName);

    /// <param name="source">IoT Hub's name of the kind, for example <c>twinChangeEvents</c>.</param>
    /// <param name="operation">Its <c>opType</c>.</param>
    /// <param name="schema">Its <c>iothub-message-schema</c>.</param>
    /// <param name="correlationId">Null: its own id.</param>
    /// <param name="body">JSON.</param>
    /// <param name="at">When it happened; null: now.</param>
    public OutboxRecord Of(
        Identity identity, StreamId stream, SourceKind kind, string source, string operation, string schema, string? correlationId, ReadOnlySpan<byte> body, DateTimeOffset? at = null)
    {
        var id = NewId();
        var target = ArrayPool<byte>.Shared.Rent(
            HubAnnotations.Length + FixedOverhead + (4 * (names.HubName.Length + identity.DeviceId.Length + (identity.ModuleId?.Length ?? 0))) + body.Length);
        var annotations = WriteAnnotations(target, source, identity);

        var writer = new AmqpWriter(target.AsSpan(annotations));
        WriteProperties(ref writer, correlationId ?? id.ToString("N"));
        WriteApplicationProperties(ref writer, identity, operation, schema, at ?? time.GetUtcNow());
        writer.Section(AmqpSection.Data);
        writer.Binary(body);
        var message = target.AsSpan(0, annotations + writer.Written).ToArray();
        ArrayPool<byte>.Shared.Return(target);
        return new OutboxRecord(id, identity.DeviceId, stream.Number, (byte)kind, message);
    }

    // Under the names that telemetry has them, so that readers of one device find its changes too.
    private static int WriteAnnotations(Span<byte> target, string source, Identity identity)
    {
        HubAnnotations.Begin(target);
        var writer = new AmqpWriter(target[HubAnnotations.Length..]);
        writer.Symbol("iothub-message-source"u8);
        Write(ref writer, source);
        writer.Symbol("iothub-connection-device-id"u8);
        Write(ref writer, identity.DeviceId);
        if (identity.ModuleId is { } moduleId)
        {
            writer.Symbol("iothub-connection-module-id"u8);
            Write(ref writer, moduleId);
        }

        var length = HubAnnotations.Length + writer.Written;
        HubAnnotations.Finish(target[..length], HubAnnotations.Elements + (identity.IsModule ? 6 : 4));
        return length;
    }

    private void WriteProperties(ref AmqpWriter writer, string correlationId)
    {
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        writer.Null();
        writer.Binary(_hubName);
        writer.Null();
        writer.Null();
        writer.Null();
        Write(ref writer, correlationId);
        writer.Symbol("application/json"u8);
        writer.Symbol("utf-8"u8);
        writer.End(list, (int)AmqpProperty.ContentEncoding + 1);
    }

    private void WriteApplicationProperties(ref AmqpWriter writer, Identity identity, string operation, string schema, DateTimeOffset at)
    {
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        var elements = Property(ref writer, "hubName"u8, names.HubName)
            + Property(ref writer, "deviceId"u8, identity.DeviceId)
            + (identity.ModuleId is null ? 0 : Property(ref writer, "moduleId"u8, identity.ModuleId))
            + Property(ref writer, "operationTimestamp"u8, TwinTime.Text(at.UtcDateTime))
            + Property(ref writer, "opType"u8, operation)
            + Property(ref writer, "iothub-message-schema"u8, schema);
        writer.End(map, elements);
    }

    private static int Property(ref AmqpWriter writer, ReadOnlySpan<byte> name, string value)
    {
        writer.String(name);
        Write(ref writer, value);
        return 2;
    }

    private static void Write(ref AmqpWriter writer, string text)
    {
        Span<byte> utf8 = text.Length * 3 <= MaxTextOnStack ? stackalloc byte[MaxTextOnStack] : new byte[text.Length * 3];
        writer.String(utf8[..Encoding.UTF8.GetBytes(text, utf8)]);
    }

    private static Guid NewId()
    {
        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(id, Process);
        BinaryPrimitives.WriteInt64BigEndian(id[sizeof(long)..], Interlocked.Increment(ref _made));
        return new Guid(id);
    }
}
