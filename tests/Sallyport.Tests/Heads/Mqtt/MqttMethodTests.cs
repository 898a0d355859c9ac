using System.Text;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Topics;
using Sallyport.Tests.Hub.Registry;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>Direct methods as a device sees them over MQTT.</summary>
public sealed class MqttMethodTests : IAsyncLifetime
{
    private MqttTestHub _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData((byte)0)]
    [InlineData((byte)1)]
    public async Task Request_GoesToWhoIsSubscribed_AndTheAnswerComesBack(byte qos)
    {
        var client = await SubscribedAsync();

        var call = InvokeAsync("{\"a\":1}");
        var (topic, payload) = await client.ExpectMessageAsync();
        await client.SendAsync(Packets.Publish(Response(topic, "207"), "\"done\"", qos, packetId: 9));

        var result = await call;
        Assert.StartsWith("$iothub/methods/POST/reboot/?$rid=", topic, StringComparison.Ordinal);
        Assert.Equal("{\"a\":1}", payload);
        Assert.Equal((207, "\"done\""), (result.Status, Encoding.UTF8.GetString(result.Payload.Span)));
        if (qos == 1)
            await client.ExpectAsync(Packets.PubAck(9));
        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Requests_OfTheLargestSize_AreNotLost()
    {
        var client = await SubscribedAsync();
        var largest = $"\"{new string('x', MethodRules.MaxPayloadBytes - 2)}\"";

        var calls = new[] { InvokeAsync(largest), InvokeAsync(largest) };
        for (var i = 0; i < calls.Length; i++)
        {
            var (topic, payload) = await client.ExpectMessageAsync();
            Assert.Equal(largest.Length, payload.Length);
            await client.SendAsync(Packets.Publish(Response(topic, "200"), largest, qos: 0));
        }

        Assert.All(await Task.WhenAll(calls), result => Assert.Equal(largest.Length, result.Payload.Length));
        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Requests_OfAModule_AreItsOwn()
    {
        await SubscribedAsync();
        var module = await SubscribedAsync("d1/m1");

        var call = InvokeAsync("1", Identity.Of("d1", "m1"));
        await module.SendAsync(Packets.Publish(Response((await module.ExpectMessageAsync()).Topic, "200"), "", qos: 0));

        Assert.Equal("null", Encoding.UTF8.GetString((await call).Payload.Span));
    }

    [Fact]
    public async Task Request_AfterUnsubscribe_Is404103()
    {
        var client = await SubscribedAsync();
        await client.SendAsync(Packets.Unsubscribe(2, DeviceTopics.MethodRequests));
        await client.ExpectAsync([0xb0, 2, 0, 2]);
        await client.ExpectAliveAsync();

        await RefusedAsync(HubErrors.DeviceNotOnline, InvokeAsync());
    }

    [Fact]
    public async Task Session_ThatIsResumed_TakesMethods_WithoutSubscribingAnew()
    {
        var first = await SubscribedAsync(clean: false);
        await first.GoAwayAsync();
        var call = InvokeAsync(connect: 30);

        var second = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await second.SendAsync(Packets.Publish(Response((await second.ExpectMessageAsync()).Topic, "200"), "1", qos: 0));

        Assert.Equal(200, (await call).Status);
    }

    [Fact]
    public async Task Disconnect_FailsTheCallsUnderWay()
    {
        var client = await SubscribedAsync();
        var call = InvokeAsync();
        await client.ExpectMessageAsync();

        await client.GoAwayAsync();

        await RefusedAsync(HubErrors.GatewayTimeout, call);
    }

    [Theory]
    [InlineData("$iothub/methods/res/")]
    [InlineData("$iothub/methods/res/200/")]
    [InlineData("$iothub/methods/res/200/?$rid=")]
    [InlineData("$iothub/methods/res/200/?$rid=nonsense")]
    [InlineData("$iothub/methods/res/99999999999/?$rid=00000000000000000000000000000000")]
    [InlineData("$iothub/methods/res/200/?$rid=00000000000000000000000000000000")]
    public async Task Answer_ThatNobodyWaitsFor_CostsNothing(string topic)
    {
        var client = await SubscribedAsync();

        await client.SendAsync(Packets.Publish(topic, "{", qos: 0));

        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Answer_OfAnotherDevice_IsNotTaken()
    {
        var client = await SubscribedAsync();
        var other = await _hub.ConnectAsync("d2");
        var call = InvokeAsync();
        var (topic, _) = await client.ExpectMessageAsync();

        await other.SendAsync(Packets.Publish(Response(topic, "666"), "1", qos: 0));
        await other.ExpectAliveAsync();
        await client.SendAsync(Packets.Publish(Response(topic, "200"), "2", qos: 0));

        Assert.Equal(200, (await call).Status);
    }

    [Theory]
    [InlineData("nonsense", "1")]
    [InlineData("99999999999", "1")]
    [InlineData("200", "{")]
    public async Task Answer_ThatIsNone_Is502_AndTheConnectionLives(string status, string payload)
    {
        var client = await SubscribedAsync();
        var call = InvokeAsync();

        await client.SendAsync(Packets.Publish(Response((await client.ExpectMessageAsync()).Topic, status), payload, qos: 0));

        await RefusedAsync(HubErrors.BadDeviceResponse, call);
        await client.ExpectAliveAsync();
    }

    private async Task<MqttTestClient> SubscribedAsync(string clientId = "d1", bool clean = true)
    {
        var client = await _hub.ConnectAsync(clientId, clean);
        await client.SendAsync(Packets.Subscribe(1, (DeviceTopics.MethodRequests, 0)));
        await client.ExpectAsync([0x90, 3, 0, 1, 0]);
        await client.ExpectAliveAsync();
        return client;
    }

    private Task<MethodResult> InvokeAsync(string payload = "null", Identity? identity = null, int connect = 0) => _hub.Methods.InvokeAsync(
        RegistryFixture.Owner, new MethodCall(identity ?? Identity.Of("d1"), "reboot", Encoding.UTF8.GetBytes(payload)) { ConnectTimeout = TimeSpan.FromSeconds(connect) }, Cancel);

    private static string Response(string request, string status) => $"$iothub/methods/res/{status}/{request[request.IndexOf('?', StringComparison.Ordinal)..]}";

    private static async Task RefusedAsync(HubError error, Task call) =>
        Assert.Same(error, (await Assert.ThrowsAsync<HubException>(() => call.WaitAsync(MqttTestClient.Patience, Cancel))).Error);
}
