using System.Buffers;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// Reads one stream partition out of the segments. It is in a segment only while it reads, so it holds nothing back; it remembers
/// where it was, and takes the index when that is nearer. A seek costs two reads: footer and block; none but the block while the
/// index is in memory. One reader at a time.
/// </summary>
/// <param name="notBeforeMs">Records enqueued before this are passed over silently.</param>
internal sealed class SegmentCursor(SegmentLog log, PartitionHead head, long next, long notBeforeMs) : ILogCursor
{
    /// <summary>The spacing of the index: a block from an entry on holds the batch that was looked for.</summary>
    private const int BlockBytes = IndexEntry.SpacingBytes;

    private LogSegment? _segment;
    private List<IndexEntry>? _entries;
    private long _position;
    private int _recordAt;

    // A block of the segment; rented only while there is more to take from it.
    private byte[] _block = [];
    private long _blockAt;
    private int _blockLength;
    private long _checkedBatch = -1;

    private bool _seekingTime = notBeforeMs != long.MinValue;
    private bool _disposed;

    public long NextSequence { get; private set; } = next;

    public long Skipped { get; private set; }

    public ValueTask<int> ReadAsync(LogPage page, CancellationToken cancel) =>
        cancel.IsCancellationRequested ? ValueTask.FromCanceled<int>(cancel) : new(Read(page));

    private int Read(LogPage page)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        page.Clear();
        Skipped = 0;
        while (page.Records.Count == 0)
        {
            if (log.Enter(head, NextSequence, notBeforeMs) is not { } place)
            {
                ReturnBlock();
                return 0;
            }

            PassTo(place.First);
            if (place.Segment is not { } segment)
                continue;

            try
            {
                GoTo(segment, place.Entry);
                ReadSegment(segment, place.Next, page);
            }
            finally
            {
                log.Leave(segment);
            }
        }

