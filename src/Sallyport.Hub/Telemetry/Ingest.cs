using System.Buffers;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Takes telemetry in: stamp, route, encode once, append. The stored bytes are described in <c>docs/formats/message.md</c>.
/// Thread-safe; allocates nothing per message.
/// </summary>
/// <param name="quarantine">Messages of devices behind this line go to the stream <c>quarantine</c>.</param>
/// <param name="tamper">What a message may declare; null when nothing is looked for.</param>
public sealed class Ingest(IEventLog log, QuarantineLine quarantine, TamperRule? tamper = null)
{
    /// <summary>The bound of IoT Hub on a device-to-cloud message or batch: 256 KB.</summary>
    public const int MaxMessageBytes = 262_144;

    /// <summary>The bit of the built-in endpoint <c>events</c> in a record's endpoint set.</summary>
    public const ulong BuiltInEndpoint = 1;

    // Descriptors and heads of four sections, four names of annotations and six of application properties, and each value's head.
    private const int FixedOverhead = 1024;

    /// <summary>Encodes what every message of a session has in common.</summary>
    /// <param name="generationId">Of the identity, see <see cref="Admission.GenerationId"/>.</param>
    /// <param name="modelId">The <c>model-id</c> given at connect; null when none.</param>
    public SessionStamp StampOf(Identity identity, Principal principal, string generationId, string? modelId) =>
        SessionStamp.Of(PartitionOf.Device(identity.DeviceId, log.PartitionCount), identity, principal, generationId, modelId);

    /// <summary>Encodes one message into <paramref name="batch"/>, which stays as it was unless the message is accepted.</summary>
    /// <remarks>
    /// The size that counts is IoT Hub's: body, values of system properties, names and values of application properties.
    /// </remarks>
    public static TelemetryOutcome Encode(SessionStamp stamp, MessageProperties properties, in ReadOnlySequence<byte> payload, RecordBatch batch)
    {
        var outcome = Encode(stamp, properties, payload.Length, batch, out var content);
        if (outcome == TelemetryOutcome.Accepted)
            payload.CopyTo(content);
        return outcome;
    }

    /// <inheritdoc cref="Encode(SessionStamp, MessageProperties, in ReadOnlySequence{byte}, RecordBatch)"/>
    public static TelemetryOutcome Encode(SessionStamp stamp, MessageProperties properties, ReadOnlySpan<byte> payload, RecordBatch batch)
    {
        var outcome = Encode(stamp, properties, payload.Length, batch, out var content);
        if (outcome == TelemetryOutcome.Accepted)
            payload.CopyTo(content);
        return outcome;
    }

    // All but the payload, which the caller copies into the content.
    private static TelemetryOutcome Encode(SessionStamp stamp, MessageProperties properties, long payloadLength, RecordBatch batch, out Span<byte> content)
    {
        content = default;
        if (payloadLength + properties.SizeBytes > MaxMessageBytes)
        {
            TelemetryMeter.Refused(TelemetryOutcome.TooLarge);
            return TelemetryOutcome.TooLarge;
        }

        if (!TelemetryRules.Allow(properties, out var expiryMs))
        {
            TelemetryMeter.Refused(TelemetryOutcome.BadProperty);
            return TelemetryOutcome.BadProperty;
        }

        batch.Begin(StreamId.Events, stamp.Partition, SourceKind.Telemetry, BuiltInEndpoint);
        var bound = HubAnnotations.Length + stamp.Annotations.Length + FixedOverhead
            + properties.SizeBytes + (properties.Count * 2 * AmqpWriter.VariableOverhead) + (int)payloadLength;
        var target = batch.GetSpan(bound);

        var sectionLength = WriteAnnotations(target, stamp, properties);
        var writer = new AmqpWriter(target[sectionLength..]);
        MessageSections.WriteProperties(ref writer, properties, expiryMs);
        MessageSections.WriteApplicationProperties(ref writer, properties);
        writer.Section(AmqpSection.Data);
        content = writer.BinaryContent((int)payloadLength);

        batch.Advance(sectionLength + writer.Written);
        batch.End();
        return TelemetryOutcome.Accepted;
    }

    internal TamperRule? Tamper => tamper;

    /// <summary>Whether the hub sends the device anything: commands, methods, desired properties. Asked for each, so that it holds for open sessions.</summary>
    public bool MaySendTo(string deviceId) => !quarantine.Holds(deviceId);

    /// <summary>Appends what the batch holds, to <c>events</c> or, while the device is in quarantine, to <c>quarantine</c>; see <see cref="IEventLog.AppendAsync"/>.</summary>
    /// <param name="stamp">Of the session whose messages these are.</param>
    public ValueTask<AppendResult> AppendAsync(SessionStamp stamp, RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        var messages = batch.Count;
        var passage = quarantine.Enter(stamp.Lane);
        ValueTask<AppendResult> append;
        try
        {
            if (quarantine.Holds(stamp.DeviceId))
                batch.Redirect(StreamId.Quarantine);
            append = log.AppendAsync(batch, listener, cancel);
        }
        catch
        {
            quarantine.Leave(passage);
            throw;
        }

        if (!append.IsCompletedSuccessfully)
            return Finished(append, messages, passage);

        quarantine.Leave(passage);
        var result = append.Result;
        TelemetryMeter.Appended(messages, result.Outcome);
        return new(result);
    }

    // Only under back-pressure, when the log made the caller wait.
    private async ValueTask<AppendResult> Finished(ValueTask<AppendResult> append, int messages, int passage)
    {
        try
        {
            var result = await append.ConfigureAwait(false);
            TelemetryMeter.Appended(messages, result.Outcome);
            return result;
        }
        finally
        {
            quarantine.Leave(passage);
        }
    }

    private static int WriteAnnotations(Span<byte> target, SessionStamp stamp, MessageProperties properties)
    {
        HubAnnotations.Begin(target);
        var writer = new AmqpWriter(target[HubAnnotations.Length..]);
        writer.Encoded(stamp.Annotations.Span);
        var elements = HubAnnotations.Elements + stamp.AnnotationElements
            + Annotation(ref writer, properties, SystemProperty.InterfaceId, "iothub-interface-id"u8)
            + Annotation(ref writer, properties, SystemProperty.Subject, "dt-subject"u8)
            + Annotation(ref writer, properties, SystemProperty.DiagnosticId, "Diagnostic-Id"u8)
            + Annotation(ref writer, properties, SystemProperty.DiagnosticContext, "Correlation-Context"u8);
        var length = HubAnnotations.Length + writer.Written;
        HubAnnotations.Finish(target[..length], elements);
        return length;
    }

    private static int Annotation(ref AmqpWriter writer, MessageProperties properties, SystemProperty key, ReadOnlySpan<byte> name)
    {
        if (!properties.Has(key))
            return 0;

        writer.Symbol(name);
        writer.String(properties.System(key));
        return 2;
    }
}
