using System.Buffers.Binary;
using System.Buffers.Text;

namespace Sallyport.Protocol.Amqp;

/// <summary>
/// The start of every stored message: its message-annotations section (AMQP 1.0 part 3, 3.2.3) opens with the
/// annotations that are known only at append, at fixed places, so that the log patches them under its lock
/// without decoding. More annotations may follow in the same map32.
/// </summary>
public static class HubAnnotations
{
    private static readonly byte[] Template =
    [
        0x00, 0x53, 0x72, 0xd1, 0, 0, 0, 0, 0, 0, 0, 0,
        0xa3, 21, .. "x-opt-sequence-number"u8, 0x81, 0, 0, 0, 0, 0, 0, 0, 0,
        0xa3, 12, .. "x-opt-offset"u8, 0xa1, 20, .. "00000000000000000000"u8,
        0xa3, 19, .. "x-opt-enqueued-time"u8, 0x83, 0, 0, 0, 0, 0, 0, 0, 0,
        0xa3, 19, .. "iothub-enqueuedtime"u8, 0x83, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// <summary>Bytes of the fixed part.</summary>
    public static int Length => Template.Length;

    /// <summary>How many of the map's elements (keys and values) the fixed part holds.</summary>
    public const int Elements = 8;

    private const int SizeAt = 4;
    private const int CountAt = 8;
    private const int SequenceAt = 12 + 23 + 1;
    private const int OffsetAt = SequenceAt + 8 + 14 + 2;
    private const int EnqueuedAt = OffsetAt + 20 + 21 + 1;
    private const int HubEnqueuedAt = EnqueuedAt + 8 + 21 + 1;

    /// <summary>Writes the fixed part; <see cref="Finish"/> must follow when the section is whole.</summary>
    public static void Begin(Span<byte> section) => Template.CopyTo(section);

    /// <summary>Fills in size and count of the map.</summary>
    /// <param name="section">The whole section from its descriptor on.</param>
    /// <param name="elements">All elements of the map, the fixed ones included.</param>
    public static void Finish(Span<byte> section, int elements)
    {
        BinaryPrimitives.WriteInt32BigEndian(section[SizeAt..], section.Length - CountAt);
        BinaryPrimitives.WriteInt32BigEndian(section[CountAt..], elements);
    }

    /// <summary>Stamps what the log assigns at append. The offset is the sequence number as 20 digits.</summary>
    /// <param name="message">A stored message that starts with this section.</param>
    /// <param name="sequence">Contiguous per stream and partition, from 0.</param>
    /// <param name="enqueuedTimeMs">Unix time in milliseconds.</param>
    public static void Patch(Span<byte> message, long sequence, long enqueuedTimeMs)
    {
        BinaryPrimitives.WriteInt64BigEndian(message[SequenceAt..], sequence);
        Utf8Formatter.TryFormat(sequence, message.Slice(OffsetAt, 20), out _, new('D', 20));
        BinaryPrimitives.WriteInt64BigEndian(message[EnqueuedAt..], enqueuedTimeMs);
        BinaryPrimitives.WriteInt64BigEndian(message[HubEnqueuedAt..], enqueuedTimeMs);
    }
}
