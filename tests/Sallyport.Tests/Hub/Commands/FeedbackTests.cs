using System.Text.Json.Nodes;

namespace Sallyport.Tests.Hub.Commands;

public sealed class FeedbackTests : IAsyncLifetime
{
    private CommandsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await CommandsFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Feedback_IsToldAfter15Seconds_OncePerReceiver()
    {
        await CompleteAsync("a");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(14));
        Assert.Null(_hub.Feedback.Receive(null));
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(1));

        var batch = _hub.Feedback.Receive(null)!;
        Assert.Null(_hub.Feedback.Receive(null));
        var told = Assert.Single(JsonNode.Parse(batch.Body)!.AsArray())!;
        Assert.Equal(
            """{"originalMessageId":"a","deviceGenerationId":"g1","deviceId":"d1","enqueuedTimeUtc":"2026-01-02T12:00:00Z","statusCode":"Success","description":"Success"}""",
            told.ToJsonString());
        Assert.True(await _hub.Feedback.CompleteAsync(batch.Token));
        Assert.False(await _hub.Feedback.CompleteAsync(batch.Token));
        Assert.Null(_hub.Feedback.Receive(null));
    }

    [Fact]
    public async Task Feedback_OfManyCommands_IsToldAtOnceInBatchesOf64()
    {
        for (var i = 0; i < 70; i++)
            await CompleteAsync($"{i}");
        await _hub.LookAfterAsync(TimeSpan.Zero);

        var batch = _hub.Feedback.Receive(null)!;
        Assert.Equal(64, JsonNode.Parse(batch.Body)!.AsArray().Count);
        Assert.Null(_hub.Feedback.Receive(null));
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        Assert.Equal(6, JsonNode.Parse(_hub.Feedback.Receive(null)!.Body)!.AsArray().Count);
    }

    [Fact]
    public async Task Batch_WhoseLockEndsOrWhoseReceiverGoes_IsAnothers()
    {
        var offered = 0;
        await CompleteAsync("a");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        _hub.Feedback.Available += () => offered++;
        var first = _hub.Feedback.Receive(null)!;
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(60));
        Assert.Equal(1, offered);

        var second = _hub.Feedback.Receive(this)!;
        Assert.False(await _hub.Feedback.CompleteAsync(first.Token));
        _hub.Feedback.Release(this);
        Assert.False(await _hub.Feedback.CompleteAsync(second.Token));
        Assert.Equal(2, offered);
        Assert.NotNull(_hub.Feedback.Receive(null));
    }

    [Fact]
    public async Task Batch_AbandonedTooOften_OrTooOld_IsDropped()
    {
        await CompleteAsync("a");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        for (var i = 0; i < 10; i++)
        {
            var batch = _hub.Feedback.Receive(null)!;
            Assert.Equal(i, batch.DeliveryCount);
            Assert.True(await _hub.Feedback.AbandonAsync(batch.Token));
        }

        Assert.Null(_hub.Feedback.Receive(null));
        await CompleteAsync("b");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        await _hub.LookAfterAsync(TimeSpan.FromHours(1));
        Assert.Null(_hub.Feedback.Receive(null));
        Assert.Empty(_hub.Told());
    }

    [Fact]
    public async Task Feedback_OfADeletedDevice_GoesWithIt_AndSurvivesARestartOtherwise()
    {
        await CompleteAsync("a");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        await _hub.RestartAsync();
        Assert.Equal(["a Success"], _hub.Told());

        await _hub.Metadata.WriteAsync(tx => _hub.Metadata.Identities.Delete(tx, "d1", null));
        Assert.Null(_hub.Feedback.Receive(null));
        await _hub.LookAfterAsync(TimeSpan.Zero);
        Assert.Empty(_hub.Metadata.Read(tx => _hub.Metadata.Feedback.ListBatches(tx, 0, 10)));
    }

    private async Task CompleteAsync(string id)
    {
        await _hub.SendAsync(id, "positive");
        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, _hub.Receive()!.Token));
    }
}
