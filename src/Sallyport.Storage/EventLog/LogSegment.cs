namespace Sallyport.Storage.EventLog;

/// <summary>
/// One segment file and what is known of it. Its fields belong to the log's gate, except <see cref="End"/>, which readers
/// may look at without it. The file is closed and reused or deleted only when it was dropped and no reader is in it.
/// </summary>
internal sealed class LogSegment(ulong generation, ILogFile file)
{
    private long _end = SegmentHeader.Length;

    /// <summary>The upper half counts up; the lower half is random, so that no payload can pretend to be a batch of this segment.</summary>
    public ulong Generation { get; } = generation;

    public ILogFile File { get; } = file;

    /// <summary>Of the file: what was asked for when it was made.</summary>
    public int Bytes { get; } = (int)file.Length;

    public string Name => SegmentHeader.FileName(Generation);

    /// <summary>Batches lie between the header and here; all of them are on disk.</summary>
    public long End
    {
        get => Volatile.Read(ref _end);
        set => Volatile.Write(ref _end, value);
    }

    /// <summary>Ordered by stream and partition.</summary>
    public List<SegmentExtent> Extents { get; set; } = [];

    public long FirstBatch { get; set; }

    public long LastBatch { get; set; }

    public byte[] LastMac { get; set; } = new byte[BatchFormat.MacLength];

    /// <summary>Entries of all <see cref="Extents"/>.</summary>
    public int IndexEntries { get; set; }

    /// <summary>Nothing is appended to it any more.</summary>
    public bool Sealed { get; set; }

    /// <summary>Of the footer on disk; 0 while there is none and the index is in memory.</summary>
    public int FooterLength { get; set; }

    /// <summary>The newest record's time; what retention goes by.</summary>
    public long LastTimeMs { get; set; }

    /// <summary>How many read in it right now.</summary>
    public int Readers { get; set; }

    /// <summary>The least a segment must have for a batch of this size and the index of as many stream partitions as there can be.</summary>
    public static int LeastBytes(int batchBytes, int partitions)
    {
        var heads = partitions * SegmentLog.MaxStreams;
        return SegmentHeader.Length + BatchFormat.Align(batchBytes) + SegmentFooter.Bytes(heads, 2 * heads);
    }

    public SegmentExtent? Extent(StreamId stream, int partition)
    {
        foreach (var extent in Extents)
        {
            if (extent.Stream == stream && extent.Partition == partition)
                return extent;
        }

        return null;
    }

    /// <summary>Takes up a batch read back from disk.</summary>
    public void AddBatch(long position, ReadOnlySpan<byte> batch)
    {
        // Few stream partitions are in one batch, so a list searched from the front.
        var parts = new List<(StreamId Stream, int Partition, long First, long Next, long FirstTimeMs, long LastTimeMs)>();
        for (var at = BatchFormat.HeaderLength; at < batch.Length; at += RecordHeader.TotalLength(batch[at..]))
        {
            var record = batch[at..];
            var (stream, partition, sequence, timeMs) = (RecordHeader.Stream(record), RecordHeader.Partition(record), RecordHeader.Sequence(record), RecordHeader.EnqueuedTimeMs(record));
            var i = parts.FindIndex(part => part.Stream == stream && part.Partition == partition);
            if (i < 0)
                parts.Add((stream, partition, sequence, sequence + 1, timeMs, timeMs));
            else
                parts[i] = parts[i] with { Next = sequence + 1, LastTimeMs = timeMs };
        }

        foreach (var (stream, partition, first, next, firstTimeMs, lastTimeMs) in parts)
            Add(stream, partition, first, next, firstTimeMs, lastTimeMs, position, batch.Length);
    }

    /// <summary>Takes up the part of a batch that belongs to one stream partition.</summary>
    public void Add(StreamId stream, int partition, long first, long next, long firstTimeMs, long lastTimeMs, long position, int batchBytes)
    {
        var extent = Extent(stream, partition);
        if (extent is null)
        {
            extent = new SegmentExtent { Stream = stream, Partition = partition, First = first, FirstTimeMs = firstTimeMs, Entries = [] };
            Insert(extent);
        }

        extent.Next = next;
        extent.LastTimeMs = lastTimeMs;
        LastTimeMs = Math.Max(LastTimeMs, lastTimeMs);
        if (extent.Entries!.Count == 0 || position + batchBytes - extent.Entries[^1].Position > IndexEntry.SpacingBytes)
        {
            extent.Entries.Add(new IndexEntry(first, firstTimeMs, (uint)position, (uint)batchBytes));
            IndexEntries++;
        }
    }

    private void Insert(SegmentExtent extent)
    {
        var at = Extents.FindIndex(other => (other.Stream.Number, other.Partition).CompareTo((extent.Stream.Number, extent.Partition)) > 0);
        Extents.Insert(at < 0 ? Extents.Count : at, extent);
    }
}

/// <summary>The records of one stream partition in one segment: sequence numbers from First up to below Next.</summary>
internal sealed class SegmentExtent
{
    public required StreamId Stream { get; init; }
    public required int Partition { get; init; }
    public required long First { get; init; }
    public long Next { get; set; }
    public required long FirstTimeMs { get; init; }
    public long LastTimeMs { get; set; }

    /// <summary>The sparse index; null when it is on disk only.</summary>
    public List<IndexEntry>? Entries { get; set; }
}

/// <summary>
/// Points at a batch: its first record of the stream partition, its place and size. The rule when there is one makes sure that any
/// record's batch either has its own entry or ends within <see cref="SpacingBytes"/> after the position of the entry before it,
/// so that one read from there gets it.
/// </summary>
internal readonly record struct IndexEntry(long Sequence, long TimeMs, uint Position, uint BatchBytes)
{
    public const int SpacingBytes = 64 * 1024;

    /// <summary>The last entry that is at or before a sequence number; the first one when there is none.</summary>
    public static IndexEntry Before(List<IndexEntry> entries, long sequence) => entries[Math.Max(0, LastWhere(entries, sequence, static (entry, sought) => entry.Sequence <= sought))];

    /// <summary>The last entry that is before a time; the first one when there is none.</summary>
    public static IndexEntry BeforeTime(List<IndexEntry> entries, long timeMs) => entries[Math.Max(0, LastWhere(entries, timeMs, static (entry, sought) => entry.TimeMs < sought))];

    private static int LastWhere(List<IndexEntry> entries, long sought, Func<IndexEntry, long, bool> isBefore)
    {
        int low = 0, high = entries.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (isBefore(entries[middle], sought))
                low = middle + 1;
            else
                high = middle;
        }

        return low - 1;
    }
}
