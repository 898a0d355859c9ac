using System.Buffers;
using System.Diagnostics.Metrics;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Appends to the event log what metadata transactions have left in the outbox, and deletes it there once it is on disk.
/// One loop; one relay per hub.
/// </summary>
/// <remarks>
/// Stopped or killed anywhere in between, it appends again what it finds at the next start; the log drops doubles by their
/// idempotency id. Events of one device keep their order: a partition's events go in one after the other, and after a refused one
/// none of that partition follows in the same round. The outbox is as large as the disk; at the log's bounds events wait in it.
/// </remarks>
public sealed class OutboxRelay
{
    /// <summary>Events on their way to the log at once.</summary>
    public const int MaxAtOnce = 2048;

    /// <summary>Bytes of one append; one event may be larger.</summary>
    public const int MaxAppendBytes = 64 * 1024;

    /// <summary>The pause after a refusal (disk full, held back), before all that waits is tried again.</summary>
    public static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private static readonly Meter Meter = new("Sallyport.Outbox");
    private static readonly Counter<long> Relayed = Meter.CreateCounter<long>("sallyport.outbox.relayed", "{event}", "Events appended to the log and deleted from the outbox.");
    private static readonly Counter<long> Refused = Meter.CreateCounter<long>("sallyport.outbox.refused", "{round}", "Rounds in which the log or the metadata store took no more.");
    private static readonly EventId WaitsEvent = new(2400, "OutboxWaits");

    private readonly IMetadata _metadata;
    private readonly IEventLog _log;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    public OutboxRelay(IMetadata metadata, IEventLog log, TimeProvider time, ILogger<OutboxRelay> logger)
    {
        _metadata = metadata;
        _log = log;
        _time = time;
        _logger = logger;
    }

    /// <summary>Relays until it is cancelled (then it returns) or the log has failed or was closed (then too: the process ends).</summary>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    /// <exception cref="ArgumentException">The log refuses an event as malformed: whoever put it into the outbox is wrong.</exception>
    public async Task RunAsync(CancellationToken cancel)
    {
        _metadata.Outbox.Added += Wake;
        try
        {
            while (!_log.Failure.IsCompleted)
            {
                var waiting = _metadata.Read(tx => _metadata.Outbox.Peek(tx, MaxAtOnce));
                if (waiting.Count == 0)
                    await _wake.Reader.ReadAsync(cancel).ConfigureAwait(false);
                else if (!await TryRelayAsync(waiting, cancel).ConfigureAwait(false))
                    await PauseAsync(cancel).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return; // Asked to stop: what waits is relayed at the next start.
        }
        finally
        {
            _metadata.Outbox.Added -= Wake;
        }
    }

    private void Wake() => _wake.Writer.TryWrite(true);

    /// <summary>False when the log or the store did not take everything.</summary>
    private async Task<bool> TryRelayAsync(IReadOnlyList<OutboxRecord> waiting, CancellationToken cancel)
    {
        List<Guid> appended = [];
        List<Task> commits = [];
        var refusal = AppendOutcome.Accepted;
        foreach (var partition in waiting.GroupBy(record => PartitionOf.Device(record.DeviceId, _log.PartitionCount)))
        {
            foreach (var (batch, ids) in Batches(partition.Key, partition))
            {
                var commit = new Commit();
                var result = await _log.AppendAsync(batch, commit, cancel).ConfigureAwait(false);
                if (result.Outcome != AppendOutcome.Accepted)
                {
                    refusal = result.Outcome;
                    break;
                }

                appended.AddRange(ids);
                commits.Add(commit.Done);
            }
        }

        if (await Task.WhenAny(Task.WhenAll(commits), _log.Failure).WaitAsync(cancel).ConfigureAwait(false) == _log.Failure)
            return false;

        if (appended.Count > 0 && !await TryDeleteAsync(appended, cancel).ConfigureAwait(false))
            return false;

        Relayed.Add(appended.Count);
        if (refusal == AppendOutcome.Accepted)
            return true;

        _logger.LogWarning(WaitsEvent, "The event log takes no events from the outbox now ({Outcome}); they wait and are tried again.", refusal);
        return false;
    }

    private async Task<bool> TryDeleteAsync(List<Guid> appended, CancellationToken cancel)
    {
        try
        {
            return await _metadata.WriteAsync(
                tx =>
                {
                    _metadata.Outbox.Delete(tx, appended);
                    return true;
                },
                cancel).ConfigureAwait(false);
        }
        catch (MetadataWriteException exception) when (!exception.IsPermanent)
        {
            _logger.LogWarning(WaitsEvent, exception, "Events that are in the log could not be deleted from the outbox; they are tried again and the log drops the doubles.");
            return false;
        }
    }

    private async Task PauseAsync(CancellationToken cancel)
    {
        Refused.Add(1);
        using var timer = new PeriodicTimer(RetryInterval, _time);
        await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false);
    }

    private static IEnumerable<(RecordBatch Batch, List<Guid> Ids)> Batches(int partition, IEnumerable<OutboxRecord> records)
    {
        var batch = new RecordBatch();
        List<Guid> ids = [];
        foreach (var record in records)
        {
            if (batch.Count > 0 && batch.Bytes + RecordHeader.Length + record.Message.Length > MaxAppendBytes)
            {
                yield return (batch, ids);
                batch.Clear();
                ids = [];
            }

            batch.Begin(new StreamId(record.Stream), partition, (SourceKind)record.Source, 0, record.Id);
            batch.Write(record.Message);
            batch.End();
            ids.Add(record.Id);
        }

        yield return (batch, ids);
    }

    private sealed class Commit : ICommitListener
    {
        private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Done => _done.Task;

        public void OnCommitted() => _done.TrySetResult();
    }
}
