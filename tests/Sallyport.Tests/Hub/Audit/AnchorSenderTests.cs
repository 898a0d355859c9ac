using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Audit;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Storage;

namespace Sallyport.Tests.Hub.Audit;

public sealed class AnchorSenderTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 8, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly AuditKeys _keys = new("0123456789abcdef", new KeyRing(MasterKey.Random()));
    private readonly AuditTrail _trail;
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<AuditAnchor> _taken = Channel.CreateUnbounded<AuditAnchor>();
    private readonly ConcurrentQueue<string> _refusals = new();
    private Task _running = Task.CompletedTask;

    public AnchorSenderTests() => _trail = AuditTrail.Open(_directory["audit"], _keys, new AuditTrailOptions(MaxFileBytes: 2000), _time, NullLogger.Instance);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        await _trail.DisposeAsync();
        _stop.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Head_AtTheStartAndAtEachIntervalWithNews_IsSent()
    {
        Start();
        Assert.Equal(0, (await TakenAsync()).Sequence);
        await ActAsync(1);
        Assert.Equal(1, (await AfterAsync(TimeSpan.FromMinutes(10))).Sequence);
        await ActAsync(1);
        Assert.Equal(2, (await AfterAsync(TimeSpan.FromMinutes(10))).Sequence);
    }

    [Fact]
    public async Task EndOfAFile_IsSentAtOnce()
    {
        Start();
        await TakenAsync();
        await ActAsync(6);

        var end = await TakenAsync();

        Assert.Equal(1, end.File);
        Assert.True(AuditVerifier.Verify(_directory["audit"], _keys, [end], default).IsSound);
        Assert.Equal(1, AuditVerifier.Verify(_directory["audit"], _keys, [end], default).Anchors);
    }

    [Fact]
    public async Task Target_ThatIsAway_IsTriedAgain_AndSeen_AndDelaysNoOther()
    {
        var away = true;
        var back = new TaskCompletionSource<AuditAnchor>(TaskCreationOptions.RunContinuationsAsynchronously);
        var sender = Start(new AnchorTarget("away", (anchor, _) =>
        {
            if (Volatile.Read(ref away))
            {
                _refusals.Enqueue("no");
                throw new IOException("connection refused");
            }

            back.TrySetResult(anchor);
            return Task.CompletedTask;
        }));
        await TakenAsync();
        await UntilAsync(() => sender.Status.Any(status => status is { Target: "away", LastError: "connection refused", Waiting: 1, LastSent: null }), TimeSpan.Zero);
        await UntilAsync(() => _refusals.Count > 2, TimeSpan.FromSeconds(30));

        Volatile.Write(ref away, false);
        await UntilAsync(() => back.Task.IsCompleted && sender.Status.All(status => status is { LastError: null, Waiting: 0, LastSent: not null }), TimeSpan.FromMinutes(1));
        Assert.Equal(0, (await back.Task).Sequence);
    }

    [Fact]
    public async Task Target_ThatStaysAway_HoldsNoMoreThanTheBound()
    {
        var sender = Start(new AnchorTarget("away", (_, _) => throw new IOException("connection refused")));
        await TakenAsync();
        for (var number = 1; number <= AnchorSender.MaxWaiting + 10; number++)
        {
            await ActAsync(1);
            while ((await AfterAsync(TimeSpan.FromMinutes(10))).Sequence < number)
            {
                // The end of a file.
            }
        }

        Assert.Equal(AnchorSender.MaxWaiting, sender.Status.Single(status => status.Target == "away").Waiting);
    }

    private AnchorSender Start(params AnchorTarget[] others)
    {
        var sender = new AnchorSender(
            _trail, [new AnchorTarget("taking", async (anchor, cancel) => await _taken.Writer.WriteAsync(anchor, cancel)), .. others], TimeSpan.FromMinutes(10), _time, NullLogger.Instance);
        _running = sender.RunAsync(_stop.Token);
        return sender;
    }

    private async Task ActAsync(int count)
    {
        for (var number = 0; number < count; number++)
            await _trail.RecordAsync(new AuditEntry("local:test", "", "test act", $"{number}", "done", "", "", "local"), default);
    }

    private ValueTask<AuditAnchor> TakenAsync() => _taken.Reader.ReadAsync(TestContext.Current.CancellationToken);

    /// <summary>The next anchor; the clock goes on until it comes.</summary>
    private async Task<AuditAnchor> AfterAsync(TimeSpan step)
    {
        AuditAnchor? taken = null;
        await UntilAsync(() => _taken.Reader.TryRead(out taken), step);
        return taken!;
    }

    private async Task UntilAsync(Func<bool> isSo, TimeSpan step)
    {
        while (!isSo())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            if (step > TimeSpan.Zero)
                _time.Advance(step);
            await Task.Yield();
        }
    }
}
