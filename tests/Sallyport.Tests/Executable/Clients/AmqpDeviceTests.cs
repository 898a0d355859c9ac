using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Client.Amqp;
using Sallyport.Client.Device;
using Sallyport.Client.Service;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>The device client over AMQP and TLS against a whole hub.</summary>
public sealed class AmqpDeviceTests : IAsyncDisposable
{
    private TestHub _hub = null!;
    private ServiceClient _owner = null!;

    [Fact]
    public async Task Telemetry_OfADeviceAndAModule_IsStoredAsFromAnyDevice()
    {
        await StartAsync();
        var key = await RegisterAsync("d1");
        var module = (string)(await _owner.PutModuleAsync("d1", "m#1", cancel: Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!;
        await using (var device = Client("d1", key))
        {
            await device.SendAsync(Text("""{"t":1}""") with
            {
                MessageId = "m1", ContentType = "application/json", ContentEncoding = "utf-8", Properties = new Dictionary<string, string> { ["room"] = "é" },
            }, Cancel);
            await device.SendAsync(new TelemetryMessage(new byte[200_000]), Cancel);
        }

        await using (var other = Client("d1;ModuleId=m#1", module))
            await other.SendAsync(Text("of the module"), Cancel);

        var events = await EventsAsync();
        Assert.Equal(1, (int)events[0]["body"]!["t"]!);
        Assert.Equal("m1", (string?)events[0]["systemProperties"]!["message-id"]);
        Assert.Equal("application/json", (string?)events[0]["systemProperties"]!["content-type"]);
        Assert.Equal("é", (string?)events[0]["properties"]!["room"]);
        Assert.Equal("m#1", (string?)events.Single(one => one["moduleId"] is not null)["moduleId"]);
        Assert.Equal(3, events.Count);
    }

    [Fact]
    public async Task ManyMessages_InFlight_ArriveOnceEachAndInOrder()
    {
        await StartAsync();
        await using var device = Client("d1", await RegisterAsync("d1"));

        await Task.WhenAll(Enumerable.Range(0, 3000).Select(i => device.SendAsync(Text($"{i}"), Cancel)));

        Assert.Equal(Enumerable.Range(0, 3000), (await EventsAsync()).Select(one => (int)one["body"]!));
    }

    [Fact]
    public async Task Device_WithAnotherKey_IsRefused()
    {
        await StartAsync();
        await RegisterAsync("d1");
        await using var device = Client("d1", Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));

        await Assert.ThrowsAsync<DeviceRefusedException>(() => device.SendAsync(Text("x"), Cancel));
    }

    [Fact]
    public async Task Device_ThatIsUnknown_IsRefused()
    {
        await StartAsync();
        await using var device = Client("nobody", Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));

        await Assert.ThrowsAsync<DeviceRefusedException>(() => device.SendAsync(Text("x"), Cancel));
    }

    [Fact]
    public async Task Device_DisabledWhileConnected_IsRefusedAndLetInAgainOnceItIsEnabled()
    {
        await StartAsync();
        var key = await RegisterAsync("d1");
        await using var device = Client("d1", key);
        await device.SendAsync(Text("1"), Cancel);

        await ChangeAsync("d1", identity => identity["status"] = "disabled");
        await Assert.ThrowsAsync<DeviceRefusedException>(() => UntilRefusedAsync(device));
        await ChangeAsync("d1", identity => identity["status"] = "enabled");

        await device.SendAsync(Text("2"), Cancel);
    }

