using System.Globalization;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
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

    private readonly byte[] _hubName = Encoding.UTF8.GetBytes(names.HubName);

    /// <param name="source">IoT Hub's name of the kind, for example <c>twinChangeEvents</c>.</param>
    /// <param name="operation">Its <c>opType</c>.</param>
    /// <param name="schema">Its <c>iothub-message-schema</c>.</param>
    /// <param name="body">JSON.</param>
    /// <param name="at">When it happened; null: now.</param>
    public OutboxRecord Of(
        Identity identity, StreamId stream, SourceKind kind, string source, string operation, string schema, string correlationId, ReadOnlySpan<byte> body, DateTimeOffset? at = null)
    {
        var target = new byte[HubAnnotations.Length + FixedOverhead + (4 * (names.HubName.Length + identity.DeviceId.Length + (identity.ModuleId?.Length ?? 0))) + body.Length];
        var annotations = WriteAnnotations(target, source, identity);

        var writer = new AmqpWriter(target.AsSpan(annotations));
        WriteProperties(ref writer, correlationId);
        WriteApplicationProperties(ref writer, identity, operation, schema, at ?? time.GetUtcNow());
        writer.Section(AmqpSection.Data);
        writer.Binary(body);
        return new OutboxRecord(Guid.NewGuid(), identity.DeviceId, stream.Number, (byte)kind, target[..(annotations + writer.Written)]);
    }

    // Under the names that telemetry has them, so that readers of one device find its changes too.
    private static int WriteAnnotations(Span<byte> target, string source, Identity identity)
    {
        HubAnnotations.Begin(target);
        var writer = new AmqpWriter(target[HubAnnotations.Length..]);
        writer.Symbol("iothub-message-source"u8);
        writer.String(Encoding.UTF8.GetBytes(source));
        writer.Symbol("iothub-connection-device-id"u8);
        writer.String(Encoding.UTF8.GetBytes(identity.DeviceId));
        if (identity.ModuleId is { } moduleId)
        {
            writer.Symbol("iothub-connection-module-id"u8);
            writer.String(Encoding.UTF8.GetBytes(moduleId));
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
        writer.String(Encoding.UTF8.GetBytes(correlationId));
        writer.Symbol("application/json"u8);
        writer.Symbol("utf-8"u8);
        writer.End(list, (int)AmqpProperty.ContentEncoding + 1);
    }

    private void WriteApplicationProperties(ref AmqpWriter writer, Identity identity, string operation, string schema, DateTimeOffset at)
    {
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        var elements = Property(ref writer, "hubName", names.HubName)
            + Property(ref writer, "deviceId", identity.DeviceId)
            + (identity.ModuleId is null ? 0 : Property(ref writer, "moduleId", identity.ModuleId))
            + Property(ref writer, "operationTimestamp", at.UtcDateTime.ToString("O", CultureInfo.InvariantCulture))
            + Property(ref writer, "opType", operation)
            + Property(ref writer, "iothub-message-schema", schema);
        writer.End(map, elements);
    }

    private static int Property(ref AmqpWriter writer, string name, string value)
    {
        writer.String(Encoding.UTF8.GetBytes(name));
        writer.String(Encoding.UTF8.GetBytes(value));
        return 2;
    }
}
