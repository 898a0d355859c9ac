using System.Buffers;
using System.Buffers.Binary;

namespace Sallyport.Protocol.Amqp;

/// <summary>One frame (AMQP 1.0 part 2, 2.3): a view on the bytes it was read from.</summary>
internal readonly ref struct AmqpFrame
{
    public const byte AmqpType = 0;
    public const byte SaslType = 1;

    /// <summary>Bytes of size, offset, type and channel.</summary>
    public const int HeaderLength = 8;

    private AmqpFrame(byte type, ushort channel, ReadOnlySpan<byte> body)
    {
        Type = type;
        Channel = channel;
        Body = body;
    }

    public byte Type { get; }

    public ushort Channel { get; }

    /// <summary>The performative and what follows it; empty for a heartbeat.</summary>
    public ReadOnlySpan<byte> Body { get; }

    /// <summary>Takes the next frame; false while it is not whole.</summary>
    /// <param name="scratch">Holds a frame that lies in pieces; rented here, given back by the owner.</param>
    /// <exception cref="AmqpProtocolException">The size or the offset is not possible, or the frame is larger than allowed.</exception>
    public static bool TryRead(ref ReadOnlySequence<byte> input, int maxFrameSize, ref byte[]? scratch, out AmqpFrame frame)
    {
        frame = default;
        if (input.Length < HeaderLength)
            return false;

        Span<byte> head = stackalloc byte[HeaderLength];
        var first = input.FirstSpan;
        if (first.Length >= HeaderLength)
            first[..HeaderLength].CopyTo(head);
        else
            input.Slice(0, HeaderLength).CopyTo(head);

        var size = BinaryPrimitives.ReadUInt32BigEndian(head);
        var body = head[4] * 4;
        if (size < HeaderLength || body < HeaderLength || body > size)
            throw new AmqpProtocolException(AmqpConditions.FramingError, $"a frame of {size} bytes whose body begins at {body}"); // [AMQP-2.3.1]
        if (size > maxFrameSize)
            throw new AmqpProtocolException(AmqpConditions.FramingError, $"a frame of {size} bytes, more than the {maxFrameSize} allowed"); // [AMQP-2.7.1]
        if (input.Length < size)
            return false;

        ReadOnlySpan<byte> whole;
        if (first.Length >= size)
        {
            whole = first[..(int)size];
        }
        else
        {
            if (scratch is null || scratch.Length < size)
            {
                if (scratch is not null)
                    ArrayPool<byte>.Shared.Return(scratch);
                scratch = ArrayPool<byte>.Shared.Rent((int)size);
            }

            input.Slice(0, size).CopyTo(scratch);
            whole = scratch.AsSpan(0, (int)size);
        }

        input = input.Slice(size);
        frame = new AmqpFrame(head[5], BinaryPrimitives.ReadUInt16BigEndian(head[6..]), whole[body..]); // [AMQP-2.3.1] An extended header is passed by.
        return true;
    }

    /// <summary>Fills in the header of a frame that was written behind it.</summary>
    /// <param name="frame">The whole frame.</param>
    public static void WriteHeader(Span<byte> frame, byte type, ushort channel)
    {
        BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length);
        frame[4] = 2;
        frame[5] = type;
        BinaryPrimitives.WriteUInt16BigEndian(frame[6..], channel);
    }
}
