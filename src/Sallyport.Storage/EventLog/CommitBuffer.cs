namespace Sallyport.Storage.EventLog;

/// <summary>
/// A batch being formed or written. There are two: while one is on its way to disk, the other fills.
/// Owned by whoever holds the log's gate, or by the writer once it was taken.
/// </summary>
internal sealed class CommitBuffer(int capacityBytes)
{
    private const long PageBytes = 4096;

    // Pinned, so that a write of megabytes does not pin anew each time and never moves in a collection.
    private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(capacityBytes + (int)PageBytes, pinned: true);

    // A set, because one connection appends many times to one batch and is told once.
    private readonly HashSet<ICommitListener> _listeners = new(ReferenceEqualityComparer.Instance);

    public int Capacity => capacityBytes;

    public int Length { get; private set; } = BatchFormat.HeaderLength;

    public int Records { get; private set; }

    public long Number { get; set; }

    /// <summary>What it holds per stream partition.</summary>
    public List<BatchExtent> Extents { get; } = [];

    public bool HasWork => Records > 0 || _listeners.Count > 0;

    public Span<byte> Batch => _bytes.AsSpan(0, Length);

    /// <summary>
    /// The batch and zeroes up to the end of the page in which it ends when it begins at <paramref name="position"/>: a page that is
    /// not in memory and is overwritten in part would have to be read first, while everybody waits.
    /// </summary>
    public ReadOnlySpan<byte> PaddedAt(long position)
    {
        var end = position + Length;
        var padding = (int)((end + PageBytes - 1 & ~(PageBytes - 1)) - end);
        _bytes.AsSpan(Length, padding).Clear();
        return _bytes.AsSpan(0, Length + padding);
    }

    public bool HasRoom(int bytes) => BatchFormat.Align(Length + bytes) <= capacityBytes;

    /// <summary>Copies a record in and returns the copy, to be stamped.</summary>
    public Span<byte> Add(ReadOnlySpan<byte> record)
    {
        var copy = _bytes.AsSpan(Length, record.Length);
        record.CopyTo(copy);
        Length += record.Length;
        Records++;
        return copy;
    }

    public void Listen(ICommitListener? listener)
    {
        if (listener is not null)
            _listeners.Add(listener);
    }

    public void TellListeners()
    {
        foreach (var listener in _listeners)
            listener.OnCommitted();
    }

    public void Clear()
    {
        Length = BatchFormat.HeaderLength;
        Records = 0;
        Extents.Clear();
        _listeners.Clear();
    }
}

/// <summary>The records of one stream partition in one batch: sequence numbers from First up to below Next.</summary>
internal record struct BatchExtent(PartitionHead Head, long First, long Next, long FirstTimeMs, long LastTimeMs);
