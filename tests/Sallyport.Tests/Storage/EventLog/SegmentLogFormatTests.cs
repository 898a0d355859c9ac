using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>
/// Freezes what is on disk: each layout is built here by hand, field after field as <c>docs/formats/segment-log.md</c> lists them. When one
/// of these fails, old logs would no longer open: raise the version and migrate instead.
/// </summary>
public sealed class SegmentLogFormatTests
{
    private static readonly byte[] Key = [.. Enumerable.Range(1, 32).Select(i => (byte)i)];
    private static readonly byte[] Salt = [.. Enumerable.Range(100, 16).Select(i => (byte)i)];
    private static readonly byte[] Mac = [.. Enumerable.Range(200, 16).Select(i => (byte)i)];

    [Theory]
    [InlineData("a", 0x82a2a958a9bece5bUL, 3, 3, 27)]
    [InlineData("d1", 0x47374fb2a83ef376UL, 2, 6, 22)]
    [InlineData("device-1", 0xe340ac1c4190ad44UL, 0, 4, 4)]
    [InlineData("device-2", 0x026bdaca6576ad4eUL, 2, 6, 14)]
    [InlineData("Thermostat-0042", 0x13f4a12816bd8b49UL, 1, 1, 9)]
    [InlineData("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0xf49aa9bdd01bd993UL, 3, 3, 19)]
    public void PartitionOf_Vector_IsFrozen(string deviceId, ulong hash, int of4, int of8, int of32)
    {
        Assert.Equal(hash, PartitionOf.Hash(Encoding.UTF8.GetBytes(deviceId)));
        Assert.Equal((of4, of8, of32), (PartitionOf.Device(deviceId, 4), PartitionOf.Device(deviceId, 8), PartitionOf.Device(deviceId, 32)));
    }

    [Fact]
    public void Crc32C_CheckValue_IsThatOfTheStandard() =>
        Assert.Equal(0xe3069283u, BatchFormat.Crc32C("123456789"u8));

    [Fact]
    public void Numbers_ThatAreStored_AreFrozen()
    {
        Assert.Equal([0, 1, 2], new[] { StreamId.Events, StreamId.Routed, StreamId.Changes }.Select(stream => (int)stream.Number));
        Assert.Equal(
            ["Telemetry=0", "TwinChange=1", "DeviceLifecycle=2", "DeviceConnectionState=3", "JobLifecycle=4", "Digest=5"],
            Enum.GetValues<SourceKind>().Select(kind => $"{kind}={(int)kind}"));
        Assert.Equal(1, SegmentHeader.Version);
    }

    [Fact]
    public void Record_Layout_IsFrozen()
    {
        var id = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");
        var batch = new RecordBatch();
        batch.Begin(new StreamId(2), 3, SourceKind.TwinChange, 0x8000000000000001, id);
        batch.Advance(5);
        batch.End();
        RecordHeader.Assign(batch.Written, 7, 1_700_000_000_123);

        var expected = Layout(w =>
        {
            w.Write(61);
            w.Write((ushort)2);
            w.Write((ushort)3);
            w.Write((byte)1);
            w.Write((byte)0);
            w.Write((ushort)0);
            w.Write(0);
            w.Write(7L);
            w.Write(1_700_000_000_123L);
            w.Write(0x8000000000000001);
            w.Write(id.ToByteArray());
        });
        Assert.Equal(expected, batch.Written[..RecordHeader.Length].ToArray());
    }

    [Fact]
    public void Batch_Layout_IsFrozen()
    {
        var batch = new byte[BatchFormat.HeaderLength + 11];
        "the records"u8.CopyTo(batch.AsSpan(BatchFormat.HeaderLength));
        using (var mac = new BatchMac(Key, Salt))
            BatchFormat.Seal(batch, 2, 42, 0x0000000700abcdef, Mac, mac);

        var maced = Layout(w =>
        {
            w.Write(107);
            w.Write(2);
            w.Write(42L);
            w.Write(0x0000000700abcdefUL);
            w.Write(Mac);
            w.Write(Salt);
            w.Write(new byte[16]);
            w.Write("the records"u8);
        });
        var tag = new byte[16];
        using (var gcm = new AesGcm(HKDF.DeriveKey(HashAlgorithmName.SHA256, Key, 32, Salt, "sallyport segment log: batch"u8.ToArray()), 16))
            gcm.Encrypt(new byte[] { 42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, Array.Empty<byte>(), Array.Empty<byte>(), tag, maced);
        byte[] checkedBytes = [.. tag, .. maced];
        byte[] expected = [.. "SPB1"u8, .. UInt32(BatchFormat.Crc32C(checkedBytes)), .. checkedBytes];
        Assert.Equal(expected, batch);
    }

    [Fact]
    public void SegmentHeader_Layout_IsFrozen()
    {
        var expected = Layout(w =>
        {
            w.Write("SPSEGLOG"u8);
            w.Write((ushort)1);
            w.Write((ushort)4);
            w.Write(65536);
            w.Write(0x0000000700abcdefUL);
            w.Write(0);
        });
        byte[] header = [.. expected, .. UInt32(BatchFormat.Crc32C(expected)), .. new byte[4096 - 32]];
        Assert.Equal(header, SegmentHeader.Encode(4, 65536, 0x0000000700abcdef));
        Assert.Equal("0000000700abcdef.seg", SegmentHeader.FileName(0x0000000700abcdef));
    }

    [Fact]
    public void Footer_Layout_IsFrozen()
    {
        using var file = new FaultFiles(new Random(1)).Open("segment", create: true);
        var segment = new LogSegment(0x0000000700abcdef, file) { FirstBatch = 40, LastBatch = 42, LastMac = Mac, End = 90_000 };
        segment.Add(new StreamId(2), 1, 5, 6, 1000, 1000, 4096, 500);
        segment.Add(new StreamId(0), 3, 10, 20, 2000, 2001, 4600, 300);
        segment.Add(new StreamId(0), 3, 20, 30, 2002, 2003, 80_000, 400);

        var expected = Layout(w =>
        {
            w.Write((ushort)0);
            w.Write((ushort)3);
            w.Write(2);
            foreach (var number in new[] { 10L, 30L, 2000L, 2003L })
                w.Write(number);
            w.Write((ushort)2);
            w.Write((ushort)1);
            w.Write(1);
            foreach (var number in new[] { 5L, 6L, 1000L, 1000L })
                w.Write(number);

            foreach (var (sequence, timeMs, position, bytes) in new[] { (10L, 2000L, 4600, 300), (20L, 2002L, 80_000, 400), (5L, 1000L, 4096, 500) })
            {
                w.Write(sequence);
                w.Write(timeMs);
                w.Write(position);
                w.Write(bytes);
            }

            w.Write(40L);
            w.Write(42L);
            w.Write(Mac);
            w.Write(0x0000000700abcdefUL);
            w.Write(2);
            w.Write(2 * 40 + 3 * 24 + 64);
            w.Write(90_000);
            w.Write(0);
        });
        byte[] footer = [.. expected, .. UInt32(BatchFormat.Crc32C(expected)), .. "SPF1"u8];
        Assert.Equal(footer, SegmentFooter.Encode(segment));
    }

    [Fact]
    public void DirectoryFiles_Layout_IsFrozen()
    {
        var files = new FaultFiles(new Random(1));
        var directory = new LogDirectory(files, Key);
        directory.WriteFormat(4);
        directory.MakeHead();
        directory.WriteHead(new LogHead(9, 42, Mac, 7, [new HeadEntry(new StreamId(1), 3, 99, 1234)]));

        var hmacKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, Key, 32, [], "sallyport segment log: directory"u8.ToArray());
        var format = Layout(w =>
        {
            w.Write("SPLOGDIR"u8);
            w.Write((ushort)1);
            w.Write((ushort)4);
        });
        format = [.. format, .. UInt32(BatchFormat.Crc32C(format))];
        Assert.Equal([.. format, .. HMACSHA256.HashData(hmacKey, format)], files.Bytes("format"));

        var head = Layout(w =>
        {
            w.Write("SPLOGHED"u8);
            w.Write((ushort)1);
            w.Write((ushort)0);
            w.Write(1);
            w.Write(9L);
            w.Write(42L);
            w.Write(Mac);
            w.Write(7L);
            w.Write((ushort)1);
            w.Write((ushort)3);
            w.Write(0);
            w.Write(99L);
            w.Write(1234L);
        });
        head = [.. head, .. HMACSHA256.HashData(hmacKey, head)];
        Assert.Equal([.. new byte[65536], .. head, .. new byte[65536 - head.Length]], files.Bytes("head"));
    }

    private static byte[] Layout(Action<BinaryWriter> write)
    {
        using var bytes = new MemoryStream();
        using var writer = new BinaryWriter(bytes);
        write(writer);
        return bytes.ToArray();
    }

    private static byte[] UInt32(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }
}
