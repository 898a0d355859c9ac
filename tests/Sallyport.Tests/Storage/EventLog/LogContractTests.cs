using System.Globalization;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>What every event log promises. Each implementation passes all of it.</summary>
public abstract class LogContractTests : IAsyncLifetime
{
    private protected FakeTimeProvider Time { get; } = new(new DateTimeOffset(2024, 5, 6, 7, 8, 9, TimeSpan.Zero));

    protected IEventLog Log { get; private set; } = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    protected abstract Task<IEventLog> OpenAsync();

    public async ValueTask InitializeAsync() => Log = await OpenAsync();

    public virtual async ValueTask DisposeAsync()
    {
        await Log.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Append_Committed_IsReadBackInOrder()
    {
        await Log.CommitAsync(Records.Batch(0, "a", "b"));
        await Log.CommitAsync(Records.Batch(0, "c"));

        Assert.Equal(["a", "b", "c"], await Log.TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Append_Committed_StampsHeaderAndAnnotations()
    {
        await Log.CommitAsync(Records.Batch(3, "a", "b"));

        using var cursor = Log.OpenCursor(StreamId.Events, 3, LogStart.Earliest);
        var second = (await cursor.DrainAsync())[1];
        var expected = Records.Batch(3, "b");
        var message = expected.Written[RecordHeader.Length..].ToArray();
        HubAnnotations.Patch(message, 1, Time.GetUtcNow().ToUnixTimeMilliseconds());
        Assert.Equal((1, 3, Time.GetUtcNow()), (second.Sequence, second.Partition, second.EnqueuedTime));
        Assert.Equal(message, second.Message.ToArray());
    }

    [Fact]
    public async Task Sequences_OfDifferentStreamsAndPartitions_AreEachContiguousFromZero()
    {
        await Log.CommitAsync(Records.Batch(0, "a").Record(StreamId.Changes, 0, "x").Record(StreamId.Events, 0, "b"));
        await Log.CommitAsync(Records.Batch(1, "c"));

        Assert.Equal(["a", "b"], await Log.TextsAsync(0, LogStart.Earliest));
        Assert.Equal(["x"], await Log.TextsAsync(0, LogStart.Earliest, StreamId.Changes));
        Assert.Equal(["c"], await Log.TextsAsync(1, LogStart.Earliest));
        Assert.Equal(2, Log.Describe(StreamId.Events, 0).NextSequence);
        Assert.Equal(1, Log.Describe(StreamId.Changes, 0).NextSequence);
        Assert.True(Log.Describe(StreamId.Routed, 0).IsEmpty);
    }

    [Fact]
    public async Task EnqueuedTime_ClockStepsBack_NeverDecreases()
    {
        await Log.CommitAsync(Records.Batch(0, "a"));
        var before = Time.GetUtcNow();
        Time.AdjustTime(before - TimeSpan.FromHours(1));
        await Log.CommitAsync(Records.Batch(0, "b").Record(StreamId.Changes, 0, "x"));

        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        Assert.All(await cursor.DrainAsync(), record => Assert.Equal(before, record.EnqueuedTime));
        Assert.Equal(before, Log.Describe(StreamId.Changes, 0).LastEnqueuedTime);
    }

    [Fact]
    public async Task Batch_AfterAppend_MayBeReused()
    {
        var batch = Records.Batch(0, "a");
        await Log.AppendAsync(batch);
        batch.Clear();
        batch.Record(StreamId.Events, 0, "b");
        await Log.CommitAsync(batch);

        Assert.Equal(["a", "b"], await Log.TextsAsync(0, LogStart.Earliest));
    }

    [Fact]
    public async Task Double_OfAnIdempotencyId_IsDropped()
    {
        var id = Guid.NewGuid();
        await Log.CommitAsync(new RecordBatch().Record(StreamId.Changes, 0, "once", id));
        await Log.CommitAsync(new RecordBatch().Record(StreamId.Changes, 0, "once", id).Record(StreamId.Changes, 0, "more", Guid.NewGuid()));
        await Log.CommitAsync(new RecordBatch().Record(StreamId.Changes, 0, "once", id));

        Assert.Equal(["once", "more"], await Log.TextsAsync(0, LogStart.Earliest, StreamId.Changes));
    }

    [Fact]
    public async Task Cursor_FromSequence_IsInclusive()
    {
        await Log.CommitAsync(Records.Batch(0, "a", "b", "c"));

        Assert.Equal(["b", "c"], await Log.TextsAsync(0, LogStart.FromSequence(1)));
    }

    [Fact]
    public async Task Cursor_FromTime_BeginsWithTheFirstRecordAtOrAfterIt()
    {
        await Log.CommitAsync(Records.Batch(0, "a"));
        Time.Advance(TimeSpan.FromSeconds(1));
        var second = Time.GetUtcNow();
        await Log.CommitAsync(Records.Batch(0, "b"));
        Time.Advance(TimeSpan.FromSeconds(1));
        await Log.CommitAsync(Records.Batch(0, "c"));

        Assert.Equal(["b", "c"], await Log.TextsAsync(0, LogStart.FromTime(second)));
        Assert.Equal(["c"], await Log.TextsAsync(0, LogStart.FromTime(second.AddMilliseconds(1))));

        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.FromTime(second));
        await cursor.ReadAsync(new LogPage(), Cancel);
        Assert.Equal(0, cursor.Skipped);
    }

    [Fact]
    public async Task Cursor_FromATimeToCome_PassesOverWhatIsEarlier()
    {
        var start = Time.GetUtcNow().AddSeconds(2);
        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.FromTime(start));
        Time.Advance(TimeSpan.FromSeconds(1));
        await Log.CommitAsync(Records.Batch(0, "early"));
        Time.Advance(TimeSpan.FromSeconds(1));
        await Log.CommitAsync(Records.Batch(0, "due"));

        Assert.Equal(["due"], (await cursor.DrainAsync()).Select(Records.Text));
    }

    [Fact]
    public async Task Cursor_FromLatest_SeesOnlyWhatComesAfter()
    {
        await Log.CommitAsync(Records.Batch(0, "before"));
        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.Latest);
        Assert.Equal(1, cursor.NextSequence);
        await Log.CommitAsync(Records.Batch(0, "after"));

        Assert.Equal(["after"], (await cursor.DrainAsync()).Select(Records.Text));
    }

