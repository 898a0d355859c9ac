using System.Net;
using System.Text;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Bad input to a whole hub, on each protocol: it costs its sender the request or the connection, and no other client notices.</summary>
public sealed class BadInputTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync(time: _time);
        _devices = new TestDevices(_hub, _time);
        await _devices.RegisterAsync("d1", "bystander");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    public static TheoryData<string, string, byte[], string> Offences()
    {
        var offences = new TheoryData<string, string, byte[], string>();
        foreach (var transport in (string[])["MQTT", "MQTT-WS"])
        {
            offences.Add(transport, "a reserved packet type", [0xf0, 0], "400");
            offences.Add(transport, "a length that never ends", [0x32, 0xff, 0xff, 0xff, 0xff, 0xff], "400");
            offences.Add(transport, "an oversized frame", [0x32, 0xff, 0xff, 0xff, 0x7f], "413001");
            offences.Add(transport, "a second CONNECT", Packets.ConnectBytes(), "400");
            offences.Add(transport, "another device's topic", Packets.Publish("devices/bystander/messages/events/"), "401");
            offences.Add(transport, "QoS 2", Packets.Telemetry(qos: 2), "400");
            offences.Add(transport, "257 KB", Packets.Telemetry(new string('x', 257 * 1024)), "413001");
            offences.Add(transport, "a bad escape", Packets.Telemetry(bag: "a=%zz"), "400");
        }

        return offences;
    }

    [Theory]
    [MemberData(nameof(Offences))]
    public async Task Device_ThatOffends_IsClosedAndAudited_AndNobodyElseNotices(string transport, string what, byte[] offence, string code)
    {
        await using var bystander = await _devices.ConnectAsync("bystander");
        await using var device = await _devices.ConnectAsync("d1", transport);

        await device.SendAsync(offence);

        await device.ExpectClosedAsync();
        await bystander.PublishAsync("still here");
        Assert.Equal("bystander", (string?)Assert.Single(await _devices.EventsAsync())["deviceId"]);
        await device.DisposeAsync();
        await bystander.DisposeAsync();
        var refusal = Assert.Single(await _devices.RefusalsAsync());
        Assert.Equal(("device:d1", "mqtt connection"), (refusal.Principal, refusal.Action));
        Assert.True(refusal.Reason.StartsWith(code, StringComparison.Ordinal), $"{what}: {refusal.Reason}");
    }

    [Theory]
    [InlineData("MQTT")]
    [InlineData("MQTT-WS")]
    public async Task Subscription_OutsideTheOwnFilters_IsRefusedAlone_AndTheConnectionLives(string transport)
    {
        await using var device = await _devices.ConnectAsync("d1", transport);

        await device.SendAsync(Packets.Subscribe(7, ("#", 0), ("devices/bystander/messages/devicebound/#", 1), ("devices/d1/messages/devicebound/#", 1)));

        await device.ExpectAsync([0x90, 5, 0, 7, 0x80, 0x80, 1]);
        await device.ExpectAliveAsync();
    }

    [Theory]
    [InlineData("MQTT")]
    [InlineData("MQTT-WS")]
    public async Task SpoofedProperties_AreRemoved(string transport)
    {
        await using var device = await _devices.ConnectAsync("d1", transport);

        await device.SendAsync(device.Telemetry("x", bag: "iothub-connection-device-id=bystander&x-opt-offset=9&own=1"));
        await device.ExpectAsync(Packets.PubAck(1));

        var stored = Assert.Single(await _devices.EventsAsync());
        Assert.Equal("d1", (string?)stored["annotations"]!["iothub-connection-device-id"]);
        Assert.Equal("""{"own":"1"}""", stored["properties"]!.ToJsonString());
    }

    [Theory]
    [InlineData("another device's key", HttpStatusCode.Unauthorized, "IotHubUnauthorized")]
    [InlineData("257 KB", HttpStatusCode.RequestEntityTooLarge, "MessageTooLarge")]
    [InlineData("a property that is not allowed", HttpStatusCode.BadRequest, "ArgumentInvalid")]
    public async Task Request_ThatOffends_IsAnsweredItsError_AndNobodyElseNotices(string what, HttpStatusCode status, string error)
    {
        await using var bystander = await _devices.ConnectAsync("bystander");

        var answer = what switch
        {
            "257 KB" => await _devices.PostAsync("d1", new string('x', 257 * 1024)),
            "another device's key" => await _devices.PostAsync("bystander", "x", signer: "d1"),
            _ => await _devices.PostAsync("d1", "x", null, ("iothub-expiry", "tomorrow")),
        };

        Assert.Equal((status, error), answer);
        await bystander.PublishAsync("still here");
        Assert.Equal("bystander", (string?)Assert.Single(await _devices.EventsAsync())["deviceId"]);
    }

    [Theory]
    [InlineData("\x16\x03\x01 not HTTP\r\n\r\n", "400")]
    [InlineData("GET /devices HTTP/1.1\r\n\r\n", "400")] // no Host
    [InlineData("GET / HTTP/3.7\r\nHost: localhost\r\n\r\n", "505")]
    [InlineData("POST /devices/d1/messages/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "400")]
    public async Task Request_ThatIsNoHttp_IsAnsweredAndClosed_AndNobodyElseNotices(string request, string status)
    {
        await using var bystander = await _devices.ConnectAsync("bystander", "MQTT-WS");
        await using var stranger = await WireDevice.TlsAsync(_hub.Endpoints, _hub.Endpoints.HttpsPort);

        await stranger.WriteAsync(Encoding.Latin1.GetBytes(request), Cancel);

        using var reader = new StreamReader(stranger);
        Assert.StartsWith($"HTTP/1.1 {status}", await reader.ReadToEndAsync(Cancel).WaitAsync(MqttTestClient.Patience), StringComparison.Ordinal);
        await bystander.ExpectAliveAsync();
    }

    [Fact]
    public async Task Request_RefusedWithABodyBeyondTheBytesOfAStranger_ReadsItsAnswer()
    {
        Assert.Equal((HttpStatusCode.Unauthorized, "IotHubUnauthorized"), await _devices.PostAsync("bystander", new string('x', 250 * 1024), signer: "d1"));
    }

    [Theory]
    [InlineData("MQTT, nothing behind the handshake")]
    [InlineData("MQTT, half a CONNECT")]
    [InlineData("MQTT-WS, no CONNECT")]
    [InlineData("HTTPS, nothing behind the handshake")]
    [InlineData("HTTPS, half a request")]
    [InlineData("HTTPS, refused and then silent")]
    public async Task Stranger_After10Seconds_IsCutOffAndAudited_AndNobodyElse(string what)
    {
        await using var bystander = await _devices.ConnectAsync("bystander");
        await using var other = await _devices.ConnectAsync("d1", "MQTT-WS");
        await using var stranger = await WireDevice.TlsAsync(_hub.Endpoints, what.StartsWith("MQTT,", StringComparison.Ordinal) ? _hub.Endpoints.MqttsPort!.Value : _hub.Endpoints.HttpsPort);
        await stranger.WriteAsync(Encoding.ASCII.GetBytes(what switch
        {
            "MQTT, half a CONNECT" => "\x10\x20\0\x04MQTT",
            "MQTT-WS, no CONNECT" => "GET /$iothub/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
            "HTTPS, half a request" => "GET /devices HTTP/1.1\r\nHost: loc",
            "HTTPS, refused and then silent" => "GET /devices HTTP/1.1\r\nHost: localhost\r\n\r\n",
            _ => "",
        }), Cancel);
        if (what is "MQTT-WS, no CONNECT" or "HTTPS, refused and then silent")
            await ReadHeadAsync(stranger, what.StartsWith("MQTT", StringComparison.Ordinal) ? "101" : "401");

        _time.Advance(Deadline);

        // A WebSocket that is told to close gets 5 s more.
        var end = DrainAsync(stranger);
        for (var second = 0; second < 20 && !end.IsCompleted; second++)
        {
            await bystander.ExpectAliveAsync();
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        await end;
        await bystander.ExpectAliveAsync();
        await other.ExpectAliveAsync();
        await bystander.DisposeAsync();
        await other.DisposeAsync();
        var refusals = (await _devices.RefusalsAsync()).Where(refusal => refusal.Action is "connection" or "mqtt connection").ToList();
        Assert.NotEmpty(refusals); // by the listener, by MQTT, or both: their clocks ring at once
        Assert.All(refusals, refusal => Assert.StartsWith("404104", refusal.Reason, StringComparison.Ordinal));
    }

    private static async Task ReadHeadAsync(Stream stream, string status)
    {
        var head = new StringBuilder();
        var one = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            await stream.ReadExactlyAsync(one, Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            head.Append((char)one[0]);
        }

        Assert.StartsWith($"HTTP/1.1 {status}", head.ToString(), StringComparison.Ordinal);
    }

    // To the end, whatever of an answer is left before it.
    private static async Task DrainAsync(Stream stream)
    {
        try
        {
            while (await stream.ReadAsync(new byte[1024], Cancel).AsTask().WaitAsync(MqttTestClient.Patience) > 0)
                continue;
        }
        catch (IOException cut)
        {
            Assert.NotNull(cut.InnerException);
        }
    }
}