        return page.Records.Count;
    }

    public ValueTask WaitAsync(CancellationToken cancel) => log.WaitForAsync(head, NextSequence, cancel);

    /// <summary>The log's gate: who is told when there is more; null when nobody waits.</summary>
    internal ICommitListener? Awaiting { get; set; }

    public bool TellWhenMore(ICommitListener listener) => log.TellWhenMore(head, this, listener);

    public void Dispose()
    {
        _disposed = true;
        log.Forget(head, this);
        ReturnBlock();
    }

    /// <summary>Everything below is gone or was passed over.</summary>
    private void PassTo(long sequence)
    {
        if (sequence <= NextSequence)
            return;
        if (!_seekingTime)
            Skipped += sequence - NextSequence;
        NextSequence = sequence;
    }

    private void GoTo(LogSegment segment, IndexEntry? entry)
    {
        if (_segment != segment)
        {
            _segment = segment;
            _entries = null;
            _position = SegmentHeader.Length;
            _recordAt = 0;
            _blockLength = 0;
            _checkedBatch = -1;
        }

        if (entry is null)
        {
            _entries ??= SegmentFooter.LoadEntries(segment, head.Stream, head.Partition) ?? [];
            entry = SegmentLog.Find(_entries, NextSequence, notBeforeMs);
        }

        if (entry is { } found && found.Position > _position)
        {
            _position = found.Position;
            _recordAt = 0;
        }
    }

    /// <summary>Reads on until the page has something and either it or the block is at its end, or the segment has no more.</summary>
    private void ReadSegment(LogSegment segment, long next, LogPage page)
    {
        var end = segment.End;
        while (NextSequence < next)
        {
            if (_position >= end)
            {
                // The segment had more of this stream partition once.
                PassTo(next);
                return;
            }

            if (!Holds(BatchFormat.HeaderLength) || !Holds(BatchFormat.Length(Block)))
            {
                if (page.Records.Count > 0)
                    return;
                if (!TryLoadBatch(segment, end))
                {
                    _position = log.PassOver(segment, _position, end);
                    _recordAt = 0;
                    continue;
                }
            }

            if (_checkedBatch != _position && !IsWhole(segment, end))
            {
                _position = log.PassOver(segment, _position, end);
                _recordAt = 0;
                continue;
            }

            _checkedBatch = _position;
            if (!TakeRecords(segment, page))
                return;

            _position += BatchFormat.Align(BatchFormat.Length(Block));
            _recordAt = 0;
        }
    }

    private ReadOnlySpan<byte> Block => _block.AsSpan((int)(_position - _blockAt), (int)(_blockAt + _blockLength - _position));

    private bool Holds(int bytes) => _position >= _blockAt && bytes >= BatchFormat.HeaderLength && _position + bytes <= _blockAt + _blockLength;

    /// <summary>A block from the position on with at least a whole batch in it; false when there is none.</summary>
    private bool TryLoadBatch(LogSegment segment, long end)
    {
        var bytes = BlockBytes;
        while (true)
        {
            LoadBlock(segment, (int)Math.Min(bytes, end - _position));
            if (_blockLength < BatchFormat.HeaderLength || !BatchFormat.LooksLikeOne(Block, segment.Generation, end - _position))
                return false;
            if (Holds(BatchFormat.Length(Block)))
                return true;
            if (bytes >= BatchFormat.Length(Block))
                return false;
            bytes = BatchFormat.Length(Block);
        }
    }

    private void LoadBlock(LogSegment segment, int bytes)
    {
        if (_block.Length < bytes)
        {
            ReturnBlock();
            _block = ArrayPool<byte>.Shared.Rent(bytes);
        }

        _checkedBatch = -1;
        _blockLength = 0;
        var read = segment.File.Read(_block.AsSpan(0, bytes), _position);
        (_blockAt, _blockLength) = (_position, read);
    }

    private bool IsWhole(LogSegment segment, long end) =>
        BatchFormat.LooksLikeOne(Block, segment.Generation, end - _position) && BatchFormat.CrcMatches(Block[..BatchFormat.Length(Block)]);

    /// <summary>False when the page is full before the batch is at its end.</summary>
    private bool TakeRecords(LogSegment segment, LogPage page)
    {
        var batch = Block[..BatchFormat.Length(Block)];
        for (var at = Math.Max(_recordAt, BatchFormat.HeaderLength); at < batch.Length; at += RecordHeader.TotalLength(batch[at..]))
        {
            var record = batch[at..];
            var length = RecordHeader.TotalLength(record);
            if (length < RecordHeader.Length || length > record.Length)
                throw new InvalidDataException($"event log segment '{segment.Name}' has a batch at {_position} that is whole but malformed: run 'data verify'");

            var sequence = RecordHeader.Sequence(record);
            if (RecordHeader.Stream(record) != head.Stream || RecordHeader.Partition(record) != head.Partition || sequence < NextSequence)
                continue;

            if (RecordHeader.EnqueuedTimeMs(record) < notBeforeMs)
            {
                NextSequence = sequence + 1;
                continue;
            }

            _recordAt = at;
            if (!TryCopy(record[..length], page))
                return false;

            PassTo(sequence);
            NextSequence = sequence + 1;
            _seekingTime = false;
        }

        return true;
    }

    private int _pageBytes;

    private bool TryCopy(ReadOnlySpan<byte> record, LogPage page)
    {
        var message = record[RecordHeader.Length..];
        if (page.Records.Count == 0)
            _pageBytes = 0;
        else if (_pageBytes + message.Length > page.CapacityBytes)
            return false;

        var buffer = page.Buffer(Math.Max(page.CapacityBytes, message.Length));
        message.CopyTo(buffer.AsSpan(_pageBytes));
        page.Add(new LogRecord(
            head.Stream,
            head.Partition,
            RecordHeader.Sequence(record),
            DateTimeOffset.FromUnixTimeMilliseconds(RecordHeader.EnqueuedTimeMs(record)),
            RecordHeader.Source(record),
            RecordHeader.Endpoints(record),
            buffer.AsMemory(_pageBytes, message.Length)));
        _pageBytes += message.Length;
        return true;
    }

    private void ReturnBlock()
    {
        if (_block.Length > 0)
            ArrayPool<byte>.Shared.Return(_block);
        _block = [];
        _blockLength = 0;
        _checkedBatch = -1;
    }
}
