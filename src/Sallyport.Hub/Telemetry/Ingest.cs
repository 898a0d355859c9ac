using System.Buffers;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

public enum TelemetryOutcome
{
    Accepted,

    /// <summary>Larger than 256 KB by IoT Hub's way of counting.</summary>
    TooLarge,

    /// <summary>A property is not allowed, or a bound on properties was reached.</summary>
    BadProperty,
}

/// <summary>What the hub stamps on the messages of one session: partition, and the annotations of identity, generation and authentication, encoded once.</summary>
public sealed class SessionStamp(int partition, byte[] annotations, int annotationElements)
{
    public int Partition { get; } = partition;

    /// <summary>AMQP-encoded keys and values that follow the fixed part of <see cref="Protocol.Amqp.HubAnnotations"/>.</summary>
    public ReadOnlyMemory<byte> Annotations { get; } = annotations;

    public int AnnotationElements { get; } = annotationElements;
}

/// <summary>Takes telemetry in: stamp, route, encode once, append. Thread-safe.</summary>
public sealed class Ingest(IEventLog log)
{
    /// <summary>The bound of IoT Hub on a device-to-cloud message or batch: 256 KB.</summary>
    public const int MaxMessageBytes = 262_144;

    public SessionStamp StampOf(Identity identity, Principal principal, string generationId, string? modelId) =>
        throw new NotImplementedException();

    public TelemetryOutcome Encode(SessionStamp stamp, MessageProperties properties, in ReadOnlySequence<byte> payload, RecordBatch batch) =>
        throw new NotImplementedException();

    public ValueTask<AppendResult> AppendAsync(SessionStamp stamp, RecordBatch batch, ICommitListener? listener, CancellationToken cancel) =>
        log.AppendAsync(batch, listener, cancel);
}
