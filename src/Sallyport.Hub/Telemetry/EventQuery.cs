using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>Which events somebody wants to read, and until when. Immutable.</summary>
public sealed record EventQuery
{
    /// <summary>Where to begin, for each partition that is read. At least one; every partition exists.</summary>
    public required IReadOnlyDictionary<int, LogStart> Starts { get; init; }

    public StreamId Stream { get; init; } = StreamId.Events;

    /// <summary>Only events of these devices (and of their modules); null for all.</summary>
    public DevicePattern? Devices { get; init; }

    /// <summary>What the reader's rights are limited to: events of other devices are passed over.</summary>
    public Access.Scope Scope { get; init; } = Access.Scope.Everything;

    /// <summary>True waits for what is to come; false ends with what was there when the reading began.</summary>
    public bool Follow { get; init; } = true;

    /// <summary>After one to two of these without an event, a heartbeat comes, so that whoever waits knows that all is well. Default 15 s: proxies cut after 60 s.</summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(15);
}

/// <summary>What a reader gets at once: events of one partition in order, or none at all (a heartbeat). Valid until the next one is asked for.</summary>
/// <param name="Partition">-1 for a heartbeat.</param>
/// <param name="Records">The events that match; empty when a page held none, or only a gap.</param>
/// <param name="Skipped">How many events before these are gone (retention overtook the reader, or began after its position); 0 in the ordinary case.</param>
/// <param name="Next">The sequence number from which a reader that has taken this page goes on.</param>
public readonly record struct EventPage(int Partition, IReadOnlyList<LogRecord> Records, long Skipped, long Next)
{
    public static readonly EventPage Heartbeat = new(-1, [], 0, 0);

    public bool IsHeartbeat => Partition < 0;
}
