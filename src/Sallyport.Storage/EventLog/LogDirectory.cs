using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The small files beside the segments, and the making of segments. <c>format</c> says what directory this is, <c>head</c> holds the
/// checkpointed head in two slots that are written in turn. Little-endian; frozen by tests and by <c>docs/formats/segment-log.md</c>.
/// Used by one thread at a time.
/// <code>
/// format:                              head, each slot of 65536 bytes:
///  0  8B   magic "SPLOGDIR"             0  8B   magic "SPLOGHED"
///  8  u16  format version               8  u16  format version
/// 10  u16  partitions                  10  u16  reserved (0)
/// 12  u32  CRC32C of bytes 0 to 11     12  i32  entries
/// 16  32B  HMAC of bytes 0 to 15       16  i64  turn: counts up from 1, even ones are in the first slot
///                                      24  i64  last batch
/// entry:                               32  16B  its MAC
///  0  u16  stream                      48  i64  first batch kept
///  2  u16  partition                   56       entries
///  4  u32  reserved (0)                     32B  HMAC of all before
///  8  i64  next sequence
/// 16  i64  time of the newest record, Unix ms
/// </code>
/// </summary>
internal sealed class LogDirectory(ILogFiles files, byte[] macKey)
{
    private const string FormatName = "format";
    private const string HeadName = "head";
    private const string Making = ".making";
    private const int FormatLength = 48;
    private const int HeadFixedLength = 56;
    private const int HeadEntryLength = 24;
    private const int HeadSlotBytes = 64 * 1024;

    private static ReadOnlySpan<byte> FormatMagic => "SPLOGDIR"u8;

    private static ReadOnlySpan<byte> HeadMagic => "SPLOGHED"u8;

    public ILogFiles Files => files;

    /// <summary>The partition count of the log in this directory; null when there is none.</summary>
    /// <exception cref="LogFormatException">It is of a newer version, damaged, or was written with another key.</exception>
    public int? ReadFormat()
    {
        if (!files.List().Contains(FormatName))
            return null;

        using var file = files.Open(FormatName, create: false);
        Span<byte> format = stackalloc byte[FormatLength];
        var length = file.Read(format, 0);
        if (length >= 10 && format.StartsWith(FormatMagic))
            LogFormatException.ThrowIfNewer(FormatName, BinaryPrimitives.ReadUInt16LittleEndian(format[8..]), SegmentHeader.Version);
        if (length < FormatLength || !format.StartsWith(FormatMagic) || BinaryPrimitives.ReadUInt32LittleEndian(format[12..]) != BatchFormat.Crc32C(format[..12]))
            throw new LogFormatException($"event log file '{FormatName}' is damaged: restore it from a backup of this directory");

        // Without this, a wrong key would make the newest segment look like one torn tail.
        if (!CryptographicOperations.FixedTimeEquals(Hmac(format[..16]), format[16..]))
            throw new LogFormatException("the event log was written with another key: start with the key file that belongs to this data directory");
        return BinaryPrimitives.ReadUInt16LittleEndian(format[10..]);
    }

