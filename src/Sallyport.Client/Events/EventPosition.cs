using System.Globalization;
using Sallyport.Protocol.Amqp.Nodes;

namespace Sallyport.Client.Events;

/// <summary>Where the reading of a partition begins.</summary>
public readonly record struct EventPosition
{
    private EventPosition(SelectorFilter filter) => Filter = filter;

    /// <summary>At the oldest event that the hub has. Also the default value.</summary>
    public static EventPosition Earliest => default;

    /// <summary>Behind the newest event there is when the reading reaches the hub: what comes from then on.</summary>
    public static EventPosition Latest { get; } = new(new SelectorFilter(SelectorKey.Offset, IsInclusive: false, 0, IsLatest: true));

    internal SelectorFilter? Filter { get; }

    /// <param name="isInclusive">False: behind the event with that number.</param>
    public static EventPosition FromSequenceNumber(long sequenceNumber, bool isInclusive = true) =>
        new(new SelectorFilter(SelectorKey.SequenceNumber, isInclusive, sequenceNumber, IsLatest: false));

    /// <param name="offset">As an event has it (<see cref="ReceivedEvent.Offset"/>).</param>
    /// <param name="isInclusive">False: behind the event with that offset.</param>
    /// <exception cref="FormatException">It is no number.</exception>
    public static EventPosition FromOffset(string offset, bool isInclusive = true) =>
        new(new SelectorFilter(SelectorKey.Offset, isInclusive, long.Parse(offset, NumberStyles.None, CultureInfo.InvariantCulture), IsLatest: false));

    /// <summary>At the first event that was stored then or later.</summary>
    public static EventPosition FromEnqueuedTime(DateTimeOffset enqueuedTime) =>
        new(new SelectorFilter(SelectorKey.EnqueuedTime, IsInclusive: true, enqueuedTime.ToUnixTimeMilliseconds(), IsLatest: false));

    public override string ToString() => Filter?.ToString() ?? "earliest";
}
