using System.Globalization;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Somebody sets the wall clock of a hub by an hour, with devices connected and while it is down.</summary>
public sealed class ClockStepTests : IAsyncLifetime
{
    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync(time: _time);
        _devices = new TestDevices(_hub, _time);
        await _devices.RegisterAsync("d1", "d2");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Step_WithDevicesConnected_CutsNobodyOff_AndEnqueuedTimeNeverDecreases(int hours)
    {
        await using var device = await _devices.ConnectAsync("d1");
        await device.PublishAsync("before");

        _time.ClockStep = TimeSpan.FromHours(hours);
        _time.Advance(TimeSpan.FromSeconds(2)); // whoever looks at deadlines looks now

        await device.PublishAsync("after", packetId: 2);
        await using var newcomer = await _devices.ConnectAsync("d2");
        await newcomer.PublishAsync("of a newcomer");
        var events = await _devices.EventsAsync();
        Assert.Equal(["before", "after"], Bodies(events));
        AssertTimesNeverDecrease(events);
        Assert.Equal(hours > 0, Enqueued(events, "after") > Enqueued(events, "before").AddMinutes(59));
    }

    [Fact]
    public async Task StepForward_BeyondAToken_ClosesThatDeviceOnly_AndANewTokenIsLetIn()
    {
        await using var lasting = await _devices.ConnectAsync("d1");
        var expired = await _devices.ConnectAsync("d2", tokenLife: TimeSpan.FromMinutes(30));

        _time.ClockStep = TimeSpan.FromHours(1);
        _time.Advance(TimeSpan.FromSeconds(2));

        await expired.ExpectClosedAsync();
        await using var again = await _devices.ConnectAsync("d2", tokenLife: TimeSpan.FromMinutes(30));
        await again.ExpectAliveAsync();
        await lasting.ExpectAliveAsync();
        await again.DisposeAsync();
        await lasting.DisposeAsync();
        Assert.Equal(("device:d2", "mqtt connection", "401003 the token expired"), Assert.Single(await _devices.RefusalsAsync()));
    }

    [Fact]
    public async Task StepForward_DuringAHandshake_DoesNotShortenIt()
    {
        await using var slow = await WireDevice.OpenAsync(_hub.Endpoints, "MQTT");
        await using var other = await _devices.ConnectAsync("d2");

        _time.ClockStep = TimeSpan.FromHours(1);
        _time.Advance(TimeSpan.FromSeconds(9));

        await other.ExpectAliveAsync();
        await slow.SendAsync([0x10, 2]); // half a CONNECT is still taken
        _time.Advance(TimeSpan.FromSeconds(2));
        await slow.ExpectClosedAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public async Task Step_WhileTheHubIsDown_KeepsOrderAndTokens(int hours)
    {
        await using (var device = await _devices.ConnectAsync("d1"))
            await device.PublishAsync("before");
        await _hub.StopAsync();

        _time.ClockStep = TimeSpan.FromHours(hours);
        await _hub.RestartAsync();

        await using var back = await _devices.ConnectAsync("d1");
        await back.PublishAsync("after");
        var events = await _devices.EventsAsync();
        Assert.Equal(["before", "after"], Bodies(events));
        AssertTimesNeverDecrease(events);
    }

    private static IEnumerable<string> Bodies(JsonObject[] events) =>
        events.Where(e => (string?)e["deviceId"] == "d1").Select(e => (string)e["body"]!);

    private static DateTimeOffset Enqueued(JsonObject e) => DateTimeOffset.Parse((string)e["enqueuedTime"]!, CultureInfo.InvariantCulture);

    private static DateTimeOffset Enqueued(JsonObject[] events, string body) => Enqueued(events.Single(e => (string?)e["body"] == body));

    private static void AssertTimesNeverDecrease(JsonObject[] events)
    {
        foreach (var partition in events.GroupBy(e => (int)e["partition"]!))
            Assert.Equal(partition.Select(Enqueued).Order(), partition.Select(Enqueued));
    }
}
