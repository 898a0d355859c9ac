using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Registry;

public sealed class ActivityWriteBackTests : IAsyncLifetime
{
    private RegistryFixture _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await RegistryFixture.OpenAsync();
        await _hub.CreateAsync("d1");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Activity_IsNotOnDiskUntilItIsWrittenBack()
    {
        _hub.Connect("d1");
        var seen = _hub.Time.GetUtcNow();
        Assert.Null(_hub.Stored("d1")!.LastActivityTime);

        await _hub.Activity.FlushAsync(CancellationToken.None);

        Assert.Equal(seen, _hub.Stored("d1")!.LastActivityTime);
        Assert.Equal(seen, _hub.Stored("d1")!.ConnectionStateUpdatedTime);
    }

    [Fact]
    public async Task Activity_OfALink_IsTheIdentitys()
    {
        _hub.Connect("d1");
        _hub.Time.Advance(TimeSpan.FromSeconds(7));
        _hub.Connected.Seen(Identity.Of("d1"));

        await _hub.Activity.FlushAsync(CancellationToken.None);

        Assert.Equal(_hub.Time.GetUtcNow(), _hub.Stored("d1")!.LastActivityTime);
        Assert.Equal(_hub.Time.GetUtcNow() - TimeSpan.FromSeconds(7), _hub.Stored("d1")!.ConnectionStateUpdatedTime);
    }

    [Fact]
    public async Task Activity_AfterThePeriod_IsWrittenBack()
    {
        var watched = new WatchedMetadata(_hub.Metadata);
        await using var activity = new ActivityWriteBack(watched, _hub.Connected, _hub.Time, NullLogger<ActivityWriteBack>.Instance);
        activity.Seen(Identity.Of("d1"));

        _hub.Time.Advance(ActivityWriteBack.Period);
        await watched.Written;

        Assert.NotNull(_hub.Stored("d1")!.LastActivityTime);
    }

    [Fact]
    public async Task Activity_OfMoreThanOneTransactionHolds_IsAllWritten()
    {
        var ids = Enumerable.Range(0, 1500).Select(i => $"many{i}").ToList();
        var created = await Task.WhenAll(ids.Chunk(DeviceRegistry.MaxBulkItems).Select(chunk => _hub.Registry.ChangeAsync(
            RegistryFixture.Owner,
            [.. chunk.Select(id => new IdentityChange(Identity.Of(id), PutMode.Create, new IdentityDraft(), EntityTagCondition.Any))],
            CancellationToken.None).AsTask()));
        Assert.All(created.SelectMany(outcomes => outcomes), outcome => Assert.Null(outcome.Refusal));
        ids.ForEach(id => _hub.Activity.Seen(Identity.Of(id)));

        await _hub.Activity.FlushAsync(CancellationToken.None);

        Assert.All(ids, id => Assert.NotNull(_hub.Stored(id)!.LastActivityTime));
    }

    [Fact]
    public async Task Activity_OfADeletedNamesake_IsNotTheNewOnes()
    {
        _hub.Activity.Seen(Identity.Of("d1"));
        await _hub.DeleteAsync("d1");
        await _hub.CreateAsync("d1");

        await _hub.Activity.FlushAsync(CancellationToken.None);

        Assert.Null(_hub.Registry.Get(Identity.Of("d1")).Record.LastActivityTime);
    }

    [Fact]
    public async Task Activity_ThatCouldNotBeWritten_IsTriedAgain()
    {
        _hub.Activity.Seen(Identity.Of("d1"));
        using var givenUp = new CancellationTokenSource();
        await givenUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await _hub.Activity.FlushAsync(givenUp.Token));

        await _hub.Activity.FlushAsync(CancellationToken.None);

        Assert.NotNull(_hub.Stored("d1")!.LastActivityTime);
    }

    [Fact]
    public async Task Dispose_WritesBackWhatIsLeft()
    {
        _hub.Activity.Seen(Identity.Of("d1"));

        await _hub.Activity.DisposeAsync();

        Assert.NotNull(_hub.Stored("d1")!.LastActivityTime);
    }

    /// <summary>Tells when a change is on disk.</summary>
    private sealed class WatchedMetadata(IMetadata inner) : MetadataDecorator(inner)
    {
        private readonly TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Written => _written.Task;

        public override async ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default)
        {
            var result = await base.WriteAsync(act, cancel);
            _written.TrySetResult();
            return result;
        }
    }
}
