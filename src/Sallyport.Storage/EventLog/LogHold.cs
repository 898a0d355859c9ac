namespace Sallyport.Storage.EventLog;

/// <summary>A reader's claim on segments. Its state belongs to the log's gate. Thread-safe.</summary>
/// <param name="changed">Called under the gate; true when the hold ended.</param>
internal sealed class LogHold(string name, StreamId stream, long[] next, HoldPolicy policy, object gate, Action<LogHold, bool> changed) : ILogHold
{
    private readonly long[] _skipped = new long[next.Length];

    public string Name { get; } = name;

    public HoldPolicy Policy { get; } = policy;

    public long Skipped(int partition)
    {
        lock (gate)
            return _skipped[partition];
    }

    public void Advance(int partition, long to)
    {
        lock (gate)
        {
            next[partition] = Math.Max(next[partition], to);
            changed(this, false);
        }
    }

    public void Dispose()
    {
        lock (gate)
            changed(this, true);
    }

    /// <summary>Gate.</summary>
    public bool Needs(LogSegment segment)
    {
        for (var partition = 0; partition < next.Length; partition++)
        {
            if (segment.Extent(stream, partition) is { } extent && extent.Next > next[partition])
                return true;
        }

        return false;
    }

    /// <summary>Lets go of a segment that was not read to its end, and counts what is lost. Gate.</summary>
    public void Skip(LogSegment segment, List<(LogHold Hold, int Partition, long Records)> skipped)
    {
        for (var partition = 0; partition < next.Length; partition++)
        {
            if (segment.Extent(stream, partition) is not { } extent || extent.Next <= next[partition])
                continue;

            var lost = extent.Next - Math.Max(next[partition], extent.First);
            _skipped[partition] += lost;
            next[partition] = extent.Next;
            skipped.Add((this, partition, lost));
        }
    }
}
