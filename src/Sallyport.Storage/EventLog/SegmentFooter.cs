using System.Buffers.Binary;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// What ends a sealed segment file: the extent of each stream partition, the sparse index, a trailer. Little-endian.
/// It can be rebuilt from the batches. Frozen by tests and by <c>docs/formats/segment-log.md</c>.
/// <code>
/// extents, each:              entries, in the order of extents, each:
///  0  u16  stream              0  i64  sequence number
///  2  u16  partition           8  i64  enqueued time, Unix ms
///  4  i32  its index entries  16  u32  position of the batch
///  8  i64  first sequence     20  u32  length of the batch
/// 16  i64  next sequence
/// 24  i64  first time         trailer:
/// 32  i64  last time           0  i64  first batch     40  i32  extents
///                              8  i64  last batch      44  i32  footer length, trailer included
///                             16  16B  last MAC        48  u32  end of the batches
///                             32  u64  generation      52  u32  reserved (0)
///                                                      56  u32  CRC32C of the footer up to here
///                                                      60  u32  magic "SPF1"
/// </code>
/// </summary>
internal static class SegmentFooter
{
    private const int ExtentLength = 40;
    private const int EntryLength = 24;
    private const int TrailerLength = 64;
    private const uint Magic = 0x31465053;

    /// <summary>What a first read takes from the end of the file: nearly always the whole footer.</summary>
    private const int UsualLength = 32 * 1024;

    public static int Bytes(int extents, int entries) => extents * ExtentLength + entries * EntryLength + TrailerLength;

    public static byte[] Encode(LogSegment segment)
    {
        var footer = new byte[Bytes(segment.Extents.Count, segment.IndexEntries)];
        var extentAt = footer.AsSpan();
        var entryAt = footer.AsSpan(segment.Extents.Count * ExtentLength);
        foreach (var extent in segment.Extents)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(extentAt, extent.Stream.Number);
            BinaryPrimitives.WriteUInt16LittleEndian(extentAt[2..], (ushort)extent.Partition);
            BinaryPrimitives.WriteInt32LittleEndian(extentAt[4..], extent.Entries!.Count);
            BinaryPrimitives.WriteInt64LittleEndian(extentAt[8..], extent.First);
            BinaryPrimitives.WriteInt64LittleEndian(extentAt[16..], extent.Next);
            BinaryPrimitives.WriteInt64LittleEndian(extentAt[24..], extent.FirstTimeMs);
            BinaryPrimitives.WriteInt64LittleEndian(extentAt[32..], extent.LastTimeMs);
            extentAt = extentAt[ExtentLength..];
            foreach (var entry in extent.Entries)
            {
                BinaryPrimitives.WriteInt64LittleEndian(entryAt, entry.Sequence);
                BinaryPrimitives.WriteInt64LittleEndian(entryAt[8..], entry.TimeMs);
                BinaryPrimitives.WriteUInt32LittleEndian(entryAt[16..], entry.Position);
                BinaryPrimitives.WriteUInt32LittleEndian(entryAt[20..], entry.BatchBytes);
                entryAt = entryAt[EntryLength..];
            }
        }

