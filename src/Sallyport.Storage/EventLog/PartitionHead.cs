namespace Sallyport.Storage.EventLog;

/// <summary>Where one stream partition stands. All fields belong to the log's gate, except where said.</summary>
internal sealed class PartitionHead(StreamId stream, int partition)
{
    private readonly List<SegmentCursor> _awaiting = [];
    private TaskCompletionSource? _moved;

    public StreamId Stream { get; } = stream;

    public int Partition { get; } = partition;

    /// <summary>The oldest record kept.</summary>
    public long First { get; set; }

    /// <summary>What the next append gets.</summary>
    public long Next { get; set; }

    /// <summary>Records below it are on disk.</summary>
    public long Committed { get; set; }

    /// <summary>Of the newest record on disk.</summary>
    public long CommittedTimeMs { get; set; }

    /// <summary>Where in the forming batch's extents it is, when <see cref="FormingNumber"/> is that batch's.</summary>
    public int FormingExtent { get; set; }

    public long FormingNumber { get; set; }

    /// <summary>Completes at the next <see cref="Move"/>.</summary>
    public Task Moved() => (_moved ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>The cursor's listener is told at the next <see cref="Move"/>.</summary>
    public void Await(SegmentCursor cursor, ICommitListener listener)
    {
        if (cursor.Awaiting is null)
            _awaiting.Add(cursor);
        cursor.Awaiting = listener;
    }

    public void Forget(SegmentCursor cursor)
    {
        if (cursor.Awaiting is null)
            return;

        cursor.Awaiting = null;
        _awaiting.Remove(cursor);
    }

    /// <summary>The batch was committed: whoever waits for more is told with those who wait for the batch.</summary>
    public void Move(CommitBuffer batch)
    {
        _moved?.SetResult();
        _moved = null;
        foreach (var cursor in _awaiting)
        {
            batch.Listen(cursor.Awaiting);
            cursor.Awaiting = null;
        }

        _awaiting.Clear();
    }

    public void Stop(Exception reason)
    {
        _moved?.SetException(reason);
        _moved = null;
    }
}
