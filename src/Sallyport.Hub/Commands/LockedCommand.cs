using Sallyport.Protocol.Amqp;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>A command that was given to whoever asked, and is theirs until the lock ends.</summary>
/// <param name="Token">By which it is settled.</param>
/// <param name="IsRedelivered">It was given to somebody before, since the hub started.</param>
public sealed record LockedCommand(Guid Token, CommandRecord Command, bool IsRedelivered)
{
    /// <summary>The message annotations that AMQP devices get before the message: sequence number, enqueued time, delivery count.</summary>
    public byte[] Annotations()
    {
        Span<byte> target = stackalloc byte[128];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.MessageAnnotations);
        var map = writer.BeginMap();
        writer.Symbol("x-opt-sequence-number"u8);
        writer.ULong((ulong)Command.Sequence);
        writer.Symbol("iothub-enqueuedtime"u8);
        writer.Timestamp(Command.EnqueuedTime.ToUnixTimeMilliseconds());
        writer.Symbol("iothub-deliverycount"u8);
        writer.UByte((byte)Math.Min(Command.DeliveryCount, byte.MaxValue));
        writer.End(map, 6);
        return target[..writer.Written].ToArray();
    }
}
