using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>
/// Hostile tokens to a whole hub: refused with the stated code over MQTT, AMQP, both over WebSocket, and HTTPS, as a device and as a service; each is
/// in the diagnosis with its true reason, and nobody else notices.
/// </summary>
public sealed class HostileTokensTests : IAsyncLifetime
{
    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private TestHub _hub = null!;
    private TokenMaker _device = null!;
    private TokenMaker _service = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync(time: _time);
        using var owner = _hub.Owner();
        var device = await owner.PutDeviceAsync("d1", cancel: Cancel);
        var bystander = await owner.PutDeviceAsync("bystander", cancel: Cancel);
        var (reader, service) = (await owner.GetPolicyAsync("registryRead", Cancel), await owner.GetPolicyAsync("service", Cancel));
        _device = new TokenMaker(KeyOf(device), KeyOf(bystander), "", _time.GetUtcNow());
        _service = new TokenMaker((string)reader["primaryKey"]!, (string)service["primaryKey"]!, "&skn=registryRead", _time.GetUtcNow());

        static string KeyOf(JsonObject identity) => (string)identity["authentication"]!["symmetricKey"]!["primaryKey"]!;
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public void Tokens_AreAHundredAndTwentyAndMore() => Assert.InRange(HostileToken.All.Select(token => token.Name).Distinct().Count(), 120, 1000);

