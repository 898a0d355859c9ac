namespace Sallyport.Storage.EventLog;

/// <summary>
/// Walks the batches of one segment file, and finds the next valid one when one is not. Used by recovery, by the verifier and by
/// readers that met a bad batch. Not thread-safe.
/// </summary>
/// <param name="end">Where batches must end: the file's end or less.</param>
internal sealed class BatchScan(ILogFile file, ulong generation, long end, BatchMacCheck macs)
{
    private const int WindowBytes = 256 * 1024;
    private const int Alignment = BatchFormat.Alignment;

    private byte[] _window = new byte[WindowBytes];
    private long _windowAt;
    private int _windowLength;

    /// <summary>Of the batch that <see cref="TryRead"/> looks at.</summary>
    public long Position { get; set; } = SegmentHeader.Length;

    /// <summary>The batch at <see cref="Position"/>; false when there is no whole, authentic one with at least this number.</summary>
    public bool TryRead(long leastNumber, out ReadOnlySpan<byte> batch)
    {
        batch = default;
        if (!TryView(Position, BatchFormat.HeaderLength, out var header)
            || !BatchFormat.LooksLikeOne(header, generation, end - Position)
            || BatchFormat.Number(header) < leastNumber
            || !TryView(Position, BatchFormat.Length(header), out batch)
            || !BatchFormat.CrcMatches(batch) || !macs.Matches(batch))
        {
            batch = default;
            return false;
        }

        return true;
    }

    public void Advance(ReadOnlySpan<byte> batch) => Position += BatchFormat.Align(batch.Length);

    /// <summary>
    /// Moves to the next valid batch after <see cref="Position"/>; false, and unmoved, when there is none. What is in between is neither
    /// trusted nor guessed at: only the generation, which no payload can know, and then CRC and MAC make a batch.
    /// </summary>
    public bool TryResync(long leastNumber)
    {
        var from = Position;
        Position += Alignment;
        while (TryView(Position, BatchFormat.HeaderLength, out _))
        {
            var ahead = _window.AsSpan(0, _windowLength)[(int)(Position - _windowAt)..];
            var found = ahead.IndexOf(BatchFormat.MagicBytes);
            if (found < 0)
            {
                // The last three bytes may be the beginning of one.
                Position += (ahead.Length - 3) & ~(Alignment - 1);
                continue;
            }

            Position += found & ~(Alignment - 1);
            if (found % Alignment == 0 && TryRead(leastNumber, out _))
                return true;
            Position += Alignment;
        }

        Position = from;
        return false;
    }

    /// <summary>The length of what began as a batch of this segment at <see cref="Position"/>; 0 when nothing did.</summary>
    public int BegunBytes() =>
        TryView(Position, BatchFormat.HeaderLength, out var header) && BatchFormat.LooksLikeOne(header, generation, end - Position) ? BatchFormat.Length(header) : 0;

    private bool TryView(long position, int length, out ReadOnlySpan<byte> view)
    {
        view = default;
        if (position + length > end)
            return false;

        if (position < _windowAt || position + length > _windowAt + _windowLength)
        {
            if (length > _window.Length)
                _window = new byte[length];
            _windowAt = position;
            _windowLength = file.Read(_window.AsSpan(0, (int)Math.Min(_window.Length, end - position)), position);
            if (_windowLength < length)
                return false;
        }

        view = _window.AsSpan((int)(position - _windowAt), length);
        return true;
    }
}
