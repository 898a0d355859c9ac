using System.Buffers.Binary;
using Sallyport.Storage;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogRecoveryTests
{
    private readonly LogOnFaultyDisk _disk = new();

    [Fact]
    public async Task Open_AfterClose_ContinuesSequencesAndBatches()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var position = log.CommittedPosition(0);
        await log.DisposeAsync();

        log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));

        Assert.Equal(["a", "b"], await log.TextsAsync(0, LogStart.Earliest));
        Assert.Equal(position + 1, log.CommittedPosition(0));
        Assert.Equal(new LogRecovery(0, 0, []).ToString(), (log.Recovery with { Quarantined = [] }).ToString());
    }

    [Fact]
    public async Task Close_WithAppendsPending_CommitsThem()
    {
        var log = _disk.Open();
        await log.AppendAsync(Records.Batch(0, "a"));
        await log.DisposeAsync();

        Assert.Equal(["a"], await _disk.Open().TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Open_ClockSteppedBackInBetween_EnqueuedTimeDoesNotDecrease()
    {
        LogOnFaultyDisk.Commit(_disk.Open(), Records.Batch(0, "a"));
        var before = _disk.Time.GetUtcNow();
        _disk.Time.AdjustTime(before.AddHours(-1));

        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));

        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        Assert.Equal([before, before], (await cursor.DrainAsync()).Select(record => record.EnqueuedTime));
    }

    [Fact]
    public async Task Open_DoubleOfWhatIsOnDisk_IsDropped()
    {
        var id = Guid.NewGuid();
        LogOnFaultyDisk.Commit(_disk.Open(), new RecordBatch().Record(StreamId.Changes, 0, "once", id));

        var log = _disk.Open();
        var listener = new Records.Listener();
        var again = await log.AppendAsync(new RecordBatch().Record(StreamId.Changes, 0, "once", id), listener, CancellationToken.None);
        log.CommitPending();

        Assert.Equal(["once"], await log.TextsAsync(0, LogStart.Earliest, StreamId.Changes));
        Assert.True(log.CommittedPosition(0) >= again.Position);
        Assert.Equal(1, listener.Calls);
    }

    [Fact]
    public async Task Open_DoubleOfWhatIsInTheNewestSealedSegment_IsDropped()
    {
        var id = Guid.NewGuid();
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, new RecordBatch().Record(StreamId.Changes, 0, "once", id));
        LogOnFaultyDisk.Fill(log, LogOnFaultyDisk.SegmentBytes);

        log = _disk.Open();
        LogOnFaultyDisk.Commit(log, new RecordBatch().Record(StreamId.Changes, 0, "once", id).Record(StreamId.Changes, 0, "more", Guid.NewGuid()));

        Assert.Equal(["once", "more"], await log.TextsAsync(0, LogStart.Earliest, StreamId.Changes));
    }

    [Fact]
    public async Task Open_TornTail_IsCutOffAndReported()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var end = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "torn"));
        _disk.Files.Damage(_disk.Segments[0], end + BatchFormat.HeaderLength + 60, 0xee);

        log = _disk.Open();

        Assert.True(log.Recovery.TornBytes > 0);
        Assert.Contains(1101, _disk.Logged.Ids);
        Assert.Empty(log.Quarantined);
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));
        Assert.Equal(["a", "b"], await _disk.Open().TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Open_DamagedBatchBeforeAValidOne_IsQuarantinedAndTheRestServed()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var damaged = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b", "c"));
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "d"));
        _disk.Files.Damage(_disk.Segments[0], damaged + 200, 0xee);

        log = _disk.Open();

        Assert.Equal((_disk.Segments[0], damaged), (log.Quarantined.Single().Segment, log.Quarantined.Single().Position));
        Assert.Contains(1102, _disk.Logged.Ids);
        Assert.Equal(0, log.Recovery.TornBytes);
        Assert.Equal(4, log.Describe(StreamId.Events, 0).NextSequence);
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.FromSequence(1));
        var page = new LogPage();
        await cursor.ReadAsync(page, CancellationToken.None);
        Assert.Equal((2, "d"), (cursor.Skipped, page.Records[0].Text()));
    }

    [Fact]
    public async Task Read_BatchDamagedSinceOpening_IsSkippedCountedAndReported()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var damaged = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b", "c"));
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "d"));
        _disk.Files.Damage(_disk.Segments[0], damaged + 40, 0xee);

        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var page = new LogPage();
        await cursor.ReadAsync(page, CancellationToken.None);

        Assert.Equal(["a", "d"], page.Records.Select(Records.Text));
        Assert.Equal(2, cursor.Skipped);
        Assert.Equal(damaged, log.Quarantined.Single().Position);
    }

    [Fact]
    public async Task Read_LastBatchOfTheLogDamaged_EndsAndCounts()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var damaged = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));
        _disk.Files.Damage(_disk.Segments[0], damaged + 40, 0xee);

        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.FromSequence(1));
        var page = new LogPage();

        Assert.Equal(0, await cursor.ReadAsync(page, CancellationToken.None));
        Assert.Equal((1, 2), (cursor.Skipped, cursor.NextSequence));
        Assert.False(cursor.WaitAsync(CancellationToken.None).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Open_TailCutOffBehindTheHead_IsReportedAndNumbersAreNotGivenAgain()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var cut = (int)log.EndOfOpenSegment;
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));
        await log.DisposeAsync();
        _disk.Files.Damage(_disk.Segments[0], cut, new byte[1024]);

        log = _disk.Open();

        Assert.Equal(1, log.Recovery.MissingBatches);
        Assert.Contains(1103, _disk.Logged.Ids);
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "c"));
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        Assert.Equal([(0L, "a"), (2L, "c")], (await cursor.DrainAsync()).Select(record => (record.Sequence, record.Text())));
    }

    [Fact]
    public async Task Read_AtNumbersThatWereCutOff_GoesOnWithWhatComesNext()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        await log.DisposeAsync();
        _disk.Files.Damage(_disk.Segments[0], SegmentHeader.Length, new byte[1024]);
        log = _disk.Open();

        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.FromSequence(0));
        var page = new LogPage();

        Assert.Equal(0, await cursor.ReadAsync(page, CancellationToken.None));
        Assert.False(cursor.WaitAsync(CancellationToken.None).AsTask().IsCompleted);
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));
        Assert.Equal(1, await cursor.ReadAsync(page, CancellationToken.None));
    }

    [Fact]
    public async Task Open_SegmentRemovedFromTheMiddle_IsReportedAndTheRestServed()
    {
        var log = _disk.Open();
        var total = LogOnFaultyDisk.Fill(log, 4 * LogOnFaultyDisk.SegmentBytes);
        await log.DisposeAsync();
        _disk.Files.Delete(_disk.Segments[1]);

        log = _disk.Open();

        Assert.Equal(_disk.Segments[1], log.Quarantined.Single().Segment);
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var read = 0;
        long skipped = 0;
        var page = new LogPage();
        while (await cursor.ReadAsync(page, CancellationToken.None) > 0)
        {
            read += page.Records.Count;
            skipped += cursor.Skipped;
        }

        Assert.True(skipped > 0);
        Assert.Equal(total, read + skipped);
    }

    [Fact]
    public void Open_OldestSegmentRemoved_IsReported()
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Fill(log, 3 * LogOnFaultyDisk.SegmentBytes);
        _disk.Files.Delete(_disk.Segments[0]);

        Assert.Contains("are missing before it", _disk.Open().Quarantined.Single().What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Open_SealedSegmentWithoutValidFooter_IsReadWhole()
    {
        var log = _disk.Open();
        var total = LogOnFaultyDisk.Fill(log, 2 * LogOnFaultyDisk.SegmentBytes);
        await log.DisposeAsync();
        _disk.Files.Damage(_disk.Segments[0], LogOnFaultyDisk.SegmentBytes - 4, 1, 2, 3, 4);

        log = _disk.Open();

        Assert.Empty(log.Quarantined);
        Assert.Equal(total, (await log.TextsAsync(0, LogStart.Earliest)).Length);
    }

    [Fact]
    public async Task Open_WithAnotherKey_IsRefusedAndNothingIsCutOff()
    {
        LogOnFaultyDisk.Commit(_disk.Open(), Records.Batch(0, "a"));
        _disk.Key = [.. Enumerable.Repeat((byte)7, 32)];

        Assert.Contains("another key", Assert.Throws<LogFormatException>(_disk.Open).Message, StringComparison.Ordinal);
        _disk.Key = new byte[32];
        Assert.Equal(["a"], await _disk.Open().TextsAsync(0, LogStart.Earliest));
    }

    [Theory]
    [InlineData("format")]
    [InlineData("head")]
    [InlineData("segment")]
    public async Task Open_FileOfANewerVersion_IsRefusedByName(string which)
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        await log.DisposeAsync();
        var file = which == "segment" ? _disk.Segments[0] : which;
        var versionAt = which == "head" ? 65536 + 8 : 8;
        var newer = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(newer, SegmentHeader.Version + 1);
        _disk.Files.Damage(file, versionAt, newer);

        var refusal = Assert.ThrowsAny<UnusableDataException>(_disk.Open);
        Assert.Contains($"'{file}' has format version 2", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Open_HeadDamagedOrGone_IsReportedOnceAndTheLogServed(bool gone)
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        await log.DisposeAsync();
        if (gone)
            _disk.Files.Delete("head");
        else
            _disk.Files.Damage("head", 65536 + 20, 0xee);

        log = _disk.Open();
        Assert.Equal("head", log.Quarantined.Single().Segment);
        Assert.Equal(["a"], await log.TextsAsync(0, LogStart.Earliest));
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "b"));
        await log.DisposeAsync();
        Assert.Empty(_disk.Open().Quarantined);
    }

    [Fact]
    public void Open_FormatFileGoneButSegmentsThere_IsRefused()
    {
        LogOnFaultyDisk.Commit(_disk.Open(), Records.Batch(0, "a"));
        _disk.Files.Delete("format");

        Assert.Throws<LogFormatException>(_disk.Open);
    }

    [Fact]
    public async Task Open_OtherPartitionCountAsked_KeepsTheOneItWasCreatedWith()
    {
        LogOnFaultyDisk.Commit(_disk.Open(), Records.Batch(1, "a"));
        _disk.Options = _disk.Options with { PartitionCount = 1 };

        var log = _disk.Open();

        Assert.Equal(2, log.PartitionCount);
        Assert.Equal(["a"], await log.TextsAsync(1, LogStart.Earliest));
    }

    [Fact]
    public async Task Open_OtherSegmentSizeAsked_ReadsOldSegmentsAndMakesNewOnes()
    {
        var first = _disk.Open();
        var total = LogOnFaultyDisk.Fill(first, LogOnFaultyDisk.SegmentBytes);
        await first.DisposeAsync();
        _disk.Options = _disk.Options with { SegmentBytes = 2 * LogOnFaultyDisk.SegmentBytes };

        var log = _disk.Open();
        log.KeepUp();
        total += LogOnFaultyDisk.Fill(log, 3 * LogOnFaultyDisk.SegmentBytes);

        Assert.Equal(total, (await log.TextsAsync(0, LogStart.Earliest)).Length);
        Assert.Equal(2 * LogOnFaultyDisk.SegmentBytes, _disk.Files.Bytes(_disk.Segments[^1]).Length);
    }

    [Fact]
    public void Options_ManyWrong_AllAreReported()
    {
        _disk.Options = _disk.Options with { PartitionCount = 0, SegmentBytes = 1000, CommitBufferBytes = 1, Retention = TimeSpan.Zero };

        Assert.Equal(4, _disk.Options.Validate().Count);
        Assert.Throws<ArgumentException>(_disk.Open);
    }
}
