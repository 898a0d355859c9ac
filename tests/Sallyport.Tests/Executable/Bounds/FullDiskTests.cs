using System.Net;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>The disk under a whole hub fills up and has room again.</summary>
public sealed class FullDiskTests : IAsyncLifetime
{
    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private LimitedFiles _disk = null!;
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync(
            settings => settings with { EventLog = settings.EventLog with { SegmentBytes = 1024 * 1024, CommitBufferBytes = 1024 * 1024 } },
            _time,
            async (options, key, time, logger) => await SegmentLog.OpenAsync(options, key, time, logger, () => _disk = new LimitedFiles(options.Directory)));
        _devices = new TestDevices(_hub, _time);
        await _devices.RegisterAsync("d1", "mqtt", "ws");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Telemetry_OnAFullDisk_IsRefused_WhileTheRest_Serves_AndTakenWhenThereIsRoom()
    {
        await using var device = await _devices.ConnectAsync("mqtt");
        await using var overWebSocket = await _devices.ConnectAsync("ws", "MQTT-WS");
        _disk.IsFull = true;
        var stored = 0;
        (HttpStatusCode Status, string? Error) answer;
        while ((answer = await _devices.PostAsync("d1", new string('f', 200_000))).Status == HttpStatusCode.NoContent)
            stored++;

        // HTTPS says so; MQTT holds the acknowledgement back, and closes after 20 s.
        Assert.Equal((HttpStatusCode.Forbidden, "IotHubQuotaExceeded"), answer);
        var large = new string('f', 200_000);
        _time.ForgetWaits();
        await device.SendAsync(device.Telemetry(large));
        await overWebSocket.SendAsync(overWebSocket.Telemetry(large));
        await HeldBackAsync(2);

        // Everything that does not need the log's room goes on.
        await _devices.RegisterAsync("new");
        await using var newcomer = await _devices.ConnectAsync("new");
        await newcomer.ExpectAliveAsync();
        Assert.Equal(stored, (await _devices.EventsAsync()).Length);
        Assert.Equal("ready\n", (await _hub.GetAsync("health/ready")).Body);

        var ends = Task.WhenAll(device.ExpectClosedAsync(), overWebSocket.ExpectClosedAsync());
        for (var second = 0; second < 40 && !ends.IsCompleted; second++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await newcomer.ExpectAliveAsync();
        }

        await ends;
        await device.DisposeAsync();
        await overWebSocket.DisposeAsync();

        // Room again: who waits is served without coming back.
        await newcomer.SendAsync(newcomer.Telemetry(large));
        await HeldBackAsync(1);
        _disk.IsFull = false;
        var acknowledged = newcomer.ExpectAsync(Packets.PubAck(1));
        for (var second = 0; second < 15 && !acknowledged.IsCompleted; second++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await _devices.EventsAsync(); // Authenticated: 10 s end a connection that is not.
        }

        await acknowledged;
        Assert.Equal((HttpStatusCode.NoContent, null), await _devices.PostAsync("d1", "x"));
        Assert.Equal(stored + 2, (await _devices.EventsAsync()).Length);
        await newcomer.DisposeAsync();
        // A socket of this test's own requests that is being closed while the clock jumps may be told of too.
        var refusals = (await _devices.RefusalsAsync()).Where(refusal => refusal.Action != "connection").ToList();
        Assert.Equal(["device:mqtt", "device:ws"], refusals.Where(refusal => refusal.Action == "mqtt connection").Select(refusal => refusal.Principal).Order());
        Assert.All(refusals, refusal => Assert.StartsWith("403002", refusal.Reason, StringComparison.Ordinal));
    }

    // Each of so many connections begins to try again once a second.
    private async Task HeldBackAsync(int connections)
    {
        for (var begun = 0; begun < connections; begun++)
            await _time.WaitBeganAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }

    /// <summary>Files of the disk, of which nothing may be left.</summary>
    private sealed class LimitedFiles(string directory) : ILogFiles
    {
        private readonly DiskFiles _files = new(directory);

        public volatile bool IsFull;

        public long FreeBytes => IsFull ? 0 : _files.FreeBytes;

        public IReadOnlyList<string> List() => _files.List();

        public ILogFile Open(string name, bool create) => _files.Open(name, create);

        public void Rename(string from, string to) => _files.Rename(from, to);

        public void Delete(string name) => _files.Delete(name);

        public void SyncDirectory() => _files.SyncDirectory();
    }
}
