using System.Text.Json.Nodes;
using Sallyport.Client.Device;
using Sallyport.Client.Service;
using Sallyport.Simulate;

namespace Sallyport.Tests.Executable.Simulate;

/// <summary>Simulated devices against a whole hub.</summary>
public sealed class SimulationTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private TestHub _hub = null!;
    private ServiceClient _owner = null!;

    [Fact]
    public async Task File_ReplayedByTwoDevices_ArrivesWholeAndInOrderFromEach()
    {
        var file = _directory["data.csv"];
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, 300).Select(i => i == 7 ? "broken" : $"2012-01-01,{i}").Prepend("date,n"));
        var bad = new List<BadRow>();
        var simulation = new Simulation(new SimulationOptions { Source = file, TimeColumn = "date", Speed = 0, Devices = 2 }, Device, TimeProvider.System) { OnBadRow = bad.Add };

        await simulation.RunAsync(await simulation.RegisterAsync(_owner, Cancel), Cancel);

        Assert.Equal(598, simulation.Sent);
        Assert.Equal(1, simulation.BadRows);
        Assert.Equal(9, bad.Single().Line);
        foreach (var device in (string[])["sim1", "sim2"])
        {
            var events = await EventsAsync(device);
            Assert.Equal(Enumerable.Range(0, 300).Where(i => i != 7), events.Select(one => (int)one["body"]!["n"]!));
            Assert.All(events, one => Assert.Equal("application/json", (string?)one["systemProperties"]!["content-type"]));
        }
    }

    [Fact]
    public async Task Machine_SendsAsManyReadingsAsAsked()
    {
        var simulation = new Simulation(
            new SimulationOptions { Source = "host", MessageCount = 3, Interval = TimeSpan.FromMilliseconds(1) }, Device, TimeProvider.System);

        await simulation.RunAsync(await simulation.RegisterAsync(_owner, Cancel), Cancel);

        Assert.Equal(3, simulation.Sent);
        Assert.All(await EventsAsync("sim1"), one => Assert.True((double)one["body"]!["memoryTotalBytes"]! > 0));
    }

    [Fact]
    public async Task Device_ThatIsDisabled_EndsTheSimulation()
    {
        await _owner.PutDeviceAsync("sim1", new JsonObject { ["status"] = "disabled" });
        var simulation = new Simulation(new SimulationOptions { Source = "host" }, Device, TimeProvider.System);
        var devices = await simulation.RegisterAsync(_owner, Cancel);

        await Assert.ThrowsAsync<DeviceRefusedException>(() => simulation.RunAsync(devices, Cancel));
    }

    [Theory]
    [InlineData(1, 0, 10)]
    [InlineData(2, 5, 5)]
    public async Task Pace_KeepsTheMeasuredSpacingDividedByTheSpeed(double speed, int secondsLate, int expectedSeconds)
    {
        var time = new StepTime();
        var pace = new Pace(new SimulationOptions { Source = "x.csv", TimeColumn = "t", Speed = speed }, time);
        var first = DateTimeOffset.UnixEpoch;
        await pace.WaitAsync(first, Cancel);

        // What the sending took is not waited again.
        time.Advance(TimeSpan.FromSeconds(secondsLate));
        var measured = (expectedSeconds + secondsLate) * speed;
        var wait = pace.WaitAsync(first.AddSeconds(measured), Cancel);

        Assert.Equal(TimeSpan.FromSeconds(expectedSeconds), await time.WaitBeganAsync(TimeSpan.Zero, TimeSpan.MaxValue));
        time.Advance(TimeSpan.FromSeconds(expectedSeconds));
        await wait;
    }

    [Fact]
    public async Task Pace_OfARowMeasuredEarlier_DoesNotWait()
    {
        var pace = new Pace(new SimulationOptions { Source = "x.csv", TimeColumn = "t" }, new StepTime());
        await pace.WaitAsync(DateTimeOffset.UnixEpoch, Cancel);

        Assert.True(pace.WaitAsync(DateTimeOffset.UnixEpoch.AddDays(-1), Cancel).IsCompletedSuccessfully);
    }

    [Fact]
    public void Options_ThatAreNotValid_AreAllNamedAtOnce()
    {
        var errors = new SimulationOptions { Devices = 0, Speed = -1, Interval = TimeSpan.Zero, Source = "/not/there.csv", MessageCount = 0 }.Validate();

        Assert.Equal(5, errors.Count);
    }

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _owner = new ServiceClient(_hub.Endpoints.OwnerConnectionString!, new ServiceClientOptions { Port = _hub.Endpoints.HttpsPort, CaFile = _hub.Endpoints.CaFile });
    }

    public async ValueTask DisposeAsync()
    {
        _owner.Dispose();
        await _hub.DisposeAsync();
        _directory.Dispose();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private DeviceClientOptions Device => new() { Port = _hub.Endpoints.MqttsPort!.Value, CaFile = _hub.Endpoints.CaFile };

    private async Task<List<JsonObject>> EventsAsync(string device)
    {
        var events = new List<JsonObject>();
        await foreach (var one in _owner.StreamAsync($"manage/v1/events?from=earliest&follow=false&deviceId={device}", Cancel))
        {
            if (one["body"] is not null)
                events.Add(one);
        }

        return events;
    }
}
