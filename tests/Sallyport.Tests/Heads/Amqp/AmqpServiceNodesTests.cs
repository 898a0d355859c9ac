using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>What services attach to besides the events.</summary>
public sealed class AmqpServiceNodesTests : IAsyncLifetime
{
    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await AmqpTestHub.StartAsync();

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData("messages/servicebound/feedback")]
    [InlineData("/messages/serviceBound/filenotifications")]
    public async Task Feedback_IsAttached_AndHasNothing(string address)
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(Frames.AttachReceiver(2, "feedback", address), Frames.Credit(2, 0, 10));
        await client.ExpectAsync("attach");
        Assert.Equal(400, await client.PutAsync("hub.test", ""));
    }

    [Theory]
    [InlineData("messages/devicebound", true)]
    [InlineData("messages/servicebound/feedback", false)]
    public async Task Link_OfTheWrongDirection_IsRefused(string address, bool receives)
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(receives ? Frames.AttachReceiver(2, "l", address) : Frames.AttachSender(2, "l", address));
        await client.ExpectAsync("attach", "detach amqp:not-found");
    }

    [Theory]
    [InlineData("registryRead")]
    [InlineData("device")]
    public async Task Link_WithAPolicyWithoutTheRight_IsRefused_Audited(string policy)
    {
        var client = await _hub.ServiceAsync(policy);
        await client.SendAsync(Frames.AttachSender(2, "commands", "messages/devicebound"));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
        Assert.StartsWith($"401002 the policy {policy} does not hold", Assert.Single(_hub.Refusals).Reason, StringComparison.Ordinal);
    }
}
