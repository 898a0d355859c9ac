using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The header of a batch, little-endian; its records follow, then zeroes up to a multiple of 8. One batch is one commit.
/// Frozen by tests and by <c>docs/formats/segment-log.md</c>.
/// <code>
///  0  u32  magic "SPB1"
///  4  u32  CRC32C of bytes 8 to the end
///  8  16B  MAC of bytes 24 to the end
/// 24  i32  length: header and records, without padding
/// 28  i32  records
/// 32  i64  batch number, contiguous from 1
/// 40  u64  generation of the segment it is in
/// 48  16B  MAC of the batch before; zero in the first
/// 64  16B  salt of the MAC key: random at each open
/// 80  16B  reserved (0)
/// </code>
/// </summary>
internal static class BatchFormat
{
    public const int HeaderLength = 96;
    public const int MacLength = 16;
    public const int MacedFrom = 24;
    public const int Alignment = 8;
    public const uint Magic = 0x31425053;

    private const int CheckedFrom = 8;

    /// <summary><see cref="Magic"/> as it is stored.</summary>
    public static ReadOnlySpan<byte> MagicBytes => "SPB1"u8;

    public static int Align(int length) => (length + Alignment - 1) & ~(Alignment - 1);

    /// <summary>Fills in the header of a batch whose records are in place.</summary>
    public static void Seal(Span<byte> batch, int records, long number, ulong generation, ReadOnlySpan<byte> macBefore, BatchMac mac)
    {
        batch[..HeaderLength].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(batch, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(batch[24..], batch.Length);
        BinaryPrimitives.WriteInt32LittleEndian(batch[28..], records);
        BinaryPrimitives.WriteInt64LittleEndian(batch[32..], number);
        BinaryPrimitives.WriteUInt64LittleEndian(batch[40..], generation);
        macBefore.CopyTo(batch[48..]);
        mac.Salt.CopyTo(batch[64..]);
        mac.Compute(batch, batch.Slice(8, MacLength));
        BinaryPrimitives.WriteUInt32LittleEndian(batch[4..], Crc32C(batch[CheckedFrom..]));
    }

    /// <summary>Whether a batch of this segment may begin here, judged by its first <see cref="HeaderLength"/> bytes.</summary>
    public static bool LooksLikeOne(ReadOnlySpan<byte> header, ulong generation, long room) =>
        BinaryPrimitives.ReadUInt32LittleEndian(header) == Magic
        && Generation(header) == generation
        && Length(header) > HeaderLength && Length(header) <= room
        && Records(header) > 0;

    public static bool CrcMatches(ReadOnlySpan<byte> batch) =>
        BinaryPrimitives.ReadUInt32LittleEndian(batch[4..]) == Crc32C(batch[CheckedFrom..]);

    public static int Length(ReadOnlySpan<byte> batch) => BinaryPrimitives.ReadInt32LittleEndian(batch[24..]);

    public static int Records(ReadOnlySpan<byte> batch) => BinaryPrimitives.ReadInt32LittleEndian(batch[28..]);

    public static long Number(ReadOnlySpan<byte> batch) => BinaryPrimitives.ReadInt64LittleEndian(batch[32..]);

    public static ulong Generation(ReadOnlySpan<byte> batch) => BinaryPrimitives.ReadUInt64LittleEndian(batch[40..]);

    public static ReadOnlySpan<byte> Mac(ReadOnlySpan<byte> batch) => batch.Slice(8, MacLength);

    public static ReadOnlySpan<byte> MacBefore(ReadOnlySpan<byte> batch) => batch.Slice(48, MacLength);

    public static ReadOnlySpan<byte> Salt(ReadOnlySpan<byte> batch) => batch.Slice(64, BatchMac.SaltLength);

    /// <summary>CRC-32C (Castagnoli), as in RFC 3720 B.4.</summary>
    public static uint Crc32C(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        var words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (var word in words)
            crc = BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (var b in bytes[(words.Length * sizeof(ulong))..])
            crc = BitOperations.Crc32C(crc, b);
        return ~crc;
    }
}
