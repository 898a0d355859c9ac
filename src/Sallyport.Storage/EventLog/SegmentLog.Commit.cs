namespace Sallyport.Storage.EventLog;

/// <content>The writer: takes the forming batch, writes and syncs it, publishes it. Batches form by themselves meanwhile; nothing lingers.</content>
public sealed partial class SegmentLog
{
    // What the page cache is given back at once. The newest two to three steps of a segment stay.
    private const long ForgetStepBytes = 4 * 1024 * 1024;

    private readonly BatchMac _mac;

    // The writer's; others look at it, and it changes, under the gate.
    private readonly byte[] _lastMac;
    private long _lastBatch;

    // The writer's; the other buffer is _forming.
    private CommitBuffer _idle;

    // Read by everybody.
    private long _committed;

    // Gate: where the next batch goes in the open segment, and whether the writer sleeps.
    private long _position;
    private bool _writerSleeps;
    private bool _writing;

    private Thread? _writer;

    private void WriteUntilClosed()
    {
        while (true)
        {
            lock (_gate)
            {
                while (!_forming.HasWork && !_closing)
                {
                    _writerSleeps = true;
                    Monitor.Wait(_gate);
                    _writerSleeps = false;
                }

                if (!_forming.HasWork)
                    return;
            }

            if (!CommitPending())
                return;
        }
    }

    /// <summary>One commit of what has formed. False when there was nothing, or the log has failed.</summary>
    internal bool CommitPending()
    {
        CommitBuffer batch;
        LogSegment segment;
        long position;
        lock (_gate)
        {
            if (_failed is not null || !_forming.HasWork)
                return false;

            (batch, position) = TakeForming();
            segment = _open;
        }

        if (batch.Records > 0)
        {
            BatchFormat.Seal(batch.Batch, batch.Records, batch.Number, segment.Generation, _lastMac, _mac);
            try
            {
                var began = _time.GetTimestamp();
                segment.File.Write(batch.PaddedAt(position), position);
                segment.File.Sync();
                LogMeter.Committed(batch.Records, batch.Length, _time.GetElapsedTime(began));
            }
            catch (Exception failure)
            {
                // Whatever it is: nobody may be told that this batch is on disk, and nothing may follow it.
                Fail(failure);
                return false;
            }

            Publish(batch, segment, position);
            ForgetBefore(segment, position, batch.Length);
        }

        batch.TellListeners();
        batch.Clear();
        _idle = batch;
        return true;
    }

    /// <summary>Swaps the buffers and gives the batch its place, in the next segment when the open one has no room. Gate.</summary>
    private (CommitBuffer Batch, long Position) TakeForming()
    {
        var batch = _forming;
        _forming = _idle;
        if (batch.Records == 0)
        {
            // Only listeners of doubles: nothing is written, and the number stays free.
            _forming.Number = batch.Number;
            return (batch, _position);
        }

        _forming.Number = batch.Number + 1;
        if (!FitsOpen(batch.Length))
            RollToNext();

        var position = _position;
        _position += BatchFormat.Align(batch.Length);
        _writing = true;
        AdmitWaiters();
        return (batch, position);
    }

    /// <summary>Gate. An append was only accepted while there was a next segment for it.</summary>
    private void RollToNext()
    {
        _open.Sealed = true;
        _open = _next!;
        _next = null;
        _segments = [.. _segments, _open];
        _position = _open.End;
        WakeKeeper();
    }

    private void Publish(CommitBuffer batch, LogSegment segment, long position)
    {
        lock (_gate)
        {
            _writing = false;
            if (segment.FirstBatch == 0)
                segment.FirstBatch = batch.Number;
            segment.LastBatch = _lastBatch = batch.Number;
            BatchFormat.Mac(batch.Batch).CopyTo(_lastMac);
            _lastMac.CopyTo(segment.LastMac);
            segment.End = position + BatchFormat.Align(batch.Length);
            foreach (var extent in batch.Extents)
            {
                segment.Add(extent.Head.Stream, extent.Head.Partition, extent.First, extent.Next, extent.FirstTimeMs, extent.LastTimeMs, position, batch.Length);
                extent.Head.Committed = extent.Next;
                extent.Head.CommittedTimeMs = extent.LastTimeMs;
                extent.Head.Move(batch);
            }
        }

        Volatile.Write(ref _committed, batch.Number);
    }

    // Readers live at the tail or read along from far behind; the pages in between serve nobody. Given back, they are the ones that the
    // next commits are written to: pages that are still warm, instead of ever new ones until memory is full of log.
    private static void ForgetBefore(LogSegment segment, long position, int length)
    {
        var step = position / ForgetStepBytes;
        if ((position + length) / ForgetStepBytes > step && step > 0)
            segment.File.Forget((step - 1) * ForgetStepBytes, ForgetStepBytes);
    }

    private void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failed ??= failure;
            AdmitWaiters();
        }

        LogMeter.Failed();
        SegmentLogMessages.Failed(_logger, failure);
        _failure.TrySetResult(failure);
    }

    /// <summary>Gate.</summary>
    private void WakeWriter()
    {
        if (_writerSleeps)
            Monitor.Pulse(_gate);
    }
}
