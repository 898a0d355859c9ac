using System.Globalization;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogReadingTests
{
    private readonly LogOnFaultyDisk _disk = new();

    [Fact]
    public async Task Cursor_ManySegments_ReadsAcrossThemLiveAndAfterReopening()
    {
        var log = _disk.Open();
        using var live = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var total = 0;
        var read = 0;
        for (var i = 0; i < 10; i++)
        {
            total += LogOnFaultyDisk.Fill(log, LogOnFaultyDisk.SegmentBytes / 2);
            read += (await live.DrainAsync()).Count;
        }

        Assert.True(_disk.Segments.Length > 4);
        Assert.Equal(total, read);
        Assert.Equal(total, (await _disk.Open().TextsAsync(0, LogStart.Earliest)).Length);
    }

    [Fact]
    public async Task Seek_InASealedSegment_CostsTwoReads()
    {
        _disk.Options = _disk.Options with { SegmentBytes = 1024 * 1024 };
        var log = _disk.Open();
        log.KeepUp();
        for (var i = 0; i < 1500; i++)
        {
            _disk.Time.Advance(TimeSpan.FromSeconds(1));
            LogOnFaultyDisk.Commit(log, Records.Batch(i % 2, i + ":" + new string('x', 700)));
            if (i % 100 == 0)
                log.KeepUp();
        }

        log.KeepUp();
        Assert.True(_disk.Segments.Length > 1);
        var began = _disk.Time.GetUtcNow().AddSeconds(-1499);
        foreach (var i in new[] { 2, 400, 902, 1100 })
        {
            foreach (var start in new[] { LogStart.FromSequence(i / 2), LogStart.FromTime(began.AddSeconds(i)) })
            {
                var reads = _disk.Files.Reads;
                using var cursor = log.OpenCursor(StreamId.Events, 0, start);
                var page = new LogPage();
                await cursor.ReadAsync(page, CancellationToken.None);

                Assert.StartsWith(i.ToString(CultureInfo.InvariantCulture) + ":", page.Records[0].Text(), StringComparison.Ordinal);
                Assert.InRange(_disk.Files.Reads - reads, 1, 2);
            }
        }
    }

    [Fact]
    public async Task Cursor_SparseStreamInABusyLog_DoesNotReadWhatIsBetween()
    {
        _disk.Options = _disk.Options with { SegmentBytes = 2 * 1024 * 1024 };
        var log = _disk.Open();
        log.KeepUp();
        using var cursor = log.OpenCursor(StreamId.Changes, 0, LogStart.Earliest);
        var page = new LogPage();
        LogOnFaultyDisk.Commit(log, Records.Batch(StreamId.Changes, 0, "first"));
        await cursor.ReadAsync(page, CancellationToken.None);
        LogOnFaultyDisk.Fill(log, 1024 * 1024);
        LogOnFaultyDisk.Commit(log, Records.Batch(StreamId.Changes, 0, "second"));
        var reads = _disk.Files.Reads;

        await cursor.ReadAsync(page, CancellationToken.None);

        Assert.Equal("second", page.Records.Single().Text());
        Assert.Equal(1, _disk.Files.Reads - reads);
    }

    [Fact]
    public async Task Wait_LogCloses_Throws()
    {
        var log = _disk.Open();
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Latest);
        var waiting = cursor.WaitAsync(CancellationToken.None).AsTask();
        await log.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting);
    }

    [Fact]
    public void Cursor_PartitionThatIsNot_Throws() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => _disk.Open().OpenCursor(StreamId.Events, 2, LogStart.Earliest));
}
