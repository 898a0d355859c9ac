namespace Sallyport.Storage.EventLog;

/// <summary>How a <see cref="SegmentLog"/> is kept on disk. Immutable.</summary>
public sealed record SegmentLogOptions
{
    /// <summary>Where the log lives; made when missing. Nobody else may write in it.</summary>
    public required string Directory { get; init; }

    /// <summary>1 to 32. Used when the log is created; an existing log keeps the count it was created with.</summary>
    public int PartitionCount { get; init; } = 4;

    /// <summary>Bytes of a segment file, a multiple of 4096. Retention, holds and disk-full work in steps of it.</summary>
    public int SegmentBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Bytes of the two commit buffers together: what can await the disk. When they are full, appends wait.</summary>
    public int CommitBufferBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>How long a record is kept at least, if <see cref="RetentionBytes"/> allows. IoT Hub's default is 1 day.</summary>
    public TimeSpan Retention { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Bytes of all segments beyond which the oldest is dropped whatever its age.</summary>
    public long RetentionBytes { get; init; } = 10L * 1024 * 1024 * 1024;

    /// <summary>How many bytes readers may hold back beyond retention; null: half of the disk's free space at start.</summary>
    public long? MaxHeldBytes { get; init; }

    /// <summary>Free space that a new segment leaves to everything else on the disk, the metadata store first.</summary>
    public long ReserveBytes { get; init; } = 256L * 1024 * 1024;

    /// <summary>The most records of one <see cref="IEventLog.AppendAsync"/> may weigh, headers included.</summary>
    internal int MaxAppendBytes => CommitBytes - BatchFormat.HeaderLength;

    /// <summary>Of one commit buffer.</summary>
    internal int CommitBytes => CommitBufferBytes / 2 & ~(BatchFormat.Alignment - 1);

    /// <summary>Everything that is wrong, one sentence each; empty when nothing is.</summary>
    public IReadOnlyList<string> Validate()
    {
        var errors = new List<string>();
        if (string.IsNullOrWhiteSpace(Directory))
            errors.Add("the event log needs a directory");
        if (PartitionCount is < 1 or > 32)
            errors.Add($"the event log's partition count must be 1 to 32, not {PartitionCount}");
        if (SegmentBytes <= 0 || SegmentBytes % 4096 != 0)
            errors.Add($"the event log's segment size must be a positive multiple of 4096 bytes, not {SegmentBytes}");
        if (CommitBufferBytes < 8192)
            errors.Add($"the event log's commit buffer must be at least 8192 bytes, not {CommitBufferBytes}");
        else if (!HoldsACommit(Math.Clamp(PartitionCount, 1, 32)))
            errors.Add($"an event log segment of {SegmentBytes} bytes cannot hold a commit of {CommitBytes} bytes and its index");
        if (Retention <= TimeSpan.Zero)
            errors.Add("the event log's retention must be longer than nothing");
        if (RetentionBytes < SegmentBytes)
            errors.Add($"the event log's retention of {RetentionBytes} bytes is less than one segment");
        if (MaxHeldBytes < 0 || ReserveBytes < 0)
            errors.Add("the event log's held bytes and reserve must not be negative");
        return errors;
    }

    internal bool HoldsACommit(int partitions) => SegmentBytes >= LogSegment.LeastBytes(CommitBytes, partitions);
}