        var trailer = footer.AsSpan(footer.Length - TrailerLength);
        BinaryPrimitives.WriteInt64LittleEndian(trailer, segment.FirstBatch);
        BinaryPrimitives.WriteInt64LittleEndian(trailer[8..], segment.LastBatch);
        segment.LastMac.CopyTo(trailer[16..]);
        BinaryPrimitives.WriteUInt64LittleEndian(trailer[32..], segment.Generation);
        BinaryPrimitives.WriteInt32LittleEndian(trailer[40..], segment.Extents.Count);
        BinaryPrimitives.WriteInt32LittleEndian(trailer[44..], footer.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[48..], (uint)segment.End);
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[56..], BatchFormat.Crc32C(footer.AsSpan(0, footer.Length - 8)));
        BinaryPrimitives.WriteUInt32LittleEndian(trailer[60..], Magic);
        return footer;
    }

    /// <summary>Reads the footer of a segment into it, without its index; false when there is no valid one.</summary>
    public static bool TryLoad(LogSegment segment)
    {
        var fileLength = segment.File.Length;
        var footer = new byte[Math.Min(fileLength, UsualLength)];
        if (footer.Length < TrailerLength || segment.File.Read(footer, fileLength - footer.Length) < footer.Length)
            return false;

        var trailer = footer.AsSpan(footer.Length - TrailerLength);
        var length = BinaryPrimitives.ReadInt32LittleEndian(trailer[44..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(trailer[60..]) != Magic
            || BinaryPrimitives.ReadUInt64LittleEndian(trailer[32..]) != segment.Generation
            || length < TrailerLength || length > fileLength - SegmentHeader.Length)
        {
            return false;
        }

        if (length > footer.Length)
        {
            footer = new byte[length];
            if (segment.File.Read(footer, fileLength - length) < length)
                return false;
        }

        if (!TryDecode(footer.AsSpan(footer.Length - length), out var extents))
            return false;

        trailer = footer.AsSpan(footer.Length - TrailerLength);
        foreach (var extent in extents)
        {
            extent.Entries = null;
            segment.LastTimeMs = Math.Max(segment.LastTimeMs, extent.LastTimeMs);
        }

        segment.Extents = extents;
        segment.FirstBatch = BinaryPrimitives.ReadInt64LittleEndian(trailer);
        segment.LastBatch = BinaryPrimitives.ReadInt64LittleEndian(trailer[8..]);
        segment.LastMac = trailer.Slice(16, BatchFormat.MacLength).ToArray();
        segment.End = BinaryPrimitives.ReadUInt32LittleEndian(trailer[48..]);
        segment.FooterLength = length;
        segment.Sealed = true;
        return true;
    }

    /// <summary>One read: the index of a stream partition; null when the footer can no longer be read.</summary>
    public static List<IndexEntry>? LoadEntries(LogSegment segment, StreamId stream, int partition)
    {
        var footer = new byte[segment.FooterLength];
        if (segment.File.Read(footer, segment.File.Length - footer.Length) < footer.Length
            || !TryDecode(footer, out var extents))
        {
            return null;
        }

        return extents.Find(extent => extent.Stream == stream && extent.Partition == partition)?.Entries;
    }

    private static bool TryDecode(ReadOnlySpan<byte> footer, out List<SegmentExtent> extents)
    {
        extents = [];
        var trailer = footer[^TrailerLength..];
        if (BinaryPrimitives.ReadUInt32LittleEndian(trailer[56..]) != BatchFormat.Crc32C(footer[..^8]))
            return false;

        var count = BinaryPrimitives.ReadInt32LittleEndian(trailer[40..]);
        var entryAt = footer[(count * ExtentLength)..];
        for (var i = 0; i < count; i++)
        {
            var at = footer[(i * ExtentLength)..];
            var entries = new List<IndexEntry>(BinaryPrimitives.ReadInt32LittleEndian(at[4..]));
            for (var j = entries.Capacity; j > 0; j--)
            {
                entries.Add(new IndexEntry(
                    BinaryPrimitives.ReadInt64LittleEndian(entryAt),
                    BinaryPrimitives.ReadInt64LittleEndian(entryAt[8..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(entryAt[16..]),
                    BinaryPrimitives.ReadUInt32LittleEndian(entryAt[20..])));
                entryAt = entryAt[EntryLength..];
            }

            extents.Add(new SegmentExtent
            {
                Stream = new StreamId(BinaryPrimitives.ReadUInt16LittleEndian(at)),
                Partition = BinaryPrimitives.ReadUInt16LittleEndian(at[2..]),
                First = BinaryPrimitives.ReadInt64LittleEndian(at[8..]),
                Next = BinaryPrimitives.ReadInt64LittleEndian(at[16..]),
                FirstTimeMs = BinaryPrimitives.ReadInt64LittleEndian(at[24..]),
                LastTimeMs = BinaryPrimitives.ReadInt64LittleEndian(at[32..]),
                Entries = entries,
            });
        }

        return true;
    }
}
