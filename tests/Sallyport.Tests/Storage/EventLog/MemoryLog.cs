using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>
/// A log in memory that keeps every promise of <see cref="IEventLog"/> and no habit of <see cref="SegmentLog"/>: partitions commit on
/// their own, late, in no order between them, a few records at a time, and positions differ by partition. What works over both relies on
/// the contract only. Thread-safe.
/// </summary>
internal sealed class MemoryLog : IEventLog
{
    private const int RoomBytes = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PartitionState[] _partitions;
    private readonly HashSet<Guid> _ids = [];
    private readonly SemaphoreSlim _work = new(0);
    private readonly Task _committing;
    private readonly List<(Cursor Cursor, ICommitListener Listener)> _awaiting = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _closed;

    public MemoryLog(TimeProvider time, int partitions = 4, int seed = 1)
    {
        _time = time;
        _random = new Random(seed);
        _partitions = [.. Enumerable.Range(0, partitions).Select(_ => new PartitionState())];
        _committing = Task.Run(CommitUntilClosedAsync);
    }

    public int PartitionCount => _partitions.Length;

    public Task<Exception> Failure => _failure.Task;

    public async ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        if (batch.Written.IsEmpty)
            throw new ArgumentException("the batch holds no ended record", nameof(batch));

        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (_closed)
                    return new(AppendOutcome.Failed, 0);

