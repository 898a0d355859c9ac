using System.Collections.Concurrent;
using Sallyport.Hub.Limits;
using Sallyport.Tests.Heads.Mqtt;

namespace Sallyport.Tests.Hub.Limits;

public sealed class HandshakeThreadsTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Turns_AreTakenInTheirOrder_WhoHadOneBeforeTheOthers()
    {
        using var threads = new HandshakeThreads(1);
        using var busy = new ManualResetEventSlim();
        var order = new ConcurrentQueue<string>();
        Task[] turns =
        [
            OccupyAsync(threads, busy),
            TakeAsync("first 1", again: false),
            TakeAsync("first 2", again: false),
            TakeAsync("again 1", again: true),
            TakeAsync("again 2", again: true),
        ];
        busy.Set();
        await Task.WhenAll(turns).WaitAsync(MqttTestClient.Patience, Cancel);
        Assert.Equal(["again 1", "again 2", "first 1", "first 2"], order);
        Assert.Equal(0, threads.Waiting);

        async Task TakeAsync(string name, bool again)
        {
            await threads.Turn(again);
            order.Enqueue(name);
        }
    }

    [Fact]
    public async Task Turns_BeyondTheThreads_Wait()
    {
        using var threads = new HandshakeThreads(2);
        using var busy = new ManualResetEventSlim();
        Assert.False(threads.AreBusy);
        var begun = new SemaphoreSlim(0);
        var turns = Enumerable.Range(0, 5).Select(_ => OccupyAsync(threads, busy, begun)).ToList();
        await begun.WaitAsync(Cancel);
        await begun.WaitAsync(Cancel);

        Assert.Equal(3, threads.Waiting);
        Assert.True(threads.AreBusy);
        Assert.Equal(0, begun.CurrentCount);

        busy.Set();
        await Task.WhenAll(turns).WaitAsync(MqttTestClient.Patience, Cancel);
        Assert.Equal(0, threads.Waiting);
    }

    [Fact]
    public async Task Turn_IsOnAThreadOfItsOwn_UntilItLeaves()
    {
        using var threads = new HandshakeThreads(1);
        using var others = new HandshakeThreads(1);
        Assert.False(threads.IsCurrent);

        await threads.Turn();
        Assert.True(threads.IsCurrent);
        Assert.False(others.IsCurrent);
        Assert.False(Thread.CurrentThread.IsThreadPoolThread);

        await HandshakeThreads.Leave();
        Assert.False(threads.IsCurrent);
        Assert.True(Thread.CurrentThread.IsThreadPoolThread);
    }

    [Fact]
    public async Task Dispose_WithTurnsWaiting_TakesThem_AndLeavesLaterOnesToThePool()
    {
        var threads = new HandshakeThreads(1);
        using var busy = new ManualResetEventSlim();
        Task[] waiting = [OccupyAsync(threads, busy), OccupyAsync(threads, busy)];
        threads.Dispose();
        threads.Dispose();

        await threads.Turn();
        Assert.True(Thread.CurrentThread.IsThreadPoolThread);
        busy.Set();
        await Task.WhenAll(waiting).WaitAsync(MqttTestClient.Patience, Cancel);
    }

    private static async Task OccupyAsync(HandshakeThreads threads, ManualResetEventSlim busy, SemaphoreSlim? begun = null)
    {
        await threads.Turn();
        Assert.True(threads.IsCurrent);
        begun?.Release();
        busy.Wait(Cancel);
    }
}
