using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>Reads a stream, by default <c>events</c>, for any number of readers at a time. Thread-safe.</summary>
public sealed class EventReader(IEventLog log, TimeProvider time)
{
    public int PartitionCount => log.PartitionCount;

    /// <summary>The same start for all partitions, or for one.</summary>
    /// <param name="partition">Null for all.</param>
    public IReadOnlyDictionary<int, LogStart> Starts(LogStart start, int? partition) => partition is { } one
        ? new Dictionary<int, LogStart> { [one] = start }
        : Enumerable.Range(0, log.PartitionCount).ToDictionary(p => p, _ => start);

    /// <summary>Opens cursors where the query begins: what comes from now on is read, whenever the reading goes on.</summary>
    public EventReading Open(EventQuery query) => new(log, time, query);
}
