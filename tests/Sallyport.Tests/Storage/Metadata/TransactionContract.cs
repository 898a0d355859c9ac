using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>All or nothing, one act after the other, reads of what is committed.</summary>
public abstract class TransactionContract : MetadataContract
{
    [Fact]
    public async Task Write_Completes_IsReadAndSurvivesReopening()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("d1")));

        Assert.NotNull(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
        await ReopenAsync();
        Assert.NotNull(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
    }

    [Fact]
    public async Task HubId_AfterReopening_IsTheSame()
    {
        var id = Metadata.HubId;
        await ReopenAsync();

        Assert.Matches("^[0-9a-f]{32}$", id);
        Assert.Equal(id, Metadata.HubId);
    }

    [Fact]
    public async Task Write_ActThrows_CallerGetsItAndNothingIsKept()
    {
        var thrown = await Assert.ThrowsAsync<FormatException>(async () => await Metadata.WriteAsync<bool>(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            Metadata.Checkpoints.Put(tx, "group", "$Default", 0, 5);
            throw new FormatException("mine");
        }));

        Assert.Equal("mine", thrown.Message);
        Assert.Null(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
        Assert.Equal((0, 0), Metadata.Read(tx => Metadata.Identities.CountDevices(tx)));
        Assert.Empty(Metadata.Read(tx => Metadata.Checkpoints.Find(tx, "group", "$Default")));
    }

    [Fact]
    public async Task Write_OneOfManyInTheSameCommitThrows_OthersAreKept()
    {
        using var held = new ManualResetEventSlim();
        var first = Metadata.WriteAsync(tx => held.Wait(TimeSpan.FromSeconds(30))).AsTask();
        var writes = Enumerable.Range(0, 20).Select(i => Metadata.WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device($"d{i}"));
            return i % 2 == 0 ? i : throw new FormatException();
        }).AsTask()).ToArray();
        held.Set();

        Assert.True(await first);
        for (var i = 0; i < writes.Length; i++)
        {
            if (i % 2 == 0)
                Assert.Equal(i, await writes[i]);
            else
                await Assert.ThrowsAsync<FormatException>(() => writes[i]);
        }

        Assert.Equal((10, 10), Metadata.Read(tx => Metadata.Identities.CountDevices(tx)));
    }

    [Fact]
    public async Task Write_SeesEarlierActs_InOrder()
    {
        var counts = await Task.WhenAll(Enumerable.Range(1, 50).Select(_ => Metadata.WriteAsync(tx =>
        {
            var next = Metadata.Checkpoints.Find(tx, "s", "n").GetValueOrDefault(0) + 1;
            Metadata.Checkpoints.Put(tx, "s", "n", 0, next);
            return next;
        }).AsTask()));

        Assert.Equal(Enumerable.Range(1, 50).Select(i => (long)i), counts.Order());
    }

    [Fact]
    public async Task Write_CancelledWhileItWaits_IsNotRun()
    {
        using var held = new ManualResetEventSlim();
        using var cancel = new CancellationTokenSource();
        var first = Metadata.WriteAsync(tx => held.Wait(TimeSpan.FromSeconds(30))).AsTask();
        var second = Metadata.WriteAsync(
            tx =>
            {
                Metadata.Identities.Put(tx, Device("d1"));
                return true;
            },
            cancel.Token).AsTask();
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        held.Set();
        await first;
        await WriteAsync(_ => { });
        Assert.Null(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
    }

    [Fact]
    public async Task Read_WhileAnActIsNotCommitted_SeesTheStateBefore()
    {
        await WriteAsync(tx => Metadata.Identities.Put(tx, Device("before")));
        using var held = new ManualResetEventSlim();
        var put = new TaskCompletionSource();
        var write = Metadata.WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("during"));
            put.SetResult();
            return held.Wait(TimeSpan.FromSeconds(30));
        }).AsTask();
        await put.Task;

        var seen = Metadata.Read(tx => Metadata.Identities.ListDevices(tx, null, 10));
        held.Set();
        await write;

        Assert.Equal(["before"], seen.Select(d => d.DeviceId));
        Assert.Equal(2, Metadata.Read(tx => Metadata.Identities.ListDevices(tx, null, 10)).Count);
    }

    [Fact]
    public async Task Read_WhileOthersWrite_StaysOnItsSnapshot()
    {
        await WriteAsync(tx => Metadata.Checkpoints.Put(tx, "s", "n", 0, 1));
        using var read = new ManualResetEventSlim();
        using var written = new ManualResetEventSlim();
        var look = Task.Factory.StartNew(
            () => Metadata.Read(tx =>
            {
                var before = Metadata.Checkpoints.Find(tx, "s", "n")[0];
                read.Set();
                Assert.True(written.Wait(TimeSpan.FromSeconds(30)));
                return (before, Metadata.Checkpoints.Find(tx, "s", "n")[0]);
            }),
            TaskCreationOptions.LongRunning);
        Assert.True(read.Wait(TimeSpan.FromSeconds(30)));
        await WriteAsync(tx => Metadata.Checkpoints.Put(tx, "s", "n", 0, 2));
        written.Set();

        Assert.Equal((1, 1), await look);
    }

    [Fact]
    public async Task Transaction_KeptBeyondItsCall_IsRefused()
    {
        MetadataTransaction? kept = null;
        await WriteAsync(tx => kept = tx);

        Assert.Throws<InvalidOperationException>(() => Metadata.Identities.Find(kept!, "d1", null));
    }

    [Fact]
    public async Task Dispose_WithActsWaiting_CommitsThem()
    {
        using var held = new ManualResetEventSlim();
        var first = Metadata.WriteAsync(tx => held.Wait(TimeSpan.FromSeconds(30))).AsTask();
        var second = Metadata.WriteAsync(tx =>
        {
            Metadata.Identities.Put(tx, Device("d1"));
            return true;
        }).AsTask();
        var disposed = Metadata.DisposeAsync();
        held.Set();
        await disposed;

        Assert.True(await first && await second);
        await ReopenAsync();
        Assert.NotNull(Metadata.Read(tx => Metadata.Identities.Find(tx, "d1", null)));
    }

    [Fact]
    public async Task Write_AfterDispose_IsRefused()
    {
        await Metadata.DisposeAsync();

        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await Metadata.WriteAsync(_ => true));
        Assert.Throws<ObjectDisposedException>(() => Metadata.Read(_ => true));
    }
}
