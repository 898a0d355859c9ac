using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class CheckpointsTests : IDisposable
{
    private readonly SqliteFixture _sqlite = new();

    [Fact]
    public async Task Save_OfANewNameBeyondTheBound_IsRefused_AndKnownOnesGoOn()
    {
        await using var metadata = await _sqlite.OpenAsync();
        var checkpoints = new Checkpoints(metadata);
        var cancel = TestContext.Current.CancellationToken;
        var next = new Dictionary<int, long> { [0] = 1 };
        await checkpoints.SaveAsync("$Default", "first", next, cancel);
        await metadata.WriteAsync(
            tx =>
            {
                for (var i = 1; i < Checkpoints.MaxNames; i++)
                    metadata.Checkpoints.Put(tx, "consumer-group/$DEFAULT", $"n{i}", 0, 1);
                return true;
            },
            cancel);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await checkpoints.SaveAsync("$Default", "one-more", next, cancel));
        await checkpoints.SaveAsync("$default", "first", new Dictionary<int, long> { [0] = 2 }, cancel);

        Assert.Equal(HubErrors.QuotaExceeded, refused.Error);
        Assert.Contains("delete one", refused.Message);
        Assert.Equal(2, checkpoints.Find("$Default", "first")[0]);
        Assert.Empty(checkpoints.Find("$Default", "one-more"));
        await checkpoints.DeleteAsync("$Default", "first", cancel);
        await checkpoints.SaveAsync("$Default", "one-more", next, cancel);
    }

    public void Dispose() => _sqlite.Dispose();
}
