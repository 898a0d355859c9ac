using Microsoft.Extensions.Logging;

namespace Sallyport.Storage.EventLog;

/// <summary>A part of the log that is not served because it is not what was written.</summary>
/// <param name="Segment">The file it is in, or would be in.</param>
/// <param name="Position">Where it begins in the file.</param>
/// <param name="Bytes">Up to the next valid batch, or to the end of the batches.</param>
/// <param name="What">One sentence.</param>
public sealed record QuarantinedRange(string Segment, long Position, long Bytes, string What);

/// <summary>What opening the log found besides whole batches.</summary>
/// <param name="TornBytes">Cut off from the end: the batch that was on its way when the power went, never acknowledged.</param>
/// <param name="MissingBatches">Batches that the checkpointed head knows and that are not there: the log was truncated.</param>
public sealed record LogRecovery(long TornBytes, long MissingBatches, IReadOnlyList<QuarantinedRange> Quarantined);

/// <summary>
/// Reads a directory back into segments. Sealed segments cost one read of their footer; those without a valid footer (the newest,
/// rarely one more) are read whole, and the newest sealed one for its idempotency ids. The rule for a batch that is not valid: when a valid one of a higher number follows, it was
/// synced once, so it is corruption, to be quarantined; otherwise it is the torn tail.
/// </summary>
internal sealed class RecoveredLog
{
    private readonly LogDirectory _directory;
    private readonly ILogger _logger;
    private readonly List<QuarantinedRange> _quarantined = [];
    private long _tornBytes;
    private long _missingBatches;
    private (LogSegment Segment, long Position, int Bytes)? _tail;
    private LogSegment? _idsUnread;

    private RecoveredLog(LogDirectory directory, ILogger logger)
    {
        _directory = directory;
        _logger = logger;
    }

    /// <summary>Segments with batches, the oldest first; the last one is open unless sealed.</summary>
    public List<LogSegment> Segments { get; } = [];

    /// <summary>Segments made ahead.</summary>
    public List<LogSegment> Empty { get; } = [];

    public Dictionary<(ushort Stream, int Partition), HeadEntry> Heads { get; } = [];

    public RecentIds RecentIds { get; } = new();

    public long HeadTurn { get; private set; }

    public long LastBatch { get; private set; }

    public byte[] LastMac { get; private set; } = new byte[BatchFormat.MacLength];

    public LogRecovery Report => new(_tornBytes, _missingBatches, _quarantined);

    /// <exception cref="LogFormatException">A file is of a newer version.</exception>
    public static RecoveredLog Read(LogDirectory directory, byte[] macKey, ILogger logger)
    {
        var log = new RecoveredLog(directory, logger);
        var head = directory.ReadHead(out var headMissing);
        if (headMissing)
            log.Quarantine(new QuarantinedRange("head", 0, 0, "the checkpointed head is damaged or missing; truncation cannot be told this time"));
        log.HeadTurn = head?.Turn ?? 0;

        using var macs = new BatchMacCheck(macKey);
        foreach (var generation in directory.Generations())
            log.ReadSegment(directory.OpenSegment(generation), macs);

        log.TakeIdsOfNewestSealed(macs);
        log.FindTornTail(macs);
        log.TakeHeads(head);
        return log;
    }

    /// <summary>Of the segments made ahead, one is enough, and it must have the size that is asked for now.</summary>
    public void KeepOneEmpty(int segmentBytes)
    {
        var keep = Empty.Find(segment => segment.Bytes == segmentBytes);
        foreach (var segment in Empty.Where(segment => segment != keep))
            _directory.DeleteSegment(segment);
        Empty.RemoveAll(segment => segment != keep);
    }

    /// <summary>Begins the first segment, or the one after a sealed one.</summary>
    public void OpenNext(int partitions, int segmentBytes)
    {
        var newest = Segments.Count == 0 ? 0 : Segments[^1].Generation;
        var next = Empty.Count > 0 ? Empty[0] : _directory.MakeSegment(SegmentHeader.GenerationAfter(newest), partitions, segmentBytes);
        Segments.Add(next);
        Empty.Remove(next);
    }

