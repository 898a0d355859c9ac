using Sallyport.Hub.Diagnosis;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>Faults that a client asks for over MQTT.</summary>
public sealed class MqttFaultTests : IAsyncDisposable
{
    private MqttTestHub _hub = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData("KillTcp")]
    [InlineData("ShutDownMqtt")]
    public async Task Fault_ComesAfterItsDelay_AndToWhoeverAskedAlone(string kind)
    {
        var client = await StartAsync();
        var other = await _hub.ConnectAsync("d2");

        await client.SendAsync(Packets.Telemetry("asks", bag: Bag(kind)));
        await client.ExpectAsync(Packets.PubAck(1));
        _hub.Time.Advance(TimeSpan.FromMilliseconds(1999));
        await client.ExpectAliveAsync();
        _hub.Time.Advance(TimeSpan.FromMilliseconds(1));

        await client.ExpectClosedAsync();
        await other.ExpectAliveAsync();
        Assert.Equal("asks", Assert.Single(await _hub.StoredAsync(1)).Body);
        var end = _hub.Attempts.Of("d1")[0];
        Assert.Equal((AttemptOutcome.Closed, $"injected fault {kind} (boom)"), (end.Outcome, end.Reason));
        await (await _hub.ConnectAsync()).ExpectAliveAsync();
    }

    [Theory]
    [InlineData("InvokeThrottling", 429001)]
    [InlineData("InvokeMaxMessageQuota", 403002)]
    [InlineData("InvokeAuthError", 401003)]
    public async Task Refusal_EndsTheConnectionWithTheNextMessage(string kind, int code)
    {
        var client = await StartAsync();
        await client.SendAsync(Packets.Telemetry("asks", bag: Bag(kind)));
        await client.ExpectAsync(Packets.PubAck(1));
        _hub.Time.Advance(TimeSpan.FromSeconds(2));
        await client.ExpectAliveAsync();

        await client.SendAsync(Packets.Telemetry("refused", packetId: 2));

        await client.ExpectClosedAsync();
        Assert.Equal(code, _hub.Attempts.Of("d1")[0].Code);
        Assert.Equal(1, _hub.StoredCount());
    }

    [Fact]
    public async Task Refusal_IsOverAfterItsDuration()
    {
        var client = await StartAsync();
        await client.SendAsync(Packets.Telemetry("asks", bag: Bag("InvokeThrottling")));
        await client.ExpectAsync(Packets.PubAck(1));
        _hub.Time.Advance(TimeSpan.FromSeconds(2));
        await client.ExpectAliveAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(5));

        await client.SendAsync(Packets.Telemetry("taken", packetId: 2));

        await client.ExpectAsync(Packets.PubAck(2));
    }

    [Fact]
    public async Task Fault_ThatIsAhead_GivesWayToANewerOne()
    {
        var client = await StartAsync();
        await client.SendAsync(Packets.Telemetry("a", bag: Bag("KillTcp")), Packets.Telemetry("b", packetId: 2, bag: Bag("ShutDownMqtt", delay: 10)));
        await client.ExpectAsync(Packets.PubAck(1), Packets.PubAck(2));
        _hub.Time.Advance(TimeSpan.FromSeconds(9));
        await client.ExpectAliveAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Fault_OfAConnectionThatIsGone_DoesNothingToTheNewOne()
    {
        var client = await StartAsync();
        await client.SendAsync(Packets.Telemetry("asks", bag: Bag("KillTcp")));
        await client.ExpectAsync(Packets.PubAck(1));
        await client.GoAwayAsync();
        var newer = await _hub.ConnectAsync();

        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        await newer.ExpectAliveAsync();
    }

    [Theory]
    [InlineData("KillAmqpConnection", true)]
    [InlineData("KillAmqpD2CLink", true)]
    [InlineData("Nonsense", true)]
    [InlineData("KillTcp", false)]
    [InlineData("InvokeAuthError", false)]
    public async Task Fault_OfAmqp_OrWithoutTheSwitch_IsTelemetry(string kind, bool faults)
    {
        var client = await StartAsync(faults);
        await client.SendAsync(Packets.Telemetry("asks", bag: Bag(kind)));
        await client.ExpectAsync(Packets.PubAck(1));
        _hub.Time.Advance(TimeSpan.FromSeconds(3));

        await client.SendAsync(Packets.Telemetry("goes on", packetId: 2));
        await client.ExpectAsync(Packets.PubAck(2));

        var stored = (await _hub.StoredAsync(2))[0];
        Assert.Equal((kind, "boom"), (stored.Properties["AzIoTHub_FaultOperationType"], stored.Properties["AzIoTHub_FaultOperationCloseReason"]));
    }

    private async Task<MqttTestClient> StartAsync(bool faults = true)
    {
        _hub = await MqttTestHub.StartAsync(faults: faults);
        return await _hub.ConnectAsync();
    }

    private static string Bag(string kind, int delay = 2) =>
        $"AzIoTHub_FaultOperationType={kind}&AzIoTHub_FaultOperationCloseReason=boom&AzIoTHub_FaultOperationDelayInSecs={delay}&AzIoTHub_FaultOperationDurationInSecs=5";
}
