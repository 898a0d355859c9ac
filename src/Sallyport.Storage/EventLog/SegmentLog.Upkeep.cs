namespace Sallyport.Storage.EventLog;

/// <content>The keeper: makes segments ahead, writes footers and the head, drops what retention lets go. All I/O, never under the gate.</content>
public sealed partial class SegmentLog
{
    private static readonly TimeSpan UpkeepInterval = TimeSpan.FromSeconds(5);

    // Outer lock: one upkeep at a time.
    private readonly Lock _upkeep = new();
    private readonly object _keeperGate = new();
    private bool _keeperHasWork;
    private (long FirstBatch, long LastBatch) _headWritten;
    private long _headTurn;
    private bool _mayReclaim;
    private Thread? _keeper;
    private ITimer? _timer;
    private Task? _closed;

    private void Start()
    {
        _writer = new Thread(WriteUntilClosed) { Name = "event log writer", IsBackground = true };
        _keeper = new Thread(KeepUntilClosed) { Name = "event log keeper", IsBackground = true, Priority = ThreadPriority.BelowNormal };
        _timer = _time.CreateTimer(_ => WakeKeeper(), null, UpkeepInterval, UpkeepInterval);
        _writer.Start();
        _keeper.Start();
        WakeKeeper();
    }

    private void KeepUntilClosed()
    {
        while (true)
        {
            lock (_keeperGate)
            {
                while (!_keeperHasWork)
                    Monitor.Wait(_keeperGate);
                _keeperHasWork = false;
            }

            lock (_gate)
            {
                if (_closing)
                    return;
            }

            KeepUp();
        }
    }

    /// <summary>Any lock may be held.</summary>
    private void WakeKeeper()
    {
        lock (_keeperGate)
        {
            _keeperHasWork = true;
            Monitor.Pulse(_keeperGate);
        }
    }

    /// <summary>All upkeep that is due.</summary>
    internal void KeepUp()
    {
        lock (_upkeep)
        {
            Attempt(WriteFooters);
            EnforceRetention();

            // Before the files of dropped segments go: the head says that they may be missing, and keeps the sequence numbers of
            // partitions that have nothing left.
            _mayReclaim = Attempt(WriteHead);
            PrepareNext();
            if (_mayReclaim)
                Attempt(DeleteReclaimable);
        }
    }

    /// <summary>Nothing acknowledged depends on what it does: footers can be rebuilt, the head may lag, files may live longer. The next turn tries again.</summary>
    private bool Attempt(Action upkeep)
    {
        try
        {
            upkeep();
            return true;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            SegmentLogMessages.UpkeepFailed(_logger, failure.Message);
            return false;
        }
    }

    /// <summary>Upkeep.</summary>
    private void WriteFooters()
    {
        LogSegment[] segments;
        lock (_gate)
            segments = Array.FindAll(_segments, segment => segment.Sealed && segment.FooterLength == 0 && segment.LastBatch != 0 && segment.Extents.TrueForAll(extent => extent.Entries is not null));

        foreach (var segment in segments)
        {
            // Sealed, and its last batch is published: nobody changes it any more.
            var footer = SegmentFooter.Encode(segment);
            segment.File.Write(footer, segment.File.Length - footer.Length);
            segment.File.Sync();
            segment.File.Forget(0, segment.File.Length);
            lock (_gate)
            {
                segment.FooterLength = footer.Length;
                foreach (var extent in segment.Extents)
                    extent.Entries = null;
            }
        }
    }

    /// <summary>Upkeep.</summary>
    private void PrepareNext()
    {
        ulong newest;
        lock (_gate)
        {
            if (_next is not null || _failed is not null)
                return;
            newest = _open.Generation;
        }

        LogSegment next;
        try
        {
            next = MakeSegment(SegmentHeader.GenerationAfter(newest));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            DiskIsFull(failure.Message);
            return;
        }

        bool wasFull;
        lock (_gate)
        {
            _next = next;
            wasFull = _diskFull;
            _diskFull = false;
            AdmitWaiters();
        }

        if (wasFull)
            SegmentLogMessages.DiskHasRoom(_logger);
    }

    private LogSegment MakeSegment(ulong generation)
    {
        while (_mayReclaim && TakeReclaimable() is { } dropped)
        {
            if (dropped.Bytes == _options.SegmentBytes)
                return _directory.Recycle(dropped, generation, PartitionCount, _options.SegmentBytes);
            _directory.DeleteSegment(dropped);
        }

        var free = _directory.Files.FreeBytes;
        if (free < _options.SegmentBytes + _options.ReserveBytes)
            throw new IOException($"{free} bytes are free, a segment needs {_options.SegmentBytes} and {_options.ReserveBytes} are kept in reserve");
        return _directory.MakeSegment(generation, PartitionCount, _options.SegmentBytes);
    }

    private void DiskIsFull(string reason)
    {
        lock (_gate)
        {
            if (_diskFull)
                return;
            _diskFull = true;
            AdmitWaiters();
        }

        SegmentLogMessages.DiskFull(_logger, reason);
    }

    /// <summary>Upkeep. Only what is committed is in it, so a head never claims more than is on disk.</summary>
    private void WriteHead()
    {
        LogHead head;
        lock (_gate)
        {
            var firstBatch = Array.Find(_segments, segment => segment.LastBatch != 0)?.FirstBatch ?? _lastBatch + 1;
            if (_headWritten == (firstBatch, _lastBatch))
                return;

            head = new LogHead(_headTurn + 1, _lastBatch, [.. _lastMac], firstBatch, HeadEntries());
        }

        _directory.WriteHead(head);
        _headWritten = (head.FirstBatch, head.LastBatch);
        _headTurn = head.Turn;
    }

    /// <summary>Gate.</summary>
    private HeadEntry[] HeadEntries() =>
        [.. _heads.OfType<PartitionHead>().Select(head => new HeadEntry(head.Stream, head.Partition, head.Committed, head.CommittedTimeMs))];

    /// <summary>Commits what was appended, writes the head and closes the files. Appends that still come answer <see cref="AppendOutcome.Failed"/>.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closing = true;
            AdmitWaiters();
            WakeWriter();
            return new(_closed ??= Task.Run(Close));
        }
    }

    private void Close()
    {
        _timer?.Dispose();
        _writer?.Join();
        WakeKeeper();
        _keeper?.Join();
        lock (_upkeep)
        {
            while (_writer is null && CommitPending())
            {
            }

            if (_failed is null)
            {
                Attempt(WriteFooters);
                Attempt(WriteHead);
            }
        }

        CloseFiles();
    }

    private void CloseFiles()
    {
        lock (_gate)
        {
            var closed = new ObjectDisposedException(nameof(SegmentLog));
            foreach (var head in _heads)
                head?.Stop(closed);
            foreach (var segment in _segments)
                segment.File.Dispose();
            _next?.File.Dispose();
        }

        foreach (var segment in _dropped)
            segment.File.Dispose();
        _mac.Dispose();
    }
}