    /// <summary>
    /// The last batch may have been written and never synced, by a process that was killed or whose sync failed: the next
    /// one must not stand on it unless it is on disk, so it is written once more.
    /// </summary>
    public void SyncTail()
    {
        if (_tail is not { } tail)
            return;

        var batch = new byte[tail.Bytes];
        tail.Segment.File.Read(batch, tail.Position);
        tail.Segment.File.Write(batch, tail.Position);
        tail.Segment.File.Sync();
    }

    private void ReadSegment(LogSegment segment, BatchMacCheck macs)
    {
        if (!SegmentHeader.IsWhole(segment.File, segment.Generation))
            Quarantine(new QuarantinedRange(segment.Name, 0, SegmentHeader.Length, "the segment's header is damaged"));

        var isSealed = SegmentFooter.TryLoad(segment);
        if (!isSealed)
        {
            TakeIdsOfNewestSealed(macs);
            ScanBatches(segment, macs);
        }
        else if (LastBatch != 0 && segment.FirstBatch != LastBatch + 1)
            Quarantine(new QuarantinedRange(segment.Name, SegmentHeader.Length, 0, $"its first batch is {segment.FirstBatch}, expected {LastBatch + 1}"));

        if (segment.LastBatch == 0)
        {
            Empty.Add(segment);
            return;
        }

        _idsUnread = isSealed ? segment : null;
        TakeUnreadable(segment.FirstBatch);
        if (Segments.Count > 0)
            Segments[^1].Sealed = true;
        Segments.Add(segment);
        LastBatch = segment.LastBatch;
        LastMac = segment.LastMac;
    }

    /// <summary>Segments without a batch, and then one with: either they were made and never used, or nothing of them can be read any more.</summary>
    private void TakeUnreadable(long nextBatch)
    {
        foreach (var segment in Empty)
        {
            if (LastBatch != 0 && nextBatch != LastBatch + 1)
                Quarantine(new QuarantinedRange(segment.Name, SegmentHeader.Length, segment.Bytes - SegmentHeader.Length, "no batch of the segment is valid"));
            segment.Sealed = true;
            segment.LastTimeMs = Segments.Count == 0 ? 0 : Segments[^1].LastTimeMs;
            Segments.Add(segment);
        }

        Empty.Clear();
    }

    private void ScanBatches(LogSegment segment, BatchMacCheck macs)
    {
        var scan = new BatchScan(segment.File, segment.Generation, segment.File.Length, macs);
        var (last, lastMac, known) = (LastBatch, LastMac, true);
        while (true)
        {
            var position = scan.Position;
            if (!scan.TryRead(last + 1, out var batch))
            {
                if (!scan.TryResync(last + 1))
                    return;

                Quarantine(new QuarantinedRange(segment.Name, position, scan.Position - position, $"batch {last + 1} is not valid and later ones are"));
                known = false;
                continue;
            }

            if (known)
                CheckChain(segment, position, last, lastMac, BatchFormat.Number(batch), BatchFormat.MacBefore(batch));
            if (segment.LastBatch == 0)
                segment.FirstBatch = BatchFormat.Number(batch);
            TakeBatch(segment, position, batch);
            (last, lastMac, known) = (segment.LastBatch, segment.LastMac, true);
            scan.Advance(batch);
        }
    }

    /// <summary>Whether a batch follows the one before it. The oldest batch of the log follows what retention dropped.</summary>
    private void CheckChain(LogSegment segment, long position, long last, ReadOnlySpan<byte> lastMac, long number, ReadOnlySpan<byte> macBefore)
    {
        if (last == 0)
            return;
        if (number != last + 1)
            Quarantine(new QuarantinedRange(segment.Name, position, 0, $"batches {last + 1} to {number - 1} are missing before it"));
        else if (!macBefore.SequenceEqual(lastMac))
            Quarantine(new QuarantinedRange(segment.Name, position, 0, $"batch {number} does not continue batch {last}"));
    }