    [Theory]
    [InlineData("MQTT")]
    [InlineData("MQTT-WS")]
    public async Task Device_WithAHostileToken_IsRefusedAndDiagnosed_AndNobodyElseNotices(string transport)
    {
        await using var bystander = await WireDevice.OpenAsync(_hub.Endpoints, "MQTT", "bystander");
        await bystander.ConnectAsync(_device.OtherKey, _time.GetUtcNow().AddDays(1));
        using var owner = _hub.Owner();
        var wrong = new List<string>();
        foreach (var hostile in HostileToken.All)
        {
            await using var device = await WireDevice.OpenAsync(_hub.Endpoints, transport);
            if (hostile.Carried == "nowhere")
            {
                await SendAsync(device, hostile.Make(_device));
                await device.ExpectClosedAsync();
                continue;
            }

            await device.SendAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect("d1", true, 60, "localhost/d1/?api-version=2021-04-12", hostile.Make(_device), null))));
            await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
            await device.ExpectClosedAsync();
            var newest = (await owner.SendAsync(HttpMethod.Get, "manage/v1/devices/d1/diagnosis", cancel: Cancel))!["attempts"]![0]!;
            Compare(hostile, transport == "MQTT" ? "mqtt" : "mqtt-ws", newest, wrong);
            await bystander.PublishAsync("still here");
        }

        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Device_ThatPutsAHostileToken_IsRefusedAndDiagnosed_AndNobodyElseNotices(string transport)
    {
        await using var bystander = await WireDevice.OpenAsync(_hub.Endpoints, "MQTT", "bystander");
        await bystander.ConnectAsync(_device.OtherKey, _time.GetUtcNow().AddDays(1));
        using var owner = _hub.Owner();
        var wrong = new List<string>();
        foreach (var hostile in HostileToken.All.Where(hostile => hostile.Carried != "nowhere" && hostile.Name != "empty"))
        {
            await using var device = await WireAmqp.OpenAsync(_hub.Endpoints, transport);
            await device.OpenAsync("localhost");
            await device.AttachCbsAsync();

            var status = await device.PutAsync("localhost/devices/d1", hostile.Make(_device));

            if (status != 401)
                wrong.Add($"{hostile.Name}: {status}");
            var newest = (await owner.SendAsync(HttpMethod.Get, "manage/v1/devices/d1/diagnosis", cancel: Cancel))!["attempts"]![0]!;
            Compare(hostile, transport == "AMQP" ? "amqp" : "amqp-ws", newest, wrong);
            await bystander.PublishAsync("still here");
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Request_OfADevice_WithAHostileToken_IsRefusedAndDiagnosed()
    {
        var wrong = new List<string>();
        using var owner = _hub.Owner();
        foreach (var hostile in HostileToken.All)
        {
            var (status, error) = await RequestAsync("POST /devices/d1/messages/events?api-version=2021-04-12", hostile.Make(_device));
            if (!IsAsStated(hostile, status, error, wrong))
                continue;

            var newest = (await owner.SendAsync(HttpMethod.Get, "manage/v1/devices/d1/diagnosis", cancel: Cancel))!["attempts"]![0]!;
            Compare(hostile, "https", newest, wrong);
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Request_OfAService_WithAHostileToken_IsRefusedAndDiagnosed()
    {
        var wrong = new List<string>();
        using var owner = _hub.Owner();
        foreach (var hostile in HostileToken.All)
        {
            var (status, error) = await RequestAsync("GET /devices/d1?api-version=2021-04-12", hostile.Make(_service));
            if (!IsAsStated(hostile, status, error, wrong))
                continue;

            // Who could be read is in the policy's history, who could not among the strangers: whatever is newest.
            var ofPolicy = (await owner.SendAsync(HttpMethod.Get, "manage/v1/policies/registryRead/diagnosis", cancel: Cancel))!.AsArray();
            var ofOwner = (await owner.SendAsync(HttpMethod.Get, "manage/v1/policies/iothubowner/diagnosis", cancel: Cancel))!.AsArray();
            var strangers = (await owner.SendAsync(HttpMethod.Get, "manage/v1/diagnosis/strangers", cancel: Cancel))!.AsArray();
            var newest = ofPolicy.Take(1).Concat(ofOwner.Take(1)).Concat(strangers.Take(1)).MaxBy(attempt => (DateTime)attempt!["time"]!)!;
            Compare(hostile, "https", newest, wrong);
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("MQTT")]
    [InlineData("MQTT-WS")]
    [InlineData("HTTPS")]
    [InlineData("REST")]
    public async Task Token_LivingLongerThanTheHubAllows_IsRefused(string transport)
    {
        await using var hub = await TestHub.StartAsync(settings => settings with { Access = settings.Access with { Tokens = new TokenOptions(TimeSpan.FromHours(1)) } });
        using var owner = hub.Owner();
        var key = (string)(await owner.PutDeviceAsync("d1", cancel: Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!;
        var policyKey = (string)(await owner.GetPolicyAsync("registryRead", Cancel))["primaryKey"]!;
        var (good, endless) = (DateTimeOffset.UtcNow.AddHours(1), DateTimeOffset.UtcNow.AddYears(1));
        switch (transport)
        {
            case "HTTPS" or "REST":
                var line = transport == "HTTPS" ? "POST /devices/d1/messages/events?api-version=2021-04-12" : "GET /devices/d1?api-version=2021-04-12";
                string Token(DateTimeOffset expires) => transport == "HTTPS"
                    ? SharedAccessSignature.Create("localhost/devices/d1", key, expires)
                    : SharedAccessSignature.Create("localhost", policyKey, expires, "registryRead");
                Assert.Equal((401, "IotHubUnauthorized"), await RequestAsync(line, Token(endless), hub));
                Assert.InRange((await RequestAsync(line, Token(good), hub)).Status, 200, 204);
                break;
            default:
                await using (var refused = await WireDevice.OpenAsync(hub.Endpoints, transport))
                {
                    await refused.SendAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect(
                        "d1", true, 60, "localhost/d1/?api-version=2021-04-12", SharedAccessSignature.Create("localhost/devices/d1", key, endless), null))));
                    await refused.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
                }

                await using (var admitted = await WireDevice.OpenAsync(hub.Endpoints, transport))
                    await admitted.ConnectAsync(key, good);
                break;
        }

        var history = (await owner.SendAsync(HttpMethod.Get, transport == "REST" ? "manage/v1/policies/registryRead/diagnosis" : "manage/v1/devices/d1/diagnosis", cancel: Cancel))!;
        Assert.Contains((history as JsonArray ?? history["attempts"]!.AsArray())
            .Select(attempt => (string)attempt!["reason"]!), reason => reason.Contains("longer than the 60 minutes", StringComparison.Ordinal));
    }

    private static bool IsAsStated(HostileToken hostile, int status, string error, List<string> wrong)
    {
        if (!hostile.Carried.Contains("HTTPS", StringComparison.Ordinal))
        {
            if (status is not (400 or 401 or 431))
                wrong.Add($"{hostile.Name}: {status}");
            return false;
        }

        var stated = hostile.Code == 401001 ? "IotHubNotFound" : "IotHubUnauthorized";
        if (status != 401 || error != stated)
            wrong.Add($"{hostile.Name}: {status} {error}");
        return true;
    }

    private static void Compare(HostileToken hostile, string protocol, JsonNode newest, List<string> wrong)
    {
        var (code, reason) = ((int)newest["code"]!, (string)newest["reason"]!);
        if ((string?)newest["outcome"] != "refused" || (string?)newest["protocol"] != protocol || code != hostile.Code
            || !hostile.Reason.Split('|').Any(part => reason.Contains(part, StringComparison.Ordinal)))
        {
            wrong.Add($"{hostile.Name}: {newest["protocol"]} {newest["outcome"]} {code} {reason}");
        }
    }

    // The hub may close while the device still sends.
    private static async Task SendAsync(WireDevice device, string password)
    {
        try
        {
            await device.SendAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect("d1", true, 60, "localhost/d1/?api-version=2021-04-12", password[..65_000], null))));
        }
        catch (Exception cut) when (cut is IOException or System.Net.WebSockets.WebSocketException)
        {
            return;
        }
    }

    /// <summary>A request as bytes, so that no client mends the header.</summary>
    private async Task<(int Status, string Error)> RequestAsync(string line, string authorization, TestHub? hub = null)
    {
        var endpoints = (hub ?? _hub).Endpoints;
        await using var tls = await WireDevice.TlsAsync(endpoints, endpoints.HttpsPort);
        try
        {
            await tls.WriteAsync(Encoding.UTF8.GetBytes($"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n"), Cancel);
        }
        catch (IOException)
        {
            // It has said what it thinks of the head already.
        }

        using var reader = new StreamReader(tls);
        var answer = await reader.ReadToEndAsync(Cancel).WaitAsync(MqttTestClient.Patience);
        var lines = answer.Split("\r\n");
        return (int.Parse(lines[0].Split(' ')[1]), lines.FirstOrDefault(header => header.StartsWith("iothub-errorcode:", StringComparison.OrdinalIgnoreCase))?.Split(':')[1].Trim() ?? "");
    }
}
