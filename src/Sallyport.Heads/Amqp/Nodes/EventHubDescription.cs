using System.Globalization;
using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Answers READ requests to <c>$management</c>: what the Event Hub and each of its partitions hold. The newest sequence number is that of the
/// stream readers see, so that who has read everything has no lag.
/// </summary>
internal sealed class EventHubDescription(AmqpHead head)
{
    public ValueTask<byte[]> AnswerAsync(RequestMessage request) => new(Answer(request));

    private byte[] Answer(RequestMessage request)
    {
        if (request.Operation is not "READ")
            return ResponseMessage.Encode(request, 400, "the operation of a request to $management is READ");
        if (request.Name is not null && !request.Name.Equals(EventHubName.Value, StringComparison.OrdinalIgnoreCase))
            return ResponseMessage.Encode(request, 404, $"this hub's Event Hub is called {EventHubName.Value}");

        var log = head.Hub.Log;
        switch (request.Type)
        {
            case "com.microsoft:eventhub":
                return ResponseMessage.Encode(request, 200, "OK", DescribeHub(log.PartitionCount));
            case "com.microsoft:partition":
                return int.TryParse(request.Partition, NumberStyles.None, CultureInfo.InvariantCulture, out var partition) && partition < log.PartitionCount
                    ? ResponseMessage.Encode(request, 200, "OK", DescribePartition(partition, log.Describe(StreamId.Events, partition)))
                    : ResponseMessage.Encode(request, 404, $"the Event Hub has partitions 0 to {log.PartitionCount - 1}");
            default:
                return ResponseMessage.Encode(request, 400, "the type of a READ is com.microsoft:eventhub or com.microsoft:partition");
        }
    }

    private byte[] DescribeHub(int partitions)
    {
        var target = new byte[256 + (partitions * 8)];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        Name(ref writer);
        writer.String("created_at"u8);
        writer.Timestamp(head.Created.ToUnixTimeMilliseconds());
        writer.String("partition_count"u8);
        writer.Int(partitions);
        writer.String("partition_ids"u8);
        var list = writer.BeginList();
        for (var partition = 0; partition < partitions; partition++)
            writer.String(Encoding.ASCII.GetBytes(partition.ToString(CultureInfo.InvariantCulture)));
        writer.End(list, partitions);
        writer.End(map, 10);
        return target[..writer.Written];
    }

    private static byte[] DescribePartition(int partition, StreamPartition stream)
    {
        var last = stream.NextSequence - 1;
        var target = new byte[512];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        Name(ref writer);
        writer.String("partition"u8);
        writer.String(Encoding.ASCII.GetBytes(partition.ToString(CultureInfo.InvariantCulture)));
        writer.String("begin_sequence_number"u8);
        writer.Long(stream.FirstSequence);
        writer.String("last_enqueued_sequence_number"u8);
        writer.Long(last);
        writer.String("last_enqueued_offset"u8);
        writer.String(Encoding.ASCII.GetBytes(last < 0 ? "-1" : last.ToString("D20", CultureInfo.InvariantCulture)));
        writer.String("last_enqueued_time_utc"u8);
        writer.Timestamp(stream.LastEnqueuedTime.ToUnixTimeMilliseconds());
        writer.String("is_partition_empty"u8);
        writer.Boolean(stream.IsEmpty);
        writer.End(map, 16);
        return target[..writer.Written];
    }

    private static void Name(ref AmqpWriter writer)
    {
        writer.String("name"u8);
        writer.String(Encoding.ASCII.GetBytes(EventHubName.Value));
        writer.String("type"u8);
        writer.String("com.microsoft:eventhub"u8);
    }
}
