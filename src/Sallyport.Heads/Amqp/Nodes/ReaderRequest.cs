using System.Globalization;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>What a reader of a partition asks for in its attach.</summary>
/// <param name="Group">As it was written; compared in any case.</param>
/// <param name="Epoch">Its owner level: it wants the partition for itself, against anybody with a lower one. Null for none.</param>
/// <param name="WantsMetric">The runtime metric: each event tells where the newest one is.</param>
internal sealed record ReaderRequest(string Group, int Partition, LogStart Start, long? Epoch, bool WantsMetric)
{
    /// <summary>Reads the request; null with the refusal when the hub cannot serve it.</summary>
    public static ReaderRequest? TryRead(Attach attach, NodeAddress address, AmqpHead head, out AmqpError? refusal)
    {
        var log = head.Hub.Log;
        refusal = null;
        if (!head.Hub.Groups.Exists(address.ConsumerGroup))
        {
            refusal = new AmqpError(AmqpConditions.NotFound, "the hub has no such consumer group (consumer-group create)");
            return null;
        }

        if (!int.TryParse(address.PartitionId, NumberStyles.None, CultureInfo.InvariantCulture, out var partition) || partition >= log.PartitionCount)
        {
            refusal = new AmqpError(AmqpConditions.NotFound, $"the Event Hub has partitions 0 to {log.PartitionCount - 1}");
            return null;
        }

        var selector = SelectorFilter.TryRead(attach.Source?.Filters, out var problem);
        if (problem is not null)
        {
            refusal = new AmqpError(AmqpConditions.InvalidField, problem);
            return null;
        }

        if (StartOf(selector, log.Describe(StreamId.Events, partition), out refusal) is not { } start)
            return null;

        long? epoch = attach.TryFindProperty("com.microsoft:epoch"u8, out var value) && value.Type is AmqpType.Long or AmqpType.Int ? value.Signed : null;
        return new ReaderRequest(address.ConsumerGroup, partition, start, epoch, attach.Desires("com.microsoft:enable-receiver-runtime-metric"u8));
    }

    private static LogStart? StartOf(SelectorFilter? selector, StreamPartition partition, out AmqpError? refusal)
    {
        refusal = null;
        if (selector is not { } asked)
            return LogStart.Earliest;
        if (asked.IsLatest)
            return LogStart.Latest;
        if (asked.Value < 0)
            return LogStart.Earliest;
        if (asked.Key == SelectorKey.EnqueuedTime)
            return TimeStart(asked);

        // Numbers are contiguous, and the offset is the sequence number.
        var next = asked.IsInclusive ? asked.Value : asked.Value == long.MaxValue ? long.MaxValue : asked.Value + 1;
        if (next > partition.NextSequence)
        {
            refusal = new AmqpError("com.microsoft:argument-out-of-range", $"the position {asked.Value} is behind the newest event of the partition, {partition.NextSequence - 1}: is it of another hub?");
            return null;
        }

        return LogStart.FromSequence(next);
    }

    private static LogStart TimeStart(SelectorFilter asked)
    {
        var latest = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();
        var ms = asked.IsInclusive || asked.Value >= latest ? asked.Value : asked.Value + 1;
        return LogStart.FromTime(DateTimeOffset.FromUnixTimeMilliseconds(Math.Min(ms, latest)));
    }
}
