using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The first page of a segment file, little-endian; batches begin after it. Frozen by tests and by
/// <c>docs/formats/segment-log.md</c>.
/// <code>
///  0  8B   magic "SPSEGLOG"
///  8  u16  format version
/// 10  u16  partitions
/// 12  i32  segment bytes
/// 16  u64  generation
/// 24  i32  reserved (0)
/// 28  u32  CRC32C of bytes 0 to 27
/// </code>
/// </summary>
internal static class SegmentHeader
{
    /// <summary>A whole page, so that no write of a batch touches the header.</summary>
    public const int Length = 4096;

    public const ushort Version = 1;

    public const string Extension = ".seg";

    private const int Used = 32;

    private static ReadOnlySpan<byte> Magic => "SPSEGLOG"u8;

    public static byte[] Encode(int partitions, int segmentBytes, ulong generation)
    {
        var header = new byte[Length];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(8), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(header.AsSpan(10), (ushort)partitions);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), segmentBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(header.AsSpan(16), generation);
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(Used - 4), BatchFormat.Crc32C(header.AsSpan(0, Used - 4)));
        return header;
    }

    /// <summary>Whether the file is the segment that its name says.</summary>
    /// <exception cref="LogFormatException">It is of a newer version.</exception>
    public static bool IsWhole(ILogFile file, ulong generation)
    {
        Span<byte> header = stackalloc byte[Used];
        if (file.Read(header, 0) < Used || !header.StartsWith(Magic))
            return false;

        LogFormatException.ThrowIfNewer(FileName(generation), BinaryPrimitives.ReadUInt16LittleEndian(header[8..]), Version);
        return BinaryPrimitives.ReadUInt32LittleEndian(header[(Used - 4)..]) == BatchFormat.Crc32C(header[..(Used - 4)])
            && BinaryPrimitives.ReadUInt64LittleEndian(header[16..]) == generation;
    }

    public static ulong GenerationAfter(ulong generation) => ((generation >> 32) + 1) << 32 | (uint)RandomNumberGenerator.GetInt32(int.MaxValue);

    public static string FileName(ulong generation) => generation.ToString("x16", CultureInfo.InvariantCulture) + Extension;

    public static bool TryParseFileName(string name, out ulong generation)
    {
        generation = 0;
        return name.EndsWith(Extension, StringComparison.Ordinal)
            && name.Length == 16 + Extension.Length
            && ulong.TryParse(name.AsSpan(0, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out generation);
    }
}

/// <summary>The log's directory cannot be opened as it is; the message says why and what to do.</summary>
public sealed class LogFormatException(string message) : UnusableDataException(message)
{
    internal static void ThrowIfNewer(string file, int version, int known)
    {
        if (version > known)
            throw new LogFormatException($"event log file '{file}' has format version {version}; this version of sallyport knows up to {known}: use the one that wrote it, or a newer one");
    }
}
