using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Amqp;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The event log on disk: segment files of batches, one batch a commit, one write and one sync a commit, one writer thread.
/// Bytes: <c>docs/formats/segment-log.md</c>.
/// </summary>
/// <remarks>
/// <para>A failed write or sync stops the writer for good: what the kernel still holds of it is unknown, so it is never tried again.
/// <see cref="Failure"/> completes, appends answer <see cref="AppendOutcome.Failed"/>, and the next start recovers what is on disk.</para>
/// <para>Threads: appenders copy into the forming buffer under the gate; the writer takes the buffer, seals, writes and syncs it without
/// the gate and publishes it under the gate; the keeper makes and drops segments. Locks: the keeper's lock, then the gate, never
/// the other way; no I/O under the gate. Thread-safe.</para>
/// </remarks>
public sealed partial class SegmentLog : IEventLog
{
    /// <summary>Stream numbers are below this: a bound on the memory and the footer that streams cost.</summary>
    public const int MaxStreams = 64;

    private readonly object _gate = new();
    private readonly SegmentLogOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly byte[] _macKey;
    private readonly LogDirectory _directory;
    private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly LogRecovery _recovery;

    // Gate.
    private readonly PartitionHead?[] _heads;
    private readonly long[] _lastTimeMs;
    private readonly RecentIds _recentIds;
    private readonly LinkedList<RoomWaiter> _awaitingRoom = [];
    private CommitBuffer _forming;
    private LogSegment[] _segments;
    private LogSegment _open;
    private LogSegment? _next;
    private bool _diskFull;
    private bool _closing;
    private Exception? _failed;

    private SegmentLog(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger, LogDirectory directory, int partitions, RecoveredLog recovered)
    {
        _options = options;
        _macKey = macKey;
        _time = time;
        _logger = logger;
        _directory = directory;
        _recovery = recovered.Report;
        PartitionCount = partitions;
        _heads = new PartitionHead?[MaxStreams * partitions];
        _lastTimeMs = new long[partitions];
        _recentIds = recovered.RecentIds;
        _forming = new CommitBuffer(options.CommitBytes) { Number = recovered.LastBatch + 1 };
        _idle = new CommitBuffer(options.CommitBytes);
        _committed = _lastBatch = recovered.LastBatch;
        _headTurn = recovered.HeadTurn;
        _lastMac = [.. recovered.LastMac];
        _mac = BatchMac.WithNewSalt(macKey);
        _segments = [.. recovered.Segments];
        _open = recovered.Segments[^1];
        _next = recovered.Empty.FirstOrDefault();
        _position = _open.End;
        _maxHeldBytes = options.MaxHeldBytes ?? directory.Files.FreeBytes / 2;
        _quarantined = [.. _recovery.Quarantined];
        TakeHeads(recovered.Heads.Values);
    }

    public int PartitionCount { get; }

    public Task<Exception> Failure => _failure.Task;

    /// <summary>What opening found besides whole batches.</summary>
    public LogRecovery Recovery => _recovery;

    /// <summary>For tests that damage what is on disk.</summary>
    internal long EndOfOpenSegment => _open.End;

    /// <summary>Opens or creates the log. What a crash left behind is mended here; see <see cref="Recovery"/>.</summary>
    /// <param name="macKey">32 random bytes that are kept outside the directory. The log keeps a copy.</param>
    /// <exception cref="ArgumentException">The options or the key are not valid; the message has every reason.</exception>
    /// <exception cref="LogFormatException">The directory is of a newer version, damaged, or was written with another key.</exception>
    /// <exception cref="IOException">The disk is full or broken.</exception>
    public static Task<SegmentLog> OpenAsync(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger)
    {
        CheckArguments(options, macKey);
        return OpenAsync(options, macKey, time, logger, () => new DiskFiles(options.Directory));
    }

    /// <summary>The same on a disk that a test fills.</summary>
    internal static async Task<SegmentLog> OpenAsync(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger, Func<ILogFiles> files)
    {
        var log = await Task.Run(() => Open(options, macKey, time, logger, files())).ConfigureAwait(false);
        log.Start();
        return log;
    }

    /// <summary>Opens without threads: the caller drives <see cref="CommitPending"/> and <see cref="KeepUp"/>, which makes runs repeatable.</summary>
    internal static SegmentLog Open(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger, ILogFiles files)
    {
        CheckArguments(options, macKey);
        macKey = [.. macKey];
        var directory = new LogDirectory(files, macKey);
        directory.DeleteLeftovers();
        if (directory.ReadFormat() is not { } partitions)
        {
            if (directory.Generations().Any())
                throw new LogFormatException("the event log's directory has segments but no 'format' file: restore it from a backup of this directory");
            directory.MakeHead();
            directory.WriteFormat(partitions = options.PartitionCount);
        }

        if (!options.HoldsACommit(partitions))
            throw new ArgumentException($"an event log segment of {options.SegmentBytes} bytes cannot hold a commit and the index of the log's {partitions} partitions", nameof(options));

        var recovered = RecoveredLog.Read(directory, macKey, logger);
        directory.MakeHead();
        recovered.KeepOneEmpty(options.SegmentBytes);
        if (recovered.Segments.Count == 0 || recovered.Segments[^1].Sealed)
            recovered.OpenNext(partitions, options.SegmentBytes);
        recovered.SyncTail();
        directory.Files.SyncDirectory();
        SegmentLogMessages.Opened(logger, recovered.Segments.Count, recovered.LastBatch, partitions);
        return new SegmentLog(options, macKey, time, logger, directory, partitions, recovered);
    }

    public ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        CheckBatch(batch);
        if (cancel.IsCancellationRequested)
            return ValueTask.FromCanceled<AppendResult>(cancel);