    private void TakeBatch(LogSegment segment, long position, ReadOnlySpan<byte> batch)
    {
        segment.LastBatch = BatchFormat.Number(batch);
        segment.LastMac = BatchFormat.Mac(batch).ToArray();
        segment.End = position + BatchFormat.Align(batch.Length);
        segment.AddBatch(position, batch);
        _tail = (segment, position, batch.Length);
        TakeIds(batch);
    }

    /// <summary>
    /// A footer has no ids. What an outbox relay appended and had not yet deleted when it was killed may be in the segment that was
    /// sealed meanwhile; further back it is only if deleting failed for as long as a segment took to fill.
    /// </summary>
    private void TakeIdsOfNewestSealed(BatchMacCheck macs)
    {
        if (_idsUnread is not { } segment)
            return;

        _idsUnread = null;
        var scan = new BatchScan(segment.File, segment.Generation, segment.End, macs);
        while (scan.TryRead(0, out var batch) || scan.TryResync(0) && scan.TryRead(0, out batch))
        {
            TakeIds(batch);
            scan.Advance(batch);
        }
    }

    private void TakeIds(ReadOnlySpan<byte> batch)
    {
        for (var at = BatchFormat.HeaderLength; at < batch.Length; at += RecordHeader.TotalLength(batch[at..]))
        {
            var id = RecordHeader.IdempotencyId(batch[at..]);
            if (id != Guid.Empty)
                RecentIds.Add(id);
        }
    }

    private void FindTornTail(BatchMacCheck macs)
    {
        var open = Segments.Count > 0 && !Segments[^1].Sealed ? Segments[^1] : Empty.FirstOrDefault();
        if (open is null)
            return;

        var scan = new BatchScan(open.File, open.Generation, open.File.Length, macs) { Position = open.End };
        _tornBytes = scan.BegunBytes();
        if (_tornBytes > 0)
            SegmentLogMessages.TornTail(_logger, open.Name, open.End, _tornBytes);
    }

    private void TakeHeads(LogHead? head)
    {
        foreach (var entry in head?.Partitions ?? [])
            Heads[(entry.Stream.Number, entry.Partition)] = entry;

        foreach (var extent in Segments.SelectMany(segment => segment.Extents))
        {
            var known = Heads.GetValueOrDefault((extent.Stream.Number, extent.Partition), new HeadEntry(extent.Stream, extent.Partition, 0, 0));
            Heads[(extent.Stream.Number, extent.Partition)] = known with
            {
                Next = Math.Max(known.Next, extent.Next),
                LastTimeMs = Math.Max(known.LastTimeMs, extent.LastTimeMs),
            };
        }

        var oldest = Segments.Find(segment => segment.LastBatch != 0);
        if (head is not null && oldest is not null && oldest.FirstBatch > head.FirstBatch)
            Quarantine(new QuarantinedRange(oldest.Name, SegmentHeader.Length, 0, $"batches {head.FirstBatch} to {oldest.FirstBatch - 1} are missing before it"));
        if (head is null || head.LastBatch <= LastBatch)
            return;

        // The numbers that readers may have seen are never given again, batch numbers neither.
        _missingBatches = head.MissingAfter(LastBatch);
        if (_missingBatches > 0)
            SegmentLogMessages.Truncated(_logger, head.LastBatch - _missingBatches + 1, head.LastBatch);
        LastBatch = head.LastBatch;
        LastMac = head.LastMac;
    }

    private void Quarantine(QuarantinedRange range)
    {
        _quarantined.Add(range);
        LogMeter.Quarantined();
        SegmentLogMessages.Quarantined(_logger, range.Segment, range.Position, range.Bytes, range.What);
    }
}
