using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Storage.EventLog;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class OutboxRelayTests : IAsyncLifetime
{
    private readonly SqliteFixture _fixture = new();
    private readonly FakeTimeProvider _time = new();
    private SqliteMetadata _metadata = null!;
    private SegmentLog _segments = null!;
    private GatedLog _log = null!;

    public async ValueTask InitializeAsync()
    {
        _metadata = await _fixture.OpenAsync();
        await OpenLogAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _segments.DisposeAsync();
        await _metadata.DisposeAsync();
        _fixture.Dispose();
    }

    [Fact]
    public async Task Run_EventsWaiting_AreAppendedInOrderAndDeleted()
    {
        var records = Enumerable.Range(0, 600).Select(i => Event($"d{i % 7}", $"e{i}")).ToArray();
        await AddAsync(records);

        await using (Start())
            await EmptyAsync();

        for (var partition = 0; partition < _segments.PartitionCount; partition++)
        {
            var expected = records.Where(record => PartitionOf.Device(record.DeviceId, _segments.PartitionCount) == partition).Select(Text);
            Assert.Equal(expected, await _segments.TextsAsync(partition, LogStart.Earliest, StreamId.Changes));
        }
    }

    [Fact]
    public async Task Run_EventAddedLater_WakesTheRelay()
    {
        await using var relay = Start();
        await AddAsync(Event("d1", "first"));
        await EmptyAsync();
        await AddAsync(Event("d1", "second"));
        await EmptyAsync();

        Assert.Equal(["first", "second"], await TextsOfAsync("d1"));
    }

    [Fact]
    public async Task Run_EventKeepsItsSource()
    {
        await AddAsync(Event("d1", "e") with { Source = (byte)SourceKind.DeviceConnectionState, Stream = StreamId.Events.Number });
        await using (Start())
            await EmptyAsync();

        using var cursor = _segments.OpenCursor(StreamId.Events, PartitionOf.Device("d1", _segments.PartitionCount), LogStart.Earliest);
        Assert.Equal(SourceKind.DeviceConnectionState, Assert.Single(await cursor.DrainAsync()).Source);
    }

    [Fact]
    public async Task Run_NotCommittedYet_KeepsTheEventInTheOutbox()
    {
        _log.HoldCommits();
        await AddAsync(Event("d1", "e"));
        await using var relay = Start();

        await _log.Appended.WaitAsync(TestContext.Current.CancellationToken);
        for (var commits = 0; commits < 20; commits++)
        {
            // A deletion that is on its way would be in one of these.
            await _metadata.WriteAsync(_ => true);
            Assert.Single(Waiting());
        }

        _log.ReleaseCommits();
        await EmptyAsync();
    }

    [Fact]
    public async Task Run_StoppedBetweenAppendAndDelete_LeavesNoDouble()
    {
        _log.HoldCommits();
        await AddAsync(Event("d1", "once"));
        await using (Start())
            await _log.Appended.WaitAsync(TestContext.Current.CancellationToken);
        Assert.Single(Waiting());

        // The log has it, the outbox too: as after a kill.
        await _segments.DisposeAsync();
        await OpenLogAsync();
        await using (Start())
            await EmptyAsync();

        Assert.Equal(["once"], await TextsOfAsync("d1"));
    }

    [Theory]
    [InlineData(AppendOutcome.DiskFull)]
    [InlineData(AppendOutcome.HeldBack)]
    public async Task Run_LogRefuses_WaitsAndTriesAgain(AppendOutcome refusal)
    {
        _log.Refuse(refusal);
        await AddAsync(Event("d1", "a"), Event("d1", "b"));
        await using var relay = Start();
        await _log.Refused.WaitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(2, Waiting().Count);

        _log.Refuse(AppendOutcome.Accepted);
        await EmptyAsync(() => _time.Advance(OutboxRelay.RetryInterval));

        Assert.Equal(["a", "b"], await TextsOfAsync("d1"));
    }

    [Fact]
    public async Task Run_LogFailed_EndsAndKeepsTheEvents()
    {
        _log.Refuse(AppendOutcome.Failed);
        await AddAsync(Event("d1", "e"));
        await using var relay = Start();
        await _log.Refused.WaitAsync(TestContext.Current.CancellationToken);

        _log.Fail();
        while (!relay.Task.IsCompleted)
        {
            // The pause may begin only after this: each turn waits for a commit of the store.
            _time.Advance(OutboxRelay.RetryInterval);
            await _metadata.WriteAsync(_ => true);
        }

        await relay.Task;
        Assert.Single(Waiting());
    }

    [Fact]
    public async Task Run_ManyLargeEvents_GoInSeveralAppends()
    {
        var records = Enumerable.Range(0, 20).Select(i => Event("d1", $"{i}:{new string('x', 10_000)}")).ToArray();
        await AddAsync(records);
        await using (Start())
            await EmptyAsync();

        Assert.Equal(records.Select(Text), await TextsOfAsync("d1"));
        Assert.InRange(_log.LargestAppendBytes, 10_000, OutboxRelay.MaxAppendBytes);
    }

    private static OutboxRecord Event(string deviceId, string text)
    {
        var message = new byte[HubAnnotations.Length + Encoding.UTF8.GetByteCount(text)];
        HubAnnotations.Begin(message);
        HubAnnotations.Finish(message.AsSpan(0, HubAnnotations.Length), HubAnnotations.Elements);
        Encoding.UTF8.GetBytes(text, message.AsSpan(HubAnnotations.Length));
        return new(Guid.NewGuid(), deviceId, StreamId.Changes.Number, (byte)SourceKind.DeviceLifecycle, message);
    }

    private static string Text(OutboxRecord record) => Encoding.UTF8.GetString(record.Message.AsSpan(HubAnnotations.Length));

    private async Task OpenLogAsync()
    {
        _segments = await SegmentLog.OpenAsync(
            new SegmentLogOptions { Directory = Path.Combine(_fixture.DirectoryPath, "log"), SegmentBytes = 1024 * 1024, CommitBufferBytes = 256 * 1024, ReserveBytes = 0 },
            new byte[32], TimeProvider.System, NullLogger.Instance);
        _log = new GatedLog(_segments);
    }

    private Task<bool> AddAsync(params OutboxRecord[] records) => _metadata.WriteAsync(tx =>
    {
        foreach (var record in records)
            _metadata.Outbox.Add(tx, record);
        return true;
    }).AsTask();

    private IReadOnlyList<OutboxRecord> Waiting() => _metadata.Read(tx => _metadata.Outbox.Peek(tx, 1000));

    private Task<string[]> TextsOfAsync(string deviceId) =>
        _segments.TextsAsync(PartitionOf.Device(deviceId, _segments.PartitionCount), LogStart.Earliest, StreamId.Changes);

    // A write of nothing completes after the commits before it: each turn waits for the disk, not for time.
    private async Task EmptyAsync(Action? meanwhile = null)
    {
        while (Waiting().Count > 0)
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            meanwhile?.Invoke();
            await _metadata.WriteAsync(_ => true);
        }
    }

    private RunningRelay Start()
    {
        var stop = new CancellationTokenSource();
        var relay = new OutboxRelay(_metadata, _log, _time, NullLogger<OutboxRelay>.Instance);
        return new RunningRelay(Task.Run(() => relay.RunAsync(stop.Token)), stop);
    }

    private sealed record RunningRelay(Task Task, CancellationTokenSource Stop) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Stop.CancelAsync();
            await Task;
            Stop.Dispose();
        }
    }

    /// <summary>The real log, whose answers a test can hold back or replace.</summary>
    private sealed class GatedLog(IEventLog log) : IEventLog
    {
        private readonly TaskCompletionSource _appended = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _refused = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private volatile TaskCompletionSource _commits = Open();
        private volatile int _answer = (int)AppendOutcome.Accepted;

        public Task Appended => _appended.Task;

        public Task Refused => _refused.Task;

        public int LargestAppendBytes { get; private set; }

        public int PartitionCount => log.PartitionCount;

        public Task<Exception> Failure => _failure.Task;

        public void HoldCommits() => _commits = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void ReleaseCommits() => _commits.TrySetResult();

        public void Refuse(AppendOutcome outcome) => _answer = (int)outcome;

        public void Fail() => _failure.SetResult(new IOException("the disk is gone"));

        public async ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
        {
            if (_answer != (int)AppendOutcome.Accepted)
            {
                _refused.TrySetResult();
                return new((AppendOutcome)_answer, 0);
            }

            LargestAppendBytes = Math.Max(LargestAppendBytes, batch.Bytes);
            var result = await log.AppendAsync(batch, new Gate(listener!, _commits.Task), cancel);
            _appended.TrySetResult();
            return result;
        }

        public long CommittedPosition(int partition) => log.CommittedPosition(partition);

        public StreamPartition Describe(StreamId stream, int partition) => log.Describe(stream, partition);

        public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start) => log.OpenCursor(stream, partition, start);

        public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy) => log.Hold(name, stream, next, policy);

    public void BeginRetention() => log.BeginRetention();

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;

        private static TaskCompletionSource Open()
        {
            var open = new TaskCompletionSource();
            open.SetResult();
            return open;
        }

        private sealed class Gate(ICommitListener listener, Task open) : ICommitListener
        {
            public void OnCommitted() => open.ContinueWith(_ => listener.OnCommitted(), TaskScheduler.Default);
        }
    }
}
