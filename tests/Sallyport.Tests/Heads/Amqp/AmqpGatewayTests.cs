using Sallyport.Protocol.Identities;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>A gateway's connection, which carries its children under the one token of its hub.</summary>
public sealed class AmqpGatewayTests : IAsyncLifetime
{
    private static readonly Identity EdgeHub = Identity.Of("edge", "$edgeHub");

    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await AmqpTestHub.StartAsync();
        await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of("edge")) with { IotEdge = true, DeviceScope = EdgeScope.Of("edge", "1") });
        await _hub.Access.PutAsync(AccessFixture.Record(EdgeHub));
        await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of("leaf")) with { DeviceScope = EdgeScope.Of("edge", "1"), ParentScopes = [EdgeScope.Of("edge", "1")] });
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Child_IsConnectedAsItself_AndTheDiagnosisSaysThroughWhom()
    {
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/leaf", _hub.Access.Token(EdgeHub))); // as the C# SDK puts it
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/leaf/messages/events"));
        await client.ExpectAsync("attach", "flow");
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("x")));
        await client.ExpectAsync("disposition");

        Assert.Equal("leaf", Assert.Single(await _hub.StoredAsync(1)).Annotations["iothub-connection-device-id"]);
        Assert.Equal("through edge/$edgeHub (leaf;edge)", _hub.Newest("leaf").Reason);
        Assert.Equal(["edge"], _hub.Access.Connected.Find(Identity.Of("leaf"))!.Principal.Gateways);
    }

    [Fact]
    public async Task DeviceThatIsNotInTheScope_IsRefused_AndTheChildLives()
    {
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/edge/modules/$edgeHub", _hub.Access.Token(EdgeHub)));
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/leaf/messages/events"));
        await client.ExpectAsync("attach", "flow");

        await client.SendAsync(Frames.AttachSender(3, "other", "devices/d1/messages/events"));

        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
        Assert.Equal("d1 is not in the scope of edge, whose token was shown", _hub.Newest("d1").Reason);
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("x")));
        await client.ExpectAsync("disposition");
    }

    [Fact]
    public async Task NewerTokenOfTheGateway_CarriesItsChildrenOn()
    {
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/edge/modules/$edgeHub", _hub.Access.Token(EdgeHub, life: TimeSpan.FromMinutes(10))));
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/leaf/messages/events"));
        await client.ExpectAsync("attach", "flow");

        Assert.Equal(200, await client.PutAsync("hub.test/devices/edge/modules/$edgeHub", _hub.Access.Token(EdgeHub, life: TimeSpan.FromHours(2))));

        Assert.True(_hub.Access.Connected.Find(Identity.Of("leaf"))!.Principal.Expires > _hub.Time.GetUtcNow() + TimeSpan.FromHours(1));
    }
}
