using Sallyport.Hub.Devices;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Devices;

public sealed class MqttSessionsTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly SubscriptionRecord[] Some = [new("$iothub/twin/res/#", 0), new("devices/d1/messages/devicebound/#", 1)];

    private readonly SqliteFixture _sqlite = new();
    private SqliteMetadata _metadata = null!;
    private MqttSessions _sessions = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _metadata = await _sqlite.OpenAsync();
        _sessions = new MqttSessions(_metadata);
        foreach (var id in new[] { "d1", "d2", "d3" })
            await RegisterAsync(id, "1");
    }

    public async ValueTask DisposeAsync()
    {
        await _metadata.DisposeAsync();
        _sqlite.Dispose();
    }

    [Fact]
    public void Identity_WithoutASession_HasNone() => Assert.Null(_sessions.Find(D1, "1"));

    [Fact]
    public async Task Session_Saved_IsFoundAfterARestart()
    {
        await _sessions.SaveAsync(D1, "1", Some, Cancel);

        Assert.Equal(Some, _sessions.Find(D1, "1"));
        Assert.Equal(Some, new MqttSessions(_metadata).Find(D1, "1"));
    }

    [Fact]
    public async Task Session_Empty_IsASession()
    {
        await _sessions.SaveAsync(D1, "1", [], Cancel);

        Assert.Empty(new MqttSessions(_metadata).Find(D1, "1")!);
    }

    [Fact]
    public async Task Session_Ended_IsGone()
    {
        await _sessions.SaveAsync(D1, "1", Some, Cancel);
        await _sessions.EndAsync(D1, "1", Cancel);

        Assert.Null(_sessions.Find(D1, "1"));
        Assert.Null(new MqttSessions(_metadata).Find(D1, "1"));
    }

    [Fact]
    public async Task Session_OfADeletedNamesake_IsNotFound()
    {
        await _sessions.SaveAsync(D1, "1", Some, Cancel);
        await RegisterAsync("d1", "2");

        Assert.Null(_sessions.Find(D1, "2"));
    }

    [Fact]
    public async Task NothingChanged_NothingIsWritten()
    {
        await _sessions.SaveAsync(D1, "1", Some, Cancel);
        await _metadata.DisposeAsync();

        await _sessions.SaveAsync(D1, "1", [.. Some], Cancel); // a closed store would refuse the write
        await Assert.ThrowsAnyAsync<Exception>(() => _sessions.SaveAsync(D1, "1", [], Cancel).AsTask());
    }

    [Fact]
    public async Task Cache_AtItsBound_StillFindsEverySession()
    {
        var sessions = new MqttSessions(_metadata, maxCached: 1);
        foreach (var id in new[] { "d1", "d2", "d3" })
            await sessions.SaveAsync(Identity.Of(id), "1", Some, Cancel);

        foreach (var id in new[] { "d1", "d2", "d3" })
            Assert.Equal(Some, sessions.Find(Identity.Of(id), "1"));
    }

    private async Task RegisterAsync(string deviceId, string generationId) => await _metadata.WriteAsync(
        tx =>
        {
            _metadata.Identities.Put(tx, new IdentityRecord { DeviceId = deviceId, GenerationId = generationId, ETag = 1 });
            return true;
        },
        Cancel);
}
