namespace Sallyport.Storage.EventLog;

/// <content>What cursors ask of the log.</content>
public sealed partial class SegmentLog
{
    /// <summary>A bound on what is remembered of bad batches; they are logged each time.</summary>
    private const int MaxQuarantined = 1000;

    // Gate.
    private readonly List<QuarantinedRange> _quarantined;

    /// <summary>Parts of the log that are not served, found at opening and since by readers.</summary>
    public IReadOnlyList<QuarantinedRange> Quarantined
    {
        get
        {
            lock (_gate)
                return [.. _quarantined];
        }
    }

    public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start)
    {
        lock (_gate)
        {
            var head = Head(stream, partition);
            var timeMs = start.Kind == LogStartKind.Time ? start.Time.ToUnixTimeMilliseconds() : long.MinValue;
            var next = start.Kind switch
            {
                LogStartKind.Earliest => head.First,
                LogStartKind.Latest => head.Committed,
                LogStartKind.Sequence => Math.Max(head.First, start.Sequence),
                _ => FirstOfSegmentReaching(head, timeMs),
            };
            return new SegmentCursor(this, head, next, timeMs);
        }
    }

    /// <summary>Gate. No I/O: the cursor finds the record itself when it reads.</summary>
    private long FirstOfSegmentReaching(PartitionHead head, long timeMs)
    {
        foreach (var segment in _segments)
        {
            if (segment.Extent(head.Stream, head.Partition) is { } extent && extent.LastTimeMs >= timeMs)
                return extent.First;
        }

        return head.Committed;
    }

    /// <summary>
    /// Where the record with this sequence number, or the first one after it, is to be looked for. The segment is kept from being
    /// reused until <see cref="Leave"/>. Null at the end of what is committed.
    /// </summary>
    internal ReadPlace? Enter(PartitionHead head, long sequence, long notBeforeMs)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_closing, this);
            if (sequence >= head.Committed)
                return null;

            // From the newest, as most readers are near it.
            LogSegment? found = null;
            SegmentExtent? within = null;
            for (var i = _segments.Length - 1; i >= 0; i--)
            {
                if (_segments[i].Extent(head.Stream, head.Partition) is not { } extent)
                    continue;
                if (extent.Next <= sequence)
                    break;
                (found, within) = (_segments[i], extent);
            }

            // All that is left of it was cut off behind the log's back: it goes on with what comes next.
            if (found is null)
                return new ReadPlace(null, head.Committed, head.Committed, null);

            found.Readers++;
            return new ReadPlace(found, within!.First, within.Next, Find(within.Entries, sequence, notBeforeMs));
        }
    }

    internal void Leave(LogSegment segment)
    {
        lock (_gate)
            segment.Readers--;
    }

    internal static IndexEntry? Find(List<IndexEntry>? entries, long sequence, long notBeforeMs)
    {
        if (entries is null || entries.Count == 0)
            return null;

        var bySequence = IndexEntry.Before(entries, sequence);
        var byTime = IndexEntry.BeforeTime(entries, notBeforeMs);
        return bySequence.Position > byTime.Position ? bySequence : byTime;
    }

    /// <summary>Completes when the partition has committed something at or after this sequence number.</summary>
    internal async ValueTask WaitForAsync(PartitionHead head, long sequence, CancellationToken cancel)
    {
        while (true)
        {
            Task moved;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_closing, this);
                if (sequence < head.Committed)
                    return;
                moved = head.Moved();
            }

            await moved.WaitAsync(cancel).ConfigureAwait(false);
        }
    }

    /// <summary>True when the cursor has more to read already; else the listener is told after the commit that brings it.</summary>
    internal bool TellWhenMore(PartitionHead head, SegmentCursor cursor, ICommitListener listener)
    {
        lock (_gate)
        {
            if (cursor.NextSequence < head.Committed)
                return true;

            head.Await(cursor, listener);
            return false;
        }
    }

    internal void Forget(PartitionHead head, SegmentCursor cursor)
    {
        lock (_gate)
            head.Forget(cursor);
    }

    /// <summary>Records that a reader met a bad batch and finds the next good one; <paramref name="end"/> when there is none.</summary>
    internal long PassOver(LogSegment segment, long position, long end)
    {
        using var macs = new BatchMacCheck(_macKey);
        var scan = new BatchScan(segment.File, segment.Generation, end, macs) { Position = position };
        var next = scan.TryResync(0) ? scan.Position : end;
        var range = new QuarantinedRange(segment.Name, position, next - position, "a batch that a reader came to is not valid");
        lock (_gate)
        {
            if (_quarantined.Count >= MaxQuarantined || _quarantined.Exists(known => known.Segment == range.Segment && known.Position == range.Position))
                return next;
            _quarantined.Add(range);
        }

        LogMeter.Quarantined();
        SegmentLogMessages.Quarantined(_logger, range.Segment, range.Position, range.Bytes, range.What);
        return next;
    }
}

/// <param name="Segment">Null when no segment has anything at or after the sequence number.</param>
/// <param name="First">Of the stream partition in this segment.</param>
/// <param name="Next">Behind the last one of the stream partition in this segment.</param>
/// <param name="Entry">From the index, when it is in memory.</param>
internal readonly record struct ReadPlace(LogSegment? Segment, long First, long Next, IndexEntry? Entry);