    [Fact]
    public async Task Key_ReplacedWhileConnected_TurnsTheOldOneAway()
    {
        await StartAsync();
        await using var device = Client("d1", await RegisterAsync("d1"));
        await device.SendAsync(Text("1"), Cancel);
        var key = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

        await ChangeAsync("d1", identity =>
        {
            identity["authentication"]!["symmetricKey"]!["primaryKey"] = key;
            identity["authentication"]!["symmetricKey"]!["secondaryKey"] = Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));
        });

        await Assert.ThrowsAsync<DeviceRefusedException>(() => UntilRefusedAsync(device));
        await using var again = Client("d1", key);
        await again.SendAsync(Text("2"), Cancel);
    }

    [Fact]
    public async Task Message_TheHubRejects_SaysSoAndTheConnectionGoesOn()
    {
        await StartAsync();
        await using var device = Client("d1", await RegisterAsync("d1"));
        var properties = Enumerable.Range(0, 1025).ToDictionary(i => $"p{i}", i => "v");

        var refused = await Assert.ThrowsAsync<AmqpRefusedException>(() => device.SendAsync(Text("x") with { Properties = properties }, Cancel));
        await device.SendAsync(Text("y"), Cancel);

        Assert.Equal("com.microsoft:argument-error", refused.Condition);
        Assert.False(refused.IsRetryable);
        Assert.Single(await EventsAsync());
    }

    [Fact]
    public async Task Token_RenewedOnTheSameConnection_OutlivesTheFirst()
    {
        var time = new StepTime(DateTimeOffset.UtcNow);
        await StartAsync(time);
        await using var device = Client("d1", await RegisterAsync("d1"), time, tokenLifetime: TimeSpan.FromMinutes(10));
        await device.SendAsync(Text("0"), Cancel);
        var since = (await DiagnosisAsync())["connectedSince"]!.ToJsonString();

        // 10 minutes of life, 5 of skew.
        for (var minute = 1; minute <= 20; minute++)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            await device.SendAsync(Text($"{minute}"), Cancel);
        }

        Assert.Equal(since, (await DiagnosisAsync())["connectedSince"]!.ToJsonString());
    }

    [Fact]
    public async Task Hub_Restarted_GetsWhatWasSentMeanwhile()
    {
        await StartAsync();
        await using var door = new FixedDoor(() => _hub.Endpoints.AmqpsPort!.Value);
        await using var device = Client("d1", await RegisterAsync("d1"), port: door.Port);
        await device.SendAsync(Text("0"), Cancel);
        Task[] sent = [];

        await _hub.RestartAsync(() =>
        {
            sent = [.. Enumerable.Range(1, 50).Select(i => device.SendAsync(Text($"{i}"), Cancel))];
            return Task.CompletedTask;
        });
        await Task.WhenAll(sent);

        _owner.Dispose();
        _owner = _hub.Owner();
        Assert.Equal(Enumerable.Range(0, 51), (await EventsAsync()).Select(one => (int)one["body"]!).Distinct());
    }

    public async ValueTask DisposeAsync()
    {
        _owner?.Dispose();
        if (_hub is not null)
            await _hub.DisposeAsync();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private async Task StartAsync(TimeProvider? time = null)
    {
        _hub = await TestHub.StartAsync(time: time);
        _owner = _hub.Owner();
    }

    private async Task<string> RegisterAsync(string id) => (string)(await _owner.PutDeviceAsync(id, cancel: Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!;

    private async Task ChangeAsync(string id, Action<JsonObject> change)
    {
        var identity = await _owner.GetDeviceAsync(id, Cancel);
        change(identity);
        await _owner.PutDeviceAsync(id, identity, ifMatch: "*", cancel: Cancel);
    }

    private DeviceClient Client(string id, string key, TimeProvider? time = null, TimeSpan? tokenLifetime = null, int? port = null) => new(
        $"HostName=localhost;DeviceId={id};SharedAccessKey={key}",
        new DeviceClientOptions
        {
            Transport = DeviceTransport.Amqp,
            Port = port ?? _hub.Endpoints.AmqpsPort!.Value,
            CaFile = _hub.Endpoints.CaFile,
            ReconnectMin = TimeSpan.FromMilliseconds(10),
            ReconnectMax = TimeSpan.FromMilliseconds(200),
            TokenLifetime = tokenLifetime ?? TimeSpan.FromHours(1),
            Time = time ?? TimeProvider.System,
        });

    // What was on its way when the hub closed the link may still have been taken.
    private static async Task UntilRefusedAsync(DeviceClient device)
    {
        while (true)
            await device.SendAsync(Text("more"), Cancel);
    }

    private async Task<JsonObject> DiagnosisAsync() => (JsonObject)(await _owner.SendAsync(HttpMethod.Get, "manage/v1/devices/d1/diagnosis", cancel: Cancel))!;

    private async Task<List<JsonObject>> EventsAsync()
    {
        var events = new List<JsonObject>();
        await foreach (var one in _owner.StreamAsync("manage/v1/events?from=earliest&follow=false", Cancel))
        {
            if ((string?)one["source"] == "Telemetry")
                events.Add(one);
        }

        return events;
    }

    private static TelemetryMessage Text(string text) => new(Encoding.UTF8.GetBytes(text));
}