    public void WriteFormat(int partitions)
    {
        var format = new byte[FormatLength];
        FormatMagic.CopyTo(format);
        BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(8), SegmentHeader.Version);
        BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(10), (ushort)partitions);
        BinaryPrimitives.WriteUInt32LittleEndian(format.AsSpan(12), BatchFormat.Crc32C(format.AsSpan(0, 12)));
        Hmac(format.AsSpan(0, 16)).CopyTo(format.AsSpan(16));
        Replace(FormatName, format);
    }

    /// <summary>Makes room for the head, so that writing it never needs any.</summary>
    public void MakeHead()
    {
        if (!files.List().Contains(HeadName))
            Replace(HeadName, new byte[2 * HeadSlotBytes]);
    }

    /// <summary>The checkpointed head, the newer of two; null when none was written yet.</summary>
    /// <param name="missing">There is no valid one where one must be: it was damaged or taken away.</param>
    /// <exception cref="LogFormatException">It is of a newer version.</exception>
    public LogHead? ReadHead(out bool missing)
    {
        missing = !files.List().Contains(HeadName);
        if (missing)
            return null;

        using var file = files.Open(HeadName, create: false);
        var slot = new byte[HeadSlotBytes];
        LogHead? newest = null;
        foreach (var at in new[] { 0, HeadSlotBytes })
        {
            if (file.Read(slot, at) < HeadFixedLength || !slot.AsSpan().ContainsAnyExcept((byte)0))
                continue;

            missing = true;
            if (TryDecodeHead(slot, out var head) && head.Turn > (newest?.Turn ?? 0))
                newest = head;
        }

        missing &= newest is null;
        return newest;
    }

    /// <summary>Overwrites the older of the two, in place: a crash leaves the other one.</summary>
    public void WriteHead(LogHead head)
    {
        var bytes = new byte[HeadFixedLength + head.Partitions.Count * HeadEntryLength + HMACSHA256.HashSizeInBytes];
        HeadMagic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), SegmentHeader.Version);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(12), head.Partitions.Count);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(16), head.Turn);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(24), head.LastBatch);
        head.LastMac.CopyTo(bytes.AsSpan(32));
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(48), head.FirstBatch);
        for (var i = 0; i < head.Partitions.Count; i++)
        {
            var at = bytes.AsSpan(HeadFixedLength + i * HeadEntryLength);
            BinaryPrimitives.WriteUInt16LittleEndian(at, head.Partitions[i].Stream.Number);
            BinaryPrimitives.WriteUInt16LittleEndian(at[2..], (ushort)head.Partitions[i].Partition);
            BinaryPrimitives.WriteInt64LittleEndian(at[8..], head.Partitions[i].Next);
            BinaryPrimitives.WriteInt64LittleEndian(at[16..], head.Partitions[i].LastTimeMs);
        }

        var hmacAt = bytes.Length - HMACSHA256.HashSizeInBytes;
        Hmac(bytes.AsSpan(0, hmacAt)).CopyTo(bytes.AsSpan(hmacAt));
        using var file = files.Open(HeadName, create: false);
        file.Write(bytes, head.Turn % 2 * HeadSlotBytes);
        file.Sync();
    }

    private bool TryDecodeHead(ReadOnlySpan<byte> slot, out LogHead head)
    {
        head = LogHead.None;
        if (!slot.StartsWith(HeadMagic))
            return false;

        LogFormatException.ThrowIfNewer(HeadName, BinaryPrimitives.ReadUInt16LittleEndian(slot[8..]), SegmentHeader.Version);
        var count = BinaryPrimitives.ReadInt32LittleEndian(slot[12..]);
        if (count is < 0 or > (HeadSlotBytes - HeadFixedLength - HMACSHA256.HashSizeInBytes) / HeadEntryLength)
            return false;

        var hmacAt = HeadFixedLength + count * HeadEntryLength;
        if (!CryptographicOperations.FixedTimeEquals(Hmac(slot[..hmacAt]), slot.Slice(hmacAt, HMACSHA256.HashSizeInBytes)))
            return false;

        var partitions = new HeadEntry[count];
        for (var i = 0; i < count; i++)
        {
            var at = slot[(HeadFixedLength + i * HeadEntryLength)..];
            partitions[i] = new HeadEntry(
                new StreamId(BinaryPrimitives.ReadUInt16LittleEndian(at)),
                BinaryPrimitives.ReadUInt16LittleEndian(at[2..]),
                BinaryPrimitives.ReadInt64LittleEndian(at[8..]),
                BinaryPrimitives.ReadInt64LittleEndian(at[16..]));
        }

        head = new LogHead(
            BinaryPrimitives.ReadInt64LittleEndian(slot[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(slot[24..]),
            slot.Slice(32, BatchFormat.MacLength).ToArray(),
            BinaryPrimitives.ReadInt64LittleEndian(slot[48..]),
            partitions);
        return true;
    }

    /// <summary>All segment files, the oldest first.</summary>
    public IEnumerable<ulong> Generations() =>
        files.List().Select(name => SegmentHeader.TryParseFileName(name, out var generation) ? generation : 0).Where(generation => generation != 0).Order();

    public LogSegment OpenSegment(ulong generation) => new(generation, files.Open(SegmentHeader.FileName(generation), create: false));

    /// <summary>Makes a segment, all zeroes, on disk when it returns: later writes to it only overwrite, so they sync fast and cannot run out of space.</summary>
    /// <exception cref="IOException">No room; nothing is left behind then.</exception>
    public LogSegment MakeSegment(ulong generation, int partitions, int segmentBytes)
    {
        var making = SegmentHeader.FileName(generation) + Making;
        var file = files.Open(making, create: true);
        return Name(generation, making, file, partitions, segmentBytes, () => file.Fill(segmentBytes));
    }

    /// <summary>Makes a segment of a dropped one: cheaper than zeroes, and the generation tells old batches from new ones.</summary>
    /// <exception cref="IOException">The disk failed; both are gone then.</exception>
    public LogSegment Recycle(LogSegment dropped, ulong generation, int partitions, int segmentBytes)
    {
        var making = SegmentHeader.FileName(generation) + Making;
        return Name(generation, making, dropped.File, partitions, segmentBytes, () =>
        {
            // The old name must be gone for good before the old header is: a crash in between must not leave a segment with a stranger's name.
            files.Rename(dropped.Name, making);
            files.SyncDirectory();
        }, dropped.Name);
    }

    public void DeleteSegment(LogSegment segment)
    {
        segment.File.Dispose();
        files.Delete(segment.Name);
    }

    /// <summary>Deletes what a crash left half made.</summary>
    public void DeleteLeftovers()
    {
        foreach (var name in files.List().Where(name => name.EndsWith(Making, StringComparison.Ordinal)))
            files.Delete(name);
    }

    private LogSegment Name(ulong generation, string making, ILogFile file, int partitions, int segmentBytes, Action prepare, string? droppedName = null)
    {
        var name = SegmentHeader.FileName(generation);
        try
        {
            prepare();
            file.Write(SegmentHeader.Encode(partitions, segmentBytes, generation), 0);
            file.Sync();
            files.Rename(making, name);
            files.SyncDirectory();
            return new LogSegment(generation, file);
        }
        catch
        {
            file.Dispose();
            files.Delete(making);
            files.Delete(name);
            if (droppedName is not null)
                files.Delete(droppedName);
            throw;
        }
    }

    private void Replace(string name, byte[] bytes)
    {
        var making = name + Making;
        if (files.List().Contains(making))
            files.Delete(making);
        using (var file = files.Open(making, create: true))
        {
            file.Write(bytes, 0);
            file.Sync();
        }

        files.Rename(making, name);
        files.SyncDirectory();
    }

    private byte[] Hmac(ReadOnlySpan<byte> bytes)
    {
        Span<byte> key = stackalloc byte[32];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, macKey, key, [], "sallyport segment log: directory"u8);
        return HMACSHA256.HashData(key, bytes);
    }
}

/// <summary>
/// From where to where the log was known to reach when this was written: what is missing in between was taken away. It also keeps
/// sequence numbers and times of stream partitions whose records were all dropped.
/// </summary>
/// <param name="FirstBatch">The oldest that retention had kept; one above the last when it had kept none.</param>
internal sealed record LogHead(long Turn, long LastBatch, byte[] LastMac, long FirstBatch, IReadOnlyList<HeadEntry> Partitions)
{
    public static readonly LogHead None = new(0, 0, [], 0, []);

    /// <summary>How many batches it knows of that a log up to <paramref name="lastBatch"/> does not have.</summary>
    public long MissingAfter(long lastBatch) => Math.Max(0, LastBatch - Math.Max(lastBatch, FirstBatch - 1));
}

/// <param name="Next">What the next append gets.</param>
internal readonly record struct HeadEntry(StreamId Stream, int Partition, long Next, long LastTimeMs);
