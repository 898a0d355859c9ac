using System.Buffers.Binary;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The fixed header of a stored record, little-endian; the message (AMQP sections) follows. Frozen by tests and by
/// <c>docs/formats/segment-log.md</c>.
/// <code>
///  0  i32  length of header and message
///  4  u16  stream
///  6  u16  partition
///  8  u8   source kind
///  9  u8   flags (0)
/// 10  u16  reserved (0)
/// 12  i32  reserved (0)
/// 16  i64  sequence number, assigned at append
/// 24  i64  enqueued time, Unix ms, assigned at append
/// 32  u64  endpoint set
/// 40  16B  idempotency id (zero: none)
/// </code>
/// </summary>
public static class RecordHeader
{
    public const int Length = 56;

    public static void Write(Span<byte> header, StreamId stream, int partition, SourceKind source, ulong endpoints, Guid idempotencyId)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], stream.Number);
        BinaryPrimitives.WriteUInt16LittleEndian(header[6..], (ushort)partition);
        header[8] = (byte)source;
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], endpoints);
        idempotencyId.TryWriteBytes(header[40..]);
    }

    /// <summary>Before it is appended: to another stream, which no endpoint takes.</summary>
    public static void Redirect(Span<byte> header, StreamId stream)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], stream.Number);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], 0);
    }

    public static int TotalLength(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt32LittleEndian(record);

    public static StreamId Stream(ReadOnlySpan<byte> record) => new(BinaryPrimitives.ReadUInt16LittleEndian(record[4..]));

    public static int Partition(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadUInt16LittleEndian(record[6..]);

    public static SourceKind Source(ReadOnlySpan<byte> record) => (SourceKind)record[8];

    public static long Sequence(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64LittleEndian(record[16..]);

    public static long EnqueuedTimeMs(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt64LittleEndian(record[24..]);

    public static ulong Endpoints(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadUInt64LittleEndian(record[32..]);

    public static Guid IdempotencyId(ReadOnlySpan<byte> record) => new(record.Slice(40, 16));

    public static void Assign(Span<byte> record, long sequence, long enqueuedTimeMs)
    {
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], sequence);
        BinaryPrimitives.WriteInt64LittleEndian(record[24..], enqueuedTimeMs);
    }
}
