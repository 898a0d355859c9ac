using System.Buffers;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Devices;

/// <summary>
/// What a device may do, a file a promise. One per identity session; used by the one loop that owns the connection.
/// </summary>
public sealed partial class DeviceSession
{
    private readonly Ingest _ingest;
    private readonly DevicePromises _promises;
    private readonly string _generationId;

    // What a message that is not appended yet says of tampering.
    private string? _declared;

    /// <param name="modelId">The <c>model-id</c> given at connect; null when none.</param>
    /// <param name="promises">What there is besides telemetry.</param>
    public DeviceSession(Identity identity, Principal principal, string generationId, string? modelId, Ingest ingest, DeviceQuota quota, DevicePromises promises)
    {
        _ingest = ingest;
        _promises = promises;
        _generationId = generationId;
        Quota = quota;
        Identity = identity;
        GenerationId = generationId;
        ModelId = modelId;
        Principal = principal;
        Stamp = ingest.StampOf(identity, principal, generationId, modelId);
    }

    public Identity Identity { get; }

    /// <summary>Of the identity as it was let in: a namesake made since is another.</summary>
    public string GenerationId { get; }

    /// <summary>The model it named when it connected; null for none.</summary>
    public string? ModelId { get; }

    public Principal Principal { get; }

    /// <summary>What it may use a second. A head asks it before it takes telemetry in.</summary>
    public DeviceQuota Quota { get; }

    /// <summary>What the hub stamps on every message of this session, encoded once.</summary>
    public SessionStamp Stamp { get; }

    /// <summary>
    /// False while the device is in quarantine: whoever would deliver a command, a method or desired properties asks first, each time.
    /// Subscriptions are taken all the same, so that the device does not learn of it.
    /// </summary>
    public bool MayReceive => _ingest.MaySendTo(Identity.DeviceId);

    /// <summary>
    /// Encodes one telemetry message into <paramref name="batch"/>; it is taken in by <see cref="FlushAsync"/>.
    /// </summary>
    /// <returns>What is wrong with the message; <see cref="TelemetryOutcome.Accepted"/> when nothing is. The batch is unchanged unless accepted.</returns>
    public TelemetryOutcome SendTelemetry(MessageProperties properties, in ReadOnlySequence<byte> payload, RecordBatch batch) =>
        Noted(properties, Ingest.Encode(Stamp, properties, payload, batch));

    /// <inheritdoc cref="SendTelemetry(MessageProperties, in ReadOnlySequence{byte}, RecordBatch)"/>
    public TelemetryOutcome SendTelemetry(MessageProperties properties, ReadOnlySpan<byte> payload, RecordBatch batch) =>
        Noted(properties, Ingest.Encode(Stamp, properties, payload, batch));

    private TelemetryOutcome Noted(MessageProperties properties, TelemetryOutcome outcome)
    {
        if (outcome == TelemetryOutcome.Accepted)
        {
            _declared ??= _ingest.Tamper?.Declared(properties);
            _faults?.Take(properties);
        }

        return outcome;
    }

    /// <summary>Appends what the batch holds; see <see cref="IEventLog.AppendAsync"/>.</summary>
    /// <exception cref="HubException">A message declares tampering, and the device could not be put into quarantine; nothing was appended.</exception>
    public ValueTask<AppendResult> FlushAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel) =>
        _declared is { } declared ? FlushDeclaredAsync(declared, batch, listener, cancel) : _ingest.AppendAsync(Stamp, batch, listener, cancel);

    private async ValueTask<AppendResult> FlushDeclaredAsync(string declared, RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        if (MayReceive)
            await _ingest.Tamper!.ActAsync(Identity, Principal, declared, cancel).ConfigureAwait(false);
        _declared = null;
        return await _ingest.AppendAsync(Stamp, batch, listener, cancel).ConfigureAwait(false);
    }
}