        lock (_gate)
        {
            if (_awaitingRoom.Count == 0 && TryAppend(batch, listener) is { } result)
                return new(result);

            return new(WaitForRoom(batch, listener, cancel));
        }
    }

    public long CommittedPosition(int partition) => Volatile.Read(ref _committed);

    public StreamPartition Describe(StreamId stream, int partition)
    {
        lock (_gate)
        {
            var head = Head(stream, partition);
            return new(head.First, head.Committed, DateTimeOffset.FromUnixTimeMilliseconds(head.CommittedTimeMs));
        }
    }

    /// <summary>Null when there is no room yet. Gate.</summary>
    private AppendResult? TryAppend(RecordBatch batch, ICommitListener? listener)
    {
        if (_failed is not null || _closing)
            return new(AppendOutcome.Failed, 0);
        if (_heldBack)
            return new(AppendOutcome.HeldBack, 0);

        var records = (ReadOnlySpan<byte>)batch.Written;
        if (!_forming.HasRoom(records.Length))
            return null;
        if (!FitsOpen(_forming.Length + records.Length) && _next is null)
            return _diskFull ? new(AppendOutcome.DiskFull, 0) : null;

        var timeMs = Math.Max(_time.GetUtcNow().ToUnixTimeMilliseconds(), _lastTimeMs[batch.Partition]);
        _lastTimeMs[batch.Partition] = timeMs;
        while (records.Length > 0)
        {
            var record = records[..RecordHeader.TotalLength(records)];
            records = records[record.Length..];
            var id = RecordHeader.IdempotencyId(record);
            if (id == Guid.Empty || _recentIds.Add(id))
                Stamp(_forming.Add(record), Head(RecordHeader.Stream(record), batch.Partition), timeMs);
        }

        _forming.Listen(listener);
        WakeWriter();

        // When all of it were doubles, it is on disk once everything accepted before it is.
        return new(AppendOutcome.Accepted, _forming.Records > 0 ? _forming.Number : _forming.Number - 1);
    }

    /// <summary>Gives a record that was copied into the forming batch its sequence number and time. Gate.</summary>
    private void Stamp(Span<byte> record, PartitionHead head, long timeMs)
    {
        var sequence = head.Next++;
        RecordHeader.Assign(record, sequence, timeMs);
        HubAnnotations.Patch(record[RecordHeader.Length..], sequence, timeMs);
        if (head.FormingNumber != _forming.Number)
        {
            head.FormingNumber = _forming.Number;
            head.FormingExtent = _forming.Extents.Count;
            _forming.Extents.Add(new BatchExtent(head, sequence, sequence + 1, timeMs, timeMs));
            return;
        }

        ref var extent = ref CollectionsMarshal.AsSpan(_forming.Extents)[head.FormingExtent];
        extent.Next = sequence + 1;
        extent.LastTimeMs = timeMs;
    }

    /// <summary>
    /// Whether a batch of this size can follow what was given a place in the open segment, its footer included. This batch, and the one
    /// being written, may each add an index entry per stream partition. Once true for a forming batch it stays true, whatever is
    /// published or opened in between, as the writer relies on it. Gate.
    /// </summary>
    private bool FitsOpen(int batchBytes) =>
        _position + BatchFormat.Align(batchBytes) + SegmentFooter.Bytes(_heads.Length, _open.IndexEntries + (_writing ? 2 : 1) * _heads.Length) <= _open.Bytes;

    private PartitionHead Head(StreamId stream, int partition)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(stream.Number, MaxStreams);
        ArgumentOutOfRangeException.ThrowIfNegative(partition);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(partition, PartitionCount);
        return _heads[stream.Number * PartitionCount + partition] ??= new PartitionHead(stream, partition);
    }

    private void TakeHeads(IEnumerable<HeadEntry> entries)
    {
        foreach (var entry in entries)
        {
            var head = Head(entry.Stream, entry.Partition);
            head.Next = head.Committed = entry.Next;
            head.CommittedTimeMs = entry.LastTimeMs;
            head.First = OldestKept(head);
            _lastTimeMs[entry.Partition] = Math.Max(_lastTimeMs[entry.Partition], entry.LastTimeMs);
        }
    }

    /// <summary>Gate.</summary>
    private long OldestKept(PartitionHead head)
    {
        foreach (var segment in _segments)
        {
            if (segment.Extent(head.Stream, head.Partition) is { } extent)
                return extent.First;
        }

        return head.Committed;
    }

    private void CheckBatch(RecordBatch batch)
    {
        var records = (ReadOnlySpan<byte>)batch.Written;
        if (records.IsEmpty)
            throw new ArgumentException("the batch holds no ended record", nameof(batch));
        if (records.Length > _options.MaxAppendBytes)
            throw new ArgumentException($"the batch weighs {records.Length} bytes; the log takes at most {_options.MaxAppendBytes} at once", nameof(batch));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(batch.Partition, PartitionCount, nameof(batch));

        while (records.Length > 0)
        {
            var length = RecordHeader.TotalLength(records);
            if (length < RecordHeader.Length + HubAnnotations.Length)
                throw new ArgumentException("a record's message must start with the hub's annotations", nameof(batch));
            if (RecordHeader.Stream(records).Number >= MaxStreams)
                throw new ArgumentException($"stream numbers are below {MaxStreams}", nameof(batch));
            records = records[length..];
        }
    }

    private static void CheckArguments(SegmentLogOptions options, byte[] macKey)
    {
        var errors = options.Validate();
        if (errors.Count > 0)
            throw new ArgumentException(string.Join("; ", errors), nameof(options));
        if (macKey.Length != 32)
            throw new ArgumentException("the event log's key must have 32 bytes", nameof(macKey));
    }
}
