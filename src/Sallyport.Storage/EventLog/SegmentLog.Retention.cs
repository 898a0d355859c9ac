namespace Sallyport.Storage.EventLog;

/// <content>Retention by time and bytes, and the holds of readers against it.</content>
public sealed partial class SegmentLog
{
    private readonly long _maxHeldBytes;

    // Gate.
    private readonly List<LogHold> _holds = [];

    // Gate. Their files go in the order of the log, so that a crash never leaves a hole.
    private readonly Queue<LogSegment> _dropped = [];
    private bool _heldBack;
    private bool _retains;

    public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(next.Count, PartitionCount);
        var hold = new LogHold(name, stream, [.. next], policy, _gate, HoldChanged);
        lock (_gate)
        {
            _holds.RemoveAll(old => old.Name == name);
            _holds.Add(hold);
            if (_heldBack)
                WakeKeeper();
        }

        return hold;
    }

    public void BeginRetention()
    {
        lock (_gate)
            _retains = true;
        WakeKeeper();
    }

    /// <summary>Drops what retention lets go, and decides whether holds make the log refuse. Upkeep calls it; tests do to the minute.</summary>
    internal void EnforceRetention()
    {
        lock (_upkeep)
        {
            SealWhatIsOld();
            while (TakeDroppable() is { } segment)
                Drop(segment);
        }
    }

    /// <summary>A log where nothing is written any more would else keep its newest segment for ever.</summary>
    private void SealWhatIsOld()
    {
        lock (_gate)
        {
            if (!_writing && !_forming.HasWork && _next is not null && _open.LastBatch != 0 && IsOld(_open))
                RollToNext();
        }
    }

    /// <summary>The oldest segment when it may go now.</summary>
    private LogSegment? TakeDroppable()
    {
        List<(LogHold Hold, int Partition, long Records)> skipped = [];
        LogSegment? droppable = null;
        LogHold? refusing = null;
        long heldBytes = 0;
        lock (_gate)
        {
            var dueBytes = DueBytes();
            var oldest = _segments[0];
            var holding = dueBytes == 0 ? [] : _holds.FindAll(hold => hold.Needs(oldest));
            if (dueBytes > 0 && holding.Count == 0)
            {
                droppable = oldest;
            }
            else if (dueBytes > 0)
            {
                heldBytes = dueBytes;
                refusing = heldBytes < _maxHeldBytes ? null : holding.Find(hold => hold.Policy == HoldPolicy.RefuseIngest);
                if (heldBytes >= _maxHeldBytes && refusing is null)
                {
                    foreach (var hold in holding)
                        hold.Skip(oldest, skipped);
                    droppable = oldest;
                }
            }
        }

        foreach (var (hold, partition, records) in skipped)
        {
            LogMeter.Skipped(records);
            SegmentLogMessages.Skipped(_logger, hold.Name, partition, records);
        }

        Refuse(refusing, heldBytes);
        return droppable;
    }

    /// <summary>Bytes of the segments, from the oldest on, that retention would drop. Gate.</summary>
    private long DueBytes()
    {
        if (!_retains)
            return 0;

        long due = 0;
        var kept = _segments.Sum(segment => (long)segment.Bytes);
        foreach (var segment in _segments)
        {
            if (segment == _open || !IsOld(segment) && kept <= _options.RetentionBytes)
                break;
            due += segment.Bytes;
            kept -= segment.Bytes;
        }

        return due;
    }

    private void Refuse(LogHold? refusing, long heldBytes)
    {
        lock (_gate)
        {
            if (_heldBack == refusing is not null)
                return;

            _heldBack = refusing is not null;
            AdmitWaiters();
        }

        if (refusing is not null)
            SegmentLogMessages.HeldBack(_logger, refusing.Name, heldBytes, _maxHeldBytes);
        else
            SegmentLogMessages.NoLongerHeldBack(_logger, heldBytes);
    }

    private void Drop(LogSegment segment)
    {
        lock (_gate)
        {
            _segments = _segments[1..];
            foreach (var extent in segment.Extents)
            {
                var head = Head(extent.Stream, extent.Partition);
                head.First = OldestKept(head);
            }

            _dropped.Enqueue(segment);
        }

        LogMeter.DroppedSegment();
        SegmentLogMessages.Dropped(_logger, segment.Name);
    }

    /// <summary>Upkeep. What was not made into the next segment.</summary>
    private void DeleteReclaimable()
    {
        while (TakeReclaimable() is { } segment)
            _directory.DeleteSegment(segment);
    }

    /// <summary>The oldest dropped segment, once no reader is in it.</summary>
    private LogSegment? TakeReclaimable()
    {
        lock (_gate)
            return _dropped.TryPeek(out var segment) && segment.Readers == 0 ? _dropped.Dequeue() : null;
    }

    private bool IsOld(LogSegment segment) => segment.LastTimeMs < (_time.GetUtcNow() - _options.Retention).ToUnixTimeMilliseconds();

    /// <summary>Gate.</summary>
    private void HoldChanged(LogHold hold, bool ended)
    {
        if (ended)
            _holds.Remove(hold);
        if (_heldBack)
            WakeKeeper();
    }
}
