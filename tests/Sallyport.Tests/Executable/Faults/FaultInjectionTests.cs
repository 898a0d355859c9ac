using Sallyport.Settings;
using Sallyport.Tests.Executable.Bounds;
using Sallyport.Tests.Heads.Amqp;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Faults;

/// <summary>Faults on request of a whole hub, on sockets.</summary>
public sealed class FaultInjectionTests : IAsyncDisposable
{
    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData("MQTT", "KillTcp")]
    [InlineData("MQTT", "ShutDownMqtt")]
    [InlineData("MQTT-WS", "KillTcp")]
    [InlineData("MQTT-WS", "ShutDownMqtt")]
    public async Task Mqtt_ThatAsked_IsCut_AndComesBack_AndNobodyElseNotices(string transport, string kind)
    {
        await StartAsync(new InsecureSwitch("", "", null));
        await using var bystander = await _devices.ConnectAsync("bystander", transport);
        await using var device = await _devices.ConnectAsync("d1", transport);
        await device.SendAsync(device.Telemetry("asks", bag: Bag(kind)));
        await device.ExpectAsync(Packets.PubAck(1));
        await device.ExpectAliveAsync();

        _time.Advance(TimeSpan.FromSeconds(2));

        await device.ExpectClosedAsync();
        await bystander.PublishAsync("still here");
        await using var again = await _devices.ConnectAsync("d1", transport);
        await again.PublishAsync("back");
    }

    [Theory]
    [InlineData("AMQP", "KillTcp")]
    [InlineData("AMQP", "KillAmqpConnection")]
    [InlineData("AMQP", "ShutDownAmqp")]
    [InlineData("AMQP-WS", "KillTcp")]
    [InlineData("AMQP-WS", "KillAmqpConnection")]
    public async Task Amqp_ThatAsked_IsCut_AndComesBack_AndNobodyElseNotices(string transport, string kind)
    {
        await StartAsync(new InsecureSwitch("", "", null));
        await using var bystander = await _devices.ConnectAmqpAsync("bystander", transport);
        await using var device = await _devices.ConnectAmqpAsync("d1", transport);
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("asks", ("AzIoTHub_FaultOperationType", kind))));
        await device.HearUntilAsync("disposition");

        _time.Advance(TimeSpan.FromSeconds(2));

        if (kind == "KillTcp")
            await device.ExpectEndAsync();
        else
            await device.HearUntilAsync("close amqp:connection:forced");
        await bystander.PublishAsync("still here");
        await using var again = await _devices.ConnectAmqpAsync("d1", transport);
        await again.PublishAsync("back");
    }

    [Fact]
    public async Task Switch_IsInThePosture()
    {
        await StartAsync(new InsecureSwitch("", "", null));
        using var owner = _hub.Owner();

        var posture = await owner.SendAsync(HttpMethod.Get, "manage/v1/posture");

        Assert.Contains("Listeners:InsecureFaultInjection", posture!.ToJsonString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutTheSwitch_AFaultIsTelemetry()
    {
        await StartAsync(on: null);
        await using var device = await _devices.ConnectAsync("d1");
        await device.SendAsync(device.Telemetry("asks", bag: Bag("KillTcp")));
        await device.ExpectAsync(Packets.PubAck(1));

        _time.Advance(TimeSpan.FromSeconds(3));

        await device.PublishAsync("goes on", packetId: 2);
        Assert.Equal(["asks", "goes on"], (await _devices.EventsAsync()).Select(one => (string?)one["body"]));
    }

    private static string Bag(string kind) => $"AzIoTHub_FaultOperationType={kind}&AzIoTHub_FaultOperationDelayInSecs=2";

    private async Task StartAsync(InsecureSwitch? on)
    {
        _hub = await TestHub.StartAsync(settings => settings with { Listeners = settings.Listeners with { InsecureFaultInjection = on } }, _time);
        _devices = new TestDevices(_hub, _time);
        await _devices.RegisterAsync("d1", "bystander");
    }
}
