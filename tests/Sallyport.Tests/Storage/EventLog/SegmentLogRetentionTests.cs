using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogRetentionTests
{
    private readonly LogOnFaultyDisk _disk = new();

    [Fact]
    public async Task Retention_ByBytes_DropsTheOldestAndACursorCountsWhatItMissed()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 3 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var total = LogOnFaultyDisk.Fill(log, 8 * LogOnFaultyDisk.SegmentBytes);

        var kept = log.Describe(StreamId.Events, 0);
        Assert.True(kept.FirstSequence > 0);
        Assert.Equal(total, kept.NextSequence);
        Assert.InRange(_disk.Segments.Length, 3, 4);
        var page = new LogPage();
        await cursor.ReadAsync(page, CancellationToken.None);
        Assert.Equal(kept.FirstSequence, cursor.Skipped);
        Assert.Equal(kept.FirstSequence, page.Records[0].Sequence);
        Assert.Equal(0, log.OpenCursor(StreamId.Events, 0, LogStart.FromSequence(0)).Skipped);
    }

    [Fact]
    public async Task Retention_ByTime_DropsWhatIsOlderAlsoFromTheSegmentNothingIsWrittenToAnyMore()
    {
        var log = _disk.Open();
        log.KeepUp();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "old"));
        _disk.Time.Advance(TimeSpan.FromMinutes(59));
        log.KeepUp();
        Assert.Equal(["old"], await log.TextsAsync(0, LogStart.Earliest));

        _disk.Time.Advance(TimeSpan.FromMinutes(2));
        log.KeepUp();

        Assert.Equal(new StreamPartition(1, 1, _disk.Time.GetUtcNow().AddMinutes(-61)), log.Describe(StreamId.Events, 0));
        Assert.Empty(await log.TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Retention_DroppedEverything_NumbersGoOnAfterReopening()
    {
        var log = _disk.Open();
        log.KeepUp();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "old"));
        _disk.Time.Advance(TimeSpan.FromHours(2));
        log.KeepUp();

        _disk.Files.RestartAfterPowerCut();
        log = _disk.Open();

        Assert.Empty(log.Quarantined);
        Assert.Equal(0, log.Recovery.MissingBatches);
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "new"));
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        Assert.Equal(1, (await cursor.DrainAsync()).Single().Sequence);
    }

    [Fact]
    public async Task Cursor_WhoseSegmentWasRecycledUnderIt_GoesOnWithTheOldestKept()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        using var cursor = log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var page = new LogPage(capacityBytes: 100);
        LogOnFaultyDisk.Fill(log, LogOnFaultyDisk.SegmentBytes);
        await cursor.ReadAsync(page, CancellationToken.None);

        LogOnFaultyDisk.Fill(log, 6 * LogOnFaultyDisk.SegmentBytes);
        await cursor.ReadAsync(page, CancellationToken.None);

        Assert.Equal(log.Describe(StreamId.Events, 0).FirstSequence, page.Records[0].Sequence);
        Assert.Equal(page.Records[0].Sequence - 1, cursor.Skipped);
        Assert.Empty(log.Quarantined);
    }

    [Fact]
    public void Hold_BelowItsBound_KeepsWhatItHasNotRead()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        using var hold = log.Hold("sql", StreamId.Events, [0, 0], HoldPolicy.RefuseIngest);
        var total = LogOnFaultyDisk.Fill(log, 6 * LogOnFaultyDisk.SegmentBytes);
        Assert.Equal(0, log.Describe(StreamId.Events, 0).FirstSequence);

        hold.Advance(0, total);
        log.KeepUp();

        Assert.True(log.Describe(StreamId.Events, 0).FirstSequence > 0);
        Assert.Equal(0, hold.Skipped(0));
    }

    [Fact]
    public void Open_ReadersHaveNotNamedTheirHoldsYet_DropsNothing()
    {
        var log = _disk.Open();
        using (log.Hold("sql", StreamId.Events, [0, 0], HoldPolicy.Skip))
            LogOnFaultyDisk.Fill(log, 3 * LogOnFaultyDisk.SegmentBytes);
        _disk.Time.Advance(TimeSpan.FromHours(2));

        log = _disk.OpenWithoutRetention();
        log.KeepUp();
        using var hold = log.Hold("sql", StreamId.Events, [5, 0], HoldPolicy.Skip);
        log.BeginRetention();
        log.KeepUp();

        Assert.Equal(0, log.Describe(StreamId.Events, 0).FirstSequence);
    }

    [Fact]
    public async Task Hold_AtItsBoundRefusingIngest_RefusesUntilItsReaderCatchesUp()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes, MaxHeldBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        using var hold = log.Hold("sql", StreamId.Events, [0, 0], HoldPolicy.RefuseIngest);
        var batch = Records.Batch(0, [.. Enumerable.Repeat(new string('f', 800), 10)]);
        var accepted = 0;
        AppendResult result;
        while ((result = await log.AppendAsync(batch)).Outcome == AppendOutcome.Accepted)
        {
            log.CommitPending();
            log.KeepUp();
            accepted += 10;
        }

        Assert.Equal(AppendOutcome.HeldBack, result.Outcome);
        Assert.Contains(1109, _disk.Logged.Ids);
        Assert.Equal(accepted, (await log.TextsAsync(0, LogStart.Earliest)).Length);

        hold.Advance(0, accepted);
        log.KeepUp();
        Assert.Equal(AppendOutcome.Accepted, (await log.AppendAsync(batch)).Outcome);
        Assert.Contains(1110, _disk.Logged.Ids);
    }

    [Fact]
    public void Hold_AtItsBoundSkipping_DropsAndCountsExactlyPerPartition()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes, MaxHeldBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        using var hold = log.Hold("lake", StreamId.Events, [5, 0], HoldPolicy.Skip);
        for (var i = 0; i < 10; i++)
        {
            LogOnFaultyDisk.Fill(log, LogOnFaultyDisk.SegmentBytes / 2, partition: 0);
            LogOnFaultyDisk.Fill(log, LogOnFaultyDisk.SegmentBytes / 2, partition: 1);
        }

        Assert.True(hold.Skipped(0) > 0);
        Assert.Equal(log.Describe(StreamId.Events, 0).FirstSequence - 5, hold.Skipped(0));
        Assert.Equal(log.Describe(StreamId.Events, 1).FirstSequence, hold.Skipped(1));
        Assert.Contains(1111, _disk.Logged.Ids);
    }

    [Fact]
    public void Hold_EndedOrNamedAgain_NoLongerHolds()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        var old = log.Hold("sql", StreamId.Events, [0, 0], HoldPolicy.RefuseIngest);
        var total = LogOnFaultyDisk.Fill(log, 4 * LogOnFaultyDisk.SegmentBytes);
        var renewed = log.Hold("sql", StreamId.Events, [total / 2, 0], HoldPolicy.RefuseIngest);
        log.KeepUp();
        var first = log.Describe(StreamId.Events, 0).FirstSequence;
        Assert.InRange(first, 1, total / 2);

        old.Dispose();
        renewed.Dispose();
        log.KeepUp();
        Assert.True(log.Describe(StreamId.Events, 0).FirstSequence > first);
    }
}
