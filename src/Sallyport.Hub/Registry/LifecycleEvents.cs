using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>
/// The events that say that an identity was created or deleted (IoT Hub: non-telemetry events, <c>deviceLifecycleEvents</c>).
/// They are encoded like stored telemetry (<c>docs/formats/message.md</c>); the body is the identity's twin. Immutable.
/// </summary>
internal sealed class LifecycleEvents(HubNames names, TimeProvider time)
{
    private const string Never = "0001-01-01T00:00:00Z";

    // Heads of sections and values, and the names of annotations and properties: about 600 bytes.
    private const int FixedOverhead = 1024;

    /// <summary>The event for the outbox; null when the change neither creates nor deletes.</summary>
    public OutboxRecord? Of(IdentityDecision decision, string correlationId)
    {
        if (decision is { Before: not null, After: not null })
            return null;

        var record = decision.After ?? decision.Before!;
        var operation = $"{(decision.After is null ? "delete" : "create")}{(decision.Identity.IsModule ? "Module" : "Device")}Identity";
        return new OutboxRecord(
            Guid.NewGuid(), record.DeviceId, StreamId.Changes.Number, (byte)SourceKind.DeviceLifecycle, Encode(record, operation, correlationId));
    }

    private byte[] Encode(IdentityRecord record, string operation, string correlationId)
    {
        var body = TwinOf(record);
        var target = new byte[HubAnnotations.Length + FixedOverhead + (4 * (names.HubName.Length + record.DeviceId.Length + (record.ModuleId?.Length ?? 0))) + body.Length];
        var annotations = WriteAnnotations(target);

        var writer = new AmqpWriter(target.AsSpan(annotations));
        WriteProperties(ref writer, correlationId);
        WriteApplicationProperties(ref writer, record, operation);
        writer.Section(AmqpSection.Data);
        writer.Binary(body);
        return target[..(annotations + writer.Written)];
    }

    private static int WriteAnnotations(Span<byte> target)
    {
        HubAnnotations.Begin(target);
        var writer = new AmqpWriter(target[HubAnnotations.Length..]);
        writer.Symbol("iothub-message-source"u8);
        writer.String("deviceLifecycleEvents"u8);
        var length = HubAnnotations.Length + writer.Written;
        HubAnnotations.Finish(target[..length], HubAnnotations.Elements + 2);
        return length;
    }

    private void WriteProperties(ref AmqpWriter writer, string correlationId)
    {
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        writer.Null();
        writer.Binary(Encoding.UTF8.GetBytes(names.HubName));
        writer.Null();
        writer.Null();
        writer.Null();
        writer.String(Encoding.UTF8.GetBytes(correlationId));
        writer.Symbol("application/json"u8);
        writer.Symbol("utf-8"u8);
        writer.End(list, (int)AmqpProperty.ContentEncoding + 1);
    }

    private void WriteApplicationProperties(ref AmqpWriter writer, IdentityRecord record, string operation)
    {
        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        var elements = Property(ref writer, "hubName", names.HubName)
            + Property(ref writer, "deviceId", record.DeviceId)
            + (record.ModuleId is null ? 0 : Property(ref writer, "moduleId", record.ModuleId))
            + Property(ref writer, "operationTimestamp", Now())
            + Property(ref writer, "opType", operation)
            + Property(ref writer, "iothub-message-schema", record.ModuleId is null ? "deviceLifecycleNotification" : "moduleLifecycleNotification");
        writer.End(map, elements);
    }

    private static int Property(ref AmqpWriter writer, string name, string value)
    {
        writer.String(Encoding.UTF8.GetBytes(name));
        writer.String(Encoding.UTF8.GetBytes(value));
        return 2;
    }

    // No twin differs from a new one yet: nothing writes to them.
    private byte[] TwinOf(IdentityRecord record)
    {
        var body = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("deviceId", record.DeviceId);
            if (record.ModuleId is not null)
                json.WriteString("moduleId", record.ModuleId);
            json.WriteString("etag", EntityTag.Format(1));
            json.WriteString("deviceEtag", EntityTag.Format(record.ETag));
            json.WriteString("status", record.Enabled ? "enabled" : "disabled");
            json.WriteString("statusUpdateTime", record.StatusUpdatedTime is { } updated ? Text(updated) : Never);
            json.WriteString("connectionState", "Disconnected");
            json.WriteString("lastActivityTime", record.LastActivityTime is { } active ? Text(active) : Never);
            json.WriteNumber("cloudToDeviceMessageCount", 0);
            json.WriteString("authenticationType", JsonNamingPolicy.CamelCase.ConvertName(record.Authentication.ToString()));
            json.WriteStartObject("x509Thumbprint");
            json.WriteString("primaryThumbprint", record.PrimaryThumbprint);
            json.WriteString("secondaryThumbprint", record.SecondaryThumbprint);
            json.WriteEndObject();
            json.WriteNumber("version", 2);
            json.WriteStartObject("properties");
            WriteEmptySection(json, "desired");
            WriteEmptySection(json, "reported");
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return body.WrittenSpan.ToArray();
    }

    private void WriteEmptySection(Utf8JsonWriter json, string name)
    {
        json.WriteStartObject(name);
        json.WriteStartObject("$metadata");
        json.WriteString("$lastUpdated", Now());
        json.WriteEndObject();
        json.WriteNumber("$version", 1);
        json.WriteEndObject();
    }

    private string Now() => Text(time.GetUtcNow());

    private static string Text(DateTimeOffset at) => at.UtcDateTime.ToString("O", CultureInfo.InvariantCulture);
}
