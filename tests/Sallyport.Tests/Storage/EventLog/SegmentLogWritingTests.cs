using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

public sealed class SegmentLogWritingTests
{
    private readonly LogOnFaultyDisk _disk = new();

    [Fact]
    public async Task Append_UntilCommitted_IsNotVisible()
    {
        var log = _disk.Open();
        var result = await log.AppendAsync(Records.Batch(0, "a"));

        Assert.True(log.CommittedPosition(0) < result.Position);
        Assert.Empty(await log.TextsAsync(0, LogStart.Earliest));
        Assert.True(log.Describe(StreamId.Events, 0).IsEmpty);

        log.CommitPending();
        Assert.Equal(result.Position, log.CommittedPosition(0));
        Assert.Equal(["a"], await log.TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Commit_OfManyAppends_TellsEachListenerOnceAndIsOneWriteAndOneSync()
    {
        var log = _disk.Open();
        Records.Listener one = new(), other = new();
        foreach (var listener in new[] { one, other, one, one })
            await log.AppendAsync(Records.Batch(0, "a"), listener, CancellationToken.None);
        var operations = _disk.Files.Operations;

        log.CommitPending();

        Assert.Equal((1, 1), (one.Calls, other.Calls));
        Assert.Equal(2, _disk.Files.Operations - operations);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Commit_WriteOrSyncFails_FailsForGoodAndNeverTriesAgain(int operation)
    {
        var log = _disk.Open();
        LogOnFaultyDisk.Commit(log, Records.Batch(0, "a"));
        var listener = new Records.Listener();
        var lost = await log.AppendAsync(Records.Batch(0, "lost"), listener, CancellationToken.None);
        _disk.Files.FailAt = _disk.Files.Operations + operation;

        Assert.False(log.CommitPending());

        Assert.IsType<IOException>(await log.Failure);
        Assert.Contains(1104, _disk.Logged.Ids);
        Assert.Equal(0, listener.Calls);
        Assert.True(log.CommittedPosition(0) < lost.Position);
        Assert.Equal(AppendOutcome.Failed, (await log.AppendAsync(Records.Batch(0, "late"))).Outcome);
        var operations = _disk.Files.Operations;
        Assert.False(log.CommitPending());
        await log.DisposeAsync();
        Assert.Equal(operations, _disk.Files.Operations);
        Assert.Equal("a", (await _disk.Open().TextsAsync(0, LogStart.Earliest))[0]);
    }

    [Fact]
    public async Task Append_CommitBufferFull_WaitsItsTurn()
    {
        var log = _disk.Open();
        var big = new string('b', 10_000);
        await log.AppendAsync(Records.Batch(0, big));
        var second = log.AppendAsync(Records.Batch(0, "2" + big), null, CancellationToken.None).AsTask();
        var third = log.AppendAsync(Records.Batch(0, "3"), null, CancellationToken.None).AsTask();

        Assert.False(second.IsCompleted);
        Assert.False(third.IsCompleted);
        log.CommitPending();
        await Task.WhenAll(second, third);
        log.CommitPending();

        Assert.Equal(["b", "2", "3"], (await log.TextsAsync(0, LogStart.Earliest)).Select(text => text[..1]));
    }

    [Fact]
    public async Task Append_CancelledWhileWaiting_AppendsNothingAndLetsTheNextGo()
    {
        var log = _disk.Open();
        await log.AppendAsync(Records.Batch(0, "a" + new string('a', 8_000)));
        using var cancelled = new CancellationTokenSource();
        var given = log.AppendAsync(Records.Batch(0, new string('b', 10_000)), null, cancelled.Token).AsTask();
        var next = log.AppendAsync(Records.Batch(0, "c"), null, CancellationToken.None).AsTask();
        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given);
        Assert.Equal(AppendOutcome.Accepted, (await next).Outcome);
        log.CommitPending();
        Assert.Equal(["a", "c"], (await log.TextsAsync(0, LogStart.Earliest)).Select(text => text[..1]));
    }

    [Fact]
    public async Task Append_LogClosesWhileItWaits_Fails()
    {
        var log = _disk.Open();
        await log.AppendAsync(Records.Batch(0, new string('a', 10_000)));
        var waiting = log.AppendAsync(Records.Batch(0, new string('b', 10_000)), null, CancellationToken.None).AsTask();
        await log.DisposeAsync();

        Assert.Equal(AppendOutcome.Failed, (await waiting).Outcome);
    }

    [Fact]
    public async Task Append_LargerThanACommit_IsRefused() =>
        await Assert.ThrowsAsync<ArgumentException>(() => _disk.Open().AppendAsync(Records.Batch(0, new string('a', 20_000))));

    [Fact]
    public async Task Append_AsLargeAsIsAllowed_HasRoomWhateverTheBufferSize()
    {
        _disk.Options = _disk.Options with { CommitBufferBytes = 20_006 };
        var log = _disk.Open();
        var text = new string('a', _disk.Options.MaxAppendBytes - Records.Batch(0, "").Bytes);

        Assert.Equal(AppendOutcome.Accepted, (await log.AppendAsync(Records.Batch(0, text))).Outcome);
        await Assert.ThrowsAsync<ArgumentException>(() => log.AppendAsync(Records.Batch(0, text + "a")));
    }

    [Fact]
    public async Task Append_PartitionOrStreamThatIsNot_IsRefused()
    {
        var log = _disk.Open();

        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => log.AppendAsync(Records.Batch(2, "a")));
        await Assert.ThrowsAsync<ArgumentException>(() => log.AppendAsync(Records.Batch(new StreamId(SegmentLog.MaxStreams), 0, "a")));
    }

    [Fact]
    public async Task Append_NoRoomForAnotherSegment_IsDiskFullUntilThereIs()
    {
        var log = _disk.Open();
        _disk.Files.CapacityBytes = LogOnFaultyDisk.SegmentBytes;
        log.KeepUp();
        var batch = Records.Batch(0, new string('a', 10_000));
        AppendResult result;
        var accepted = 0;
        while ((result = await log.AppendAsync(batch)).Outcome == AppendOutcome.Accepted)
        {
            log.CommitPending();
            accepted++;
        }

        Assert.Equal(AppendOutcome.DiskFull, result.Outcome);
        Assert.Contains(1105, _disk.Logged.Ids);
        Assert.False(log.Failure.IsCompleted);
        Assert.Equal(accepted, (await log.TextsAsync(0, LogStart.Earliest)).Length);

        _disk.Files.CapacityBytes = long.MaxValue;
        log.KeepUp();
        Assert.Equal(AppendOutcome.Accepted, (await log.AppendAsync(batch)).Outcome);
        Assert.Contains(1106, _disk.Logged.Ids);
    }

    [Fact]
    public void Prepare_LessThanTheReserveWouldBeLeft_TakesNone()
    {
        _disk.Options = _disk.Options with { ReserveBytes = 1_000_000 };
        var log = _disk.Open();
        _disk.Files.CapacityBytes = 5 * LogOnFaultyDisk.SegmentBytes + 500_000;

        log.KeepUp();

        Assert.Single(_disk.Segments);
    }

    [Fact]
    public async Task Append_DiskFullForAll_RetentionStillMakesRoom()
    {
        _disk.Options = _disk.Options with { RetentionBytes = 2 * LogOnFaultyDisk.SegmentBytes };
        var log = _disk.Open();
        log.KeepUp();
        LogOnFaultyDisk.Fill(log, 2 * LogOnFaultyDisk.SegmentBytes);

        _disk.Files.CapacityBytes = 0;
        LogOnFaultyDisk.Fill(log, 6 * LogOnFaultyDisk.SegmentBytes);

        Assert.DoesNotContain(1105, _disk.Logged.Ids);
        Assert.DoesNotContain(1107, _disk.Logged.Ids);
        Assert.True((await log.TextsAsync(0, LogStart.Earliest)).Length > 0);
    }

    /// <summary>However full the segment is, room that an append was promised stays there while streams get their first cursor.</summary>
    [Fact]
    public void Commit_StreamsOpenedSinceTheAppend_StillFits()
    {
        for (var before = 0; before < 20; before++)
        {
            var log = new LogOnFaultyDisk().Open();
            var batch = Records.Batch(0, new string('a', 3000));
            for (var i = 0; i < before && log.AppendAsync(batch, null, CancellationToken.None).AsTask().IsCompleted; i++)
                log.CommitPending();

            var append = log.AppendAsync(batch, null, CancellationToken.None).AsTask();
            for (ushort stream = 0; stream < SegmentLog.MaxStreams; stream++)
                log.OpenCursor(new StreamId(stream), 1, LogStart.Latest).Dispose();

            Assert.Equal(append.IsCompleted, log.CommitPending());
        }
    }

    [Fact]
    public async Task Prepare_NextSegmentNotMadeYet_AppendWaitsInsteadOfFailing()
    {
        var log = _disk.Open();
        var batch = Records.Batch(0, new string('a', 10_000));
        Task<AppendResult> append;
        while ((append = log.AppendAsync(batch, null, CancellationToken.None).AsTask()).IsCompleted)
            log.CommitPending();

        log.KeepUp();

        Assert.Equal(AppendOutcome.Accepted, (await append).Outcome);
    }

    [Fact]
    public async Task Append_SteadyState_AllocatesNothingPerMessage()
    {
        var directory = Directory.CreateTempSubdirectory("sallyport-log-");
        try
        {
            var options = new SegmentLogOptions { Directory = directory.FullName, SegmentBytes = 32 * 1024 * 1024, ReserveBytes = 0 };
            await using var log = SegmentLog.Open(options, new byte[32], TimeProvider.System, NullLogger.Instance, new DiskFiles(directory.FullName));
            var batch = Records.Batch(0, [.. Enumerable.Repeat(new string('a', 256), 20)]);
            var listener = new Records.Listener();
            AppendMany(log, batch, listener, 50);

            var before = GC.GetAllocatedBytesForCurrentThread();
            AppendMany(log, batch, listener, 2000);
            var bytes = GC.GetAllocatedBytesForCurrentThread() - before;

            // For 40,000 messages in 2,000 commits: the index doubles its list now and then, and that is all.
            Assert.InRange(bytes, 0, 44_000);
        }
        finally
        {
            directory.Delete(recursive: true);
        }

        static void AppendMany(SegmentLog log, RecordBatch batch, ICommitListener listener, int times)
        {
            for (var i = 0; i < times; i++)
            {
                var append = log.AppendAsync(batch, listener, CancellationToken.None);
                if (append.IsCompletedSuccessfully)
                    log.CommitPending();
                else
                    Assert.Fail("the append did not complete at once");
            }
        }
    }
}
