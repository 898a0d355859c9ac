using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access;

public sealed class IdentityCacheTests : IAsyncLifetime
{
    private readonly SqliteFixture _fixture = new();
    private WatchedMetadata _store = null!;

    public async ValueTask InitializeAsync() => _store = new WatchedMetadata(await _fixture.OpenAsync());

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        _fixture.Dispose();
    }

    [Fact]
    public async Task Find_Again_DoesNotReadTheStore()
    {
        var cache = new IdentityCache(_store);
        await PutAsync(Identity.Of("d1"));
        await PutAsync(Identity.Of("d1", "m1"));

        Assert.NotNull(cache.Find(Identity.Of("d1", "m1")));
        Assert.Equal(2, _store.Reads);
        Assert.NotNull(cache.Find(Identity.Of("d1", "m1")));
        Assert.NotNull(cache.Find(Identity.Of("d1")));
        Assert.Equal(2, _store.Reads);
    }

    [Fact]
    public void Find_Unknown_IsNotRemembered()
    {
        var cache = new IdentityCache(_store);

        for (var number = 0; number < 100; number++)
            Assert.Null(cache.Find(Identity.Of($"x{number}")));

        Assert.Equal(0, cache.Count);
    }

    [Fact]
    public async Task Find_MoreThanTheCapacity_KeepsTheBoundAndWhatIsUsed()
    {
        var cache = new IdentityCache(_store, capacity: 10);
        var used = Identity.Of("used");
        await PutAsync(used);
        Assert.NotNull(cache.Find(used));
        for (var number = 0; number < 100; number++)
        {
            await PutAsync(Identity.Of($"d{number}"));
            Assert.NotNull(cache.Find(Identity.Of($"d{number}")));
            Assert.InRange(cache.Count, 1, 10);

            var reads = _store.Reads;
            Assert.NotNull(cache.Find(used));
            Assert.Equal(reads, _store.Reads);
        }
    }

    [Fact]
    public async Task Invalidate_ReadsAnew()
    {
        var cache = new IdentityCache(_store);
        await PutAsync(Identity.Of("d1"));
        Assert.True(cache.Find(Identity.Of("d1"))!.Enabled);

        await PutAsync(Identity.Of("d1"), enabled: false);
        cache.Invalidate(Identity.Of("d1"));

        Assert.False(cache.Find(Identity.Of("d1"))!.Enabled);
    }

    [Fact]
    public async Task Invalidate_WhileAnOldRecordIsBeingRead_DoesNotRememberIt()
    {
        var cache = new IdentityCache(_store);
        await PutAsync(Identity.Of("d1"));

        // The reader has its snapshot, then the change comes, then the reader goes on.
        _store.AfterRead = () =>
        {
            _store.AfterRead = null;
            PutAsync(Identity.Of("d1"), enabled: false).GetAwaiter().GetResult();
            cache.Invalidate(Identity.Of("d1"));
        };
        cache.Find(Identity.Of("d1"));

        Assert.False(cache.Find(Identity.Of("d1"))!.Enabled);
    }

    private async Task PutAsync(Identity identity, bool enabled = true) =>
        await _store.WriteAsync(tx =>
        {
            _store.Identities.Put(tx, AccessFixture.Record(identity) with { Enabled = enabled });
            return true;
        });

    /// <summary>The real store, with its reads counted and a moment after each to step in.</summary>
    private sealed class WatchedMetadata(IMetadata inner) : MetadataDecorator(inner)
    {
        public int Reads { get; private set; }

        public Action? AfterRead { get; set; }

        public override T Read<T>(Func<MetadataTransaction, T> look)
        {
            Reads++;
            var seen = base.Read(look);
            AfterRead?.Invoke();
            return seen;
        }
    }
}
