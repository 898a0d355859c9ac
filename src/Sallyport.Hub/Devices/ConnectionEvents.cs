using System.Buffers;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Devices;

/// <summary>
/// The events that say that an identity came or went (IoT Hub: non-telemetry events, <c>deviceConnectionStateEvents</c>), appended to the event log
/// as soon as it happens. They are no part of a metadata transaction, so they take no row and no outbox.
/// </summary>
/// <remarks>
/// Thread-safe; one loop. A connection pays a place in a queue, the loop the encoding. Each event's <c>sequenceNumber</c> is greater as a text than
/// every earlier one of the same device, also after a restart: it begins with the sequence number that its partition's next event had when the hub
/// started. What waits while the log takes nothing (full disk, held back) is at most <see cref="MaxWaiting"/> events; beyond that the oldest go, and
/// are counted. A process that is killed loses what waits and never says that its devices went; their next event has a greater number all the same.
/// </remarks>
public sealed class ConnectionEvents
{
    /// <summary>Events that wait for the log: about 5 MB.</summary>
    public const int MaxWaiting = 100_000;

    /// <summary>Events of one round of appends.</summary>
    public const int MaxAtOnce = 256;

    /// <summary>The pause after a refusal of the log, before the same is tried again.</summary>
    public static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private static readonly Meter Meter = new("Sallyport.ConnectionEvents");
    private static readonly Counter<long> Dropped = Meter.CreateCounter<long>(
        "sallyport.connection_events.dropped", "{event}", "Events of devices that came or went that the log did not take and that waited too long.");

    private static readonly EventId WaitsEvent = new(2401, "ConnectionEventsWait");

    private readonly ChangeEvents _events;
    private readonly IEventLog _log;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Channel<Transition> _waiting;
    private readonly long[] _startedAt;
    private readonly List<Transition> _taken = new(MaxAtOnce);
    private readonly RecordBatch _batch = new();
    private long _count;

    /// <summary>Begins to listen; what happens before <see cref="RunAsync"/> waits for it.</summary>
    public ConnectionEvents(ConnectedDevices connected, IEventLog log, HubNames names, TimeProvider time, ILogger<ConnectionEvents> logger)
        : this(connected, log, names, time, logger, MaxWaiting)
    {
    }

    internal ConnectionEvents(ConnectedDevices connected, IEventLog log, HubNames names, TimeProvider time, ILogger<ConnectionEvents> logger, int maxWaiting)
    {
        _events = new ChangeEvents(names, time);
        _log = log;
        _time = time;
        _logger = logger;
        _startedAt = [.. Enumerable.Range(0, log.PartitionCount).Select(partition => log.Describe(StreamId.Changes, partition).NextSequence)];
        _waiting = Channel.CreateBounded<Transition>(
            new BoundedChannelOptions(maxWaiting) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true }, _ => Dropped.Add(1));

        // Called in the order in which an identity's links come and go, so its numbers rise in that order too.
        connected.Changed += (identity, isConnected, at) => _waiting.Writer.TryWrite(new Transition(identity, isConnected, at, Interlocked.Increment(ref _count)));
    }

    /// <summary>
    /// Appends until it is cancelled; then what waits is offered to the log once more, and it returns. Returns too when the log failed or was closed:
    /// the process ends.
    /// </summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        try
        {
            while (await _waiting.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                if (!await TryAppendWaitingAsync(cancel).ConfigureAwait(false))
                    return;
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // The heads have ended their connections before this: their devices' last events are what waits.
            while (_waiting.Reader.TryPeek(out _) && await TryAppendWaitingAsync(cancel).ConfigureAwait(false))
                continue;
        }
    }

    /// <summary>False when the log takes nothing any more, or nothing now and there is no time to wait.</summary>
    private async Task<bool> TryAppendWaitingAsync(CancellationToken cancel)
    {
        _taken.Clear();
        while (_taken.Count < MaxAtOnce && _waiting.Reader.TryRead(out var transition))
            _taken.Add(transition);

        foreach (var ofPartition in _taken.GroupBy(transition => PartitionOf.Device(transition.Identity.DeviceId, _log.PartitionCount)))
        {
            _batch.Clear();
            foreach (var transition in ofPartition)
                Write(transition, ofPartition.Key);

            if (!await TryAppendAsync(cancel).ConfigureAwait(false))
                return false;
        }

        return true;
    }

    private async Task<bool> TryAppendAsync(CancellationToken cancel)
    {
        while (true)
        {
            var (outcome, _) = await _log.AppendAsync(_batch, listener: null, CancellationToken.None).ConfigureAwait(false);
            if (outcome == AppendOutcome.Accepted)
                return true;
            if (outcome == AppendOutcome.Failed || cancel.IsCancellationRequested)
                return false;

            _logger.LogWarning(WaitsEvent, "The event log takes no events of devices that come and go now ({Outcome}); they wait and are tried again.", outcome);
            // The log tells nobody when it takes events again.
            await Task.Delay(RetryInterval, _time, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Write(Transition transition, int partition)
    {
        var identity = transition.Identity;
        var body = Encoding.ASCII.GetBytes($$"""{"sequenceNumber":"{{_startedAt[partition]:X16}}{{transition.Number:X48}}"}""");
        var record = _events.Of(
            identity, StreamId.Changes, SourceKind.DeviceConnectionState, "deviceConnectionStateEvents",
            $"{(identity.IsModule ? "module" : "device")}{(transition.IsConnected ? "Connected" : "Disconnected")}", "deviceConnectionStateNotification",
            Guid.NewGuid().ToString("N", CultureInfo.InvariantCulture), body, transition.At);
        _batch.Begin(StreamId.Changes, partition, SourceKind.DeviceConnectionState, 0);
        _batch.Write(record.Message);
        _batch.End();
    }

    /// <param name="Number">Rises within the life of the process.</param>
    private readonly record struct Transition(Identity Identity, bool IsConnected, DateTimeOffset At, long Number);
}
