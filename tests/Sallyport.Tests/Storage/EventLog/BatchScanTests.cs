using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class BatchScanTests
{
    private const ulong Generation = 0x0000000100abcdef;

    /// <summary>Around the edge of the scan's window of 256 KiB, which begins at the first position.</summary>
    [Theory]
    [InlineData(SegmentHeader.Length + 8)]
    [InlineData(SegmentHeader.Length + 262_144 - 96)]
    [InlineData(SegmentHeader.Length + 262_144 - 8)]
    [InlineData(SegmentHeader.Length + 262_144)]
    [InlineData(400_000)]
    public void Resync_ValidBatchBehindRubbish_IsFoundWhereverItIs(int position)
    {
        using var macs = new BatchMacCheck(new byte[32]);
        using var file = Rubbish();
        file.Write(Batch(5), position);
        var scan = new BatchScan(file, Generation, file.Length, macs);

        Assert.True(scan.TryResync(5));
        Assert.Equal(position, scan.Position);
    }

    [Fact]
    public void Resync_BatchesThatOnlyLookValid_AreNotTaken()
    {
        using var macs = new BatchMacCheck(new byte[32]);
        using var file = Rubbish();
        var forged = Batch(5);
        forged[^1] ^= 1;
        BitConverter.TryWriteBytes(forged.AsSpan(4), BatchFormat.Crc32C(forged.AsSpan(8)));
        file.Write(forged, 8192);
        file.Write(Batch(3), 16384);
        var stale = Batch(6);
        stale[44] ^= 1;
        file.Write(stale, 32768);
        var scan = new BatchScan(file, Generation, file.Length, macs);

        Assert.False(scan.TryResync(5));
        Assert.Equal(SegmentHeader.Length, scan.Position);
    }

    private static byte[] Batch(long number)
    {
        var batch = new byte[200];
        using var mac = BatchMac.WithNewSalt(new byte[32]);
        BatchFormat.Seal(batch, 1, number, Generation, new byte[16], mac);
        return batch;
    }

    private static ILogFile Rubbish()
    {
        var file = new FaultFiles(new Random(1)).Open("segment", create: true);
        var bytes = new byte[512 * 1024];
        new Random(2).NextBytes(bytes);
        for (var at = 0; at + 4 < bytes.Length; at += 1000)
            BatchFormat.MagicBytes.CopyTo(bytes.AsSpan(at));
        file.Write(bytes, 0);
        return file;
    }
}