    [Fact]
    public async Task Cursor_SmallPage_GetsAtLeastOneRecordAtATime()
    {
        await Log.CommitAsync(Records.Batch(0, new string('a', 500), new string('b', 500), "c"));
        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.Earliest);
        var page = new LogPage(capacityBytes: 16);

        for (var sequence = 0; sequence < 3; sequence++)
        {
            Assert.Equal(1, await cursor.ReadAsync(page, Cancel));
            Assert.Equal(sequence, page.Records[0].Sequence);
        }

        Assert.Equal(0, await cursor.ReadAsync(page, Cancel));
    }

    [Fact]
    public async Task Wait_AtTheEnd_CompletesWhenItsPartitionHasMore()
    {
        using var cursor = Log.OpenCursor(StreamId.Events, 2, LogStart.Latest);
        var waiting = cursor.WaitAsync(Cancel).AsTask();
        await Log.CommitAsync(Records.Batch(1, "other"));
        Assert.False(waiting.IsCompleted);
        await Log.CommitAsync(Records.Batch(2, "mine"));

        await waiting.WaitAsync(Cancel);
        Assert.Equal(["mine"], (await cursor.DrainAsync()).Select(Records.Text));
    }

    [Fact]
    public async Task TellWhenMore_AtTheEnd_TellsOnceWhenItsPartitionHasMore()
    {
        using var cursor = Log.OpenCursor(StreamId.Events, 2, LogStart.Latest);
        var told = new Records.Listener();
        Assert.False(cursor.TellWhenMore(told));
        Assert.False(cursor.TellWhenMore(told));
        await Log.CommitAsync(Records.Batch(1, "other"));
        Assert.Equal(0, told.Calls);

        await Log.CommitAsync(Records.Batch(2, "mine"));
        await told.Committed.WaitAsync(Cancel);
        await Log.CommitAsync(Records.Batch(2, "mine too"));

        Assert.True(cursor.TellWhenMore(told));
        Assert.Equal(["mine", "mine too"], (await cursor.DrainAsync()).Select(Records.Text));
        Assert.Equal(1, told.Calls);
    }

    [Fact]
    public async Task TellWhenMore_CursorDisposed_TellsNobody()
    {
        var gone = new Records.Listener();
        var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.Latest);
        Assert.False(cursor.TellWhenMore(gone));
        cursor.Dispose();
        using var other = Log.OpenCursor(StreamId.Events, 0, LogStart.Latest);
        var told = new Records.Listener();
        Assert.False(other.TellWhenMore(told));

        await Log.CommitAsync(Records.Batch(0, "more"));
        await told.Committed.WaitAsync(Cancel);

        Assert.Equal(0, gone.Calls);
    }

    [Fact]
    public async Task Wait_Cancelled_Throws()
    {
        using var cursor = Log.OpenCursor(StreamId.Events, 0, LogStart.Latest);
        using var cancelled = new CancellationTokenSource();
        var waiting = cursor.WaitAsync(cancelled.Token).AsTask();
        await cancelled.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Fact]
    public async Task Watermark_ManyAppenders_CoversWhateverACursorCanSee()
    {
        var appenders = Enumerable.Range(0, 4).Select(async appender =>
        {
            for (var i = 0; i < 50; i++)
                await Log.CommitAsync(Records.Batch(appender % 2, $"{appender}:{i}"));
        });
        await Task.WhenAll(appenders);

        foreach (var partition in new[] { 0, 1 })
        {
            var texts = await Log.TextsAsync(partition, LogStart.Earliest);
            Assert.Equal(100, texts.Length);
            foreach (var appender in new[] { partition, partition + 2 })
            {
                Assert.Equal(
                    Enumerable.Range(0, 50),
                    texts.Where(text => text.StartsWith($"{appender}:", StringComparison.Ordinal)).Select(text => int.Parse(text[2..], CultureInfo.InvariantCulture)));
            }
        }
    }

    [Fact]
    public async Task Batch_Empty_IsRefused() =>
        await Assert.ThrowsAsync<ArgumentException>(() => Log.AppendAsync(new RecordBatch()));

    [Fact]
    public async Task Append_AfterDispose_Fails()
    {
        await Log.DisposeAsync();

        Assert.Equal(AppendOutcome.Failed, (await Log.AppendAsync(Records.Batch(0, "late"))).Outcome);
    }
}