                var partition = _partitions[batch.Partition];
                if (partition.PendingBytes == 0 || partition.PendingBytes + batch.Bytes <= RoomBytes)
                    return new(AppendOutcome.Accepted, Append(partition, batch, listener));

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancel);
        }
    }

    public long CommittedPosition(int partition)
    {
        lock (_gate)
            return _partitions[partition].Committed;
    }

    public StreamPartition Describe(StreamId stream, int partition)
    {
        lock (_gate)
        {
            var records = _partitions[partition].Of(stream);
            return new(0, records.Committed, records.Committed == 0 ? DateTimeOffset.UnixEpoch : records.All[records.Committed - 1].EnqueuedTime);
        }
    }

    public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start)
    {
        lock (_gate)
        {
            var records = _partitions[partition].Of(stream);
            var next = start.Kind switch
            {
                LogStartKind.Sequence => Math.Max(0, start.Sequence),
                LogStartKind.Latest => records.Committed,
                _ => 0,
            };
            return new Cursor(this, records, next, start.Kind == LogStartKind.Time ? start.Time : DateTimeOffset.MinValue);
        }
    }

    public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy) => new NothingToHold(name);

    public void BeginRetention()
    {
    }

    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
        }

        _work.Release();
        await _committing;
    }

    private long Append(PartitionState partition, RecordBatch batch, ICommitListener? listener)
    {
        var now = DateTimeOffset.FromUnixTimeMilliseconds(_time.GetUtcNow().ToUnixTimeMilliseconds());
        partition.LastTime = now > partition.LastTime ? now : partition.LastTime;
        var appended = new List<StreamRecords>();
        for (var at = 0; at < batch.Written.Length; at += RecordHeader.TotalLength(batch.Written[at..]))
        {
            var record = batch.Written.Slice(at, RecordHeader.TotalLength(batch.Written[at..]));
            var id = RecordHeader.IdempotencyId(record);
            if (id != Guid.Empty && !_ids.Add(id))
                continue;

            var records = partition.Of(RecordHeader.Stream(record));
            var message = record[RecordHeader.Length..].ToArray();
            HubAnnotations.Patch(message, records.All.Count, partition.LastTime.ToUnixTimeMilliseconds());
            records.All.Add(new LogRecord(
                RecordHeader.Stream(record), batch.Partition, records.All.Count, partition.LastTime, RecordHeader.Source(record), RecordHeader.Endpoints(record), message));
            appended.Add(records);
        }

        partition.PendingBytes += batch.Bytes;
        partition.Pending.Enqueue((appended, batch.Bytes, listener));
        _work.Release();
        return partition.Appended++;
    }

    private async Task CommitUntilClosedAsync()
    {
        while (true)
        {
            await _work.WaitAsync();
            for (var turns = _random.Next(20); turns > 0; turns--)
                await Task.Yield();
            while (CommitSome())
            {
            }

            lock (_gate)
            {
                if (_closed && Array.TrueForAll(_partitions, partition => partition.Pending.Count == 0))
                {
                    _changed.SetResult();
                    return;
                }
            }
        }
    }

    /// <summary>One partition commits some of its batches; each listener is told once.</summary>
    private bool CommitSome()
    {
        HashSet<ICommitListener> listeners = [];
        lock (_gate)
        {
            var waiting = Array.FindAll(_partitions, partition => partition.Pending.Count > 0);
            if (waiting.Length == 0)
                return false;

            var partition = waiting[_random.Next(waiting.Length)];
            for (var count = _random.Next(1, partition.Pending.Count + 1); count > 0; count--)
            {
                if (partition.CommitNext() is { } listener)
                    listeners.Add(listener);
            }

            foreach (var (cursor, listener) in _awaiting.FindAll(one => one.Cursor.HasMore))
            {
                _awaiting.RemoveAll(one => one.Cursor == cursor);
                listeners.Add(listener);
            }

            _changed.SetResult();
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        foreach (var listener in listeners)
            listener.OnCommitted();
        return true;
    }

    private sealed class StreamRecords
    {
        public List<LogRecord> All { get; } = [];

        public int Committed { get; set; }
    }

    private sealed class PartitionState
    {
        private readonly Dictionary<StreamId, StreamRecords> _streams = [];

        /// <summary>Batches on their way: whose next record each of their records is.</summary>
        public Queue<(List<StreamRecords> Records, int Bytes, ICommitListener? Listener)> Pending { get; } = [];

        public int PendingBytes { get; set; }

        public DateTimeOffset LastTime { get; set; } = DateTimeOffset.UnixEpoch;

        public long Appended { get; set; } = 1;

        public long Committed { get; private set; }

        public StreamRecords Of(StreamId stream) => _streams.TryGetValue(stream, out var records) ? records : _streams[stream] = new();

        public ICommitListener? CommitNext()
        {
            var (appended, bytes, listener) = Pending.Dequeue();
            foreach (var records in appended)
                records.Committed++;
            PendingBytes -= bytes;
            Committed++;
            return listener;
        }
    }

    private sealed class Cursor(MemoryLog log, StreamRecords records, long next, DateTimeOffset notBefore) : ILogCursor
    {
        public long NextSequence { get; private set; } = next;

        public long Skipped => 0;

        public ValueTask<int> ReadAsync(LogPage page, CancellationToken cancel)
        {
            page.Clear();
            lock (log._gate)
            {
                for (var bytes = 0; NextSequence < records.Committed; NextSequence++)
                {
                    var record = records.All[(int)NextSequence];
                    if (record.EnqueuedTime < notBefore)
                        continue;
                    bytes += record.Message.Length;
                    if (page.Records.Count > 0 && bytes > page.CapacityBytes)
                        break;
                    page.Add(record);
                }
            }

            return new(page.Records.Count);
        }

        public async ValueTask WaitAsync(CancellationToken cancel)
        {
            while (true)
            {
                Task changed;
                lock (log._gate)
                {
                    if (NextSequence < records.Committed)
                        return;
                    ObjectDisposedException.ThrowIf(log._closed, log);
                    changed = log._changed.Task;
                }

                await changed.WaitAsync(cancel);
            }
        }

        public bool HasMore => NextSequence < records.Committed;

        public bool TellWhenMore(ICommitListener listener)
        {
            lock (log._gate)
            {
                log._awaiting.RemoveAll(one => one.Cursor == this);
                if (!HasMore)
                    log._awaiting.Add((this, listener));
                return HasMore;
            }
        }

        public void Dispose()
        {
            lock (log._gate)
                log._awaiting.RemoveAll(one => one.Cursor == this);
        }
    }

    private sealed class NothingToHold(string name) : ILogHold
    {
        public string Name { get; } = name;

        public long Skipped(int partition) => 0;

        public void Advance(int partition, long next)
        {
            // Nothing is ever dropped.
        }

        public void Dispose()
        {
            // Nothing is held.
        }
    }
}
