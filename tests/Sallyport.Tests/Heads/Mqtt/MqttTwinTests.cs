using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>Twins over MQTT: topics and payloads as IoT Hub's, and what is against a rule leaves the connection be.</summary>
public sealed class MqttTwinTests : IAsyncLifetime
{
    private static readonly Actor Owner = new("policy:iothubowner", "0123456789abcdef", AzureRights.All, "c0ffee", "127.0.0.1:1");

    private MqttTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Get_IsAnsweredWithWhatTheDeviceMaySee()
    {
        var client = await ConnectAsync();
        await PatchAsync("""{"tags":{"secret":1},"properties":{"desired":{"n":1}}}""");

        await client.SendAsync(Publish("$iothub/twin/GET/?$rid=abc", " "));

        Assert.Equal(("$iothub/twin/res/200/?$rid=abc", """{"desired":{"n":1,"$version":2},"reported":{"$version":1}}"""), await client.ExpectMessageAsync());
    }

    [Fact]
    public async Task Report_OfQoS1_IsStoredAnsweredAndAcknowledged()
    {
        var client = await ConnectAsync();

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", """{"t":{"x":1.50}}""", packetId: 7));

        Assert.Equal(("$iothub/twin/res/204/?$rid=1&$version=2", ""), await client.ExpectMessageAsync());
        await client.ExpectAsync([0x40, 2, 0, 7]);
        Assert.Equal("""{"t":{"x":1.50}}""", Encoding.UTF8.GetString(_hub.Twins.Get(Identity.Of("d1")).Twin.Reported.Json));
    }

    [Fact]
    public async Task ModelId_GivenAtConnect_IsInTheTwin()
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect() with { UserName = "hub.test/d1/?api-version=2021-04-12&model-id=dtmi:x:y;1" })));
        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));

        Assert.Equal("dtmi:x:y;1", _hub.Twins.Get(Identity.Of("d1")).Twin.ModelId);
    }

    [Fact]
    public async Task Module_HasATwinOfItsOwn()
    {
        var client = await ConnectAsync("d1/m1");

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", """{"m":1}"""));
        await client.ExpectMessageAsync();

        Assert.Equal("""{"m":1}""", Encoding.UTF8.GetString(_hub.Twins.Get(Identity.Of("d1", "m1")).Twin.Reported.Json));
        Assert.Equal("{}", Encoding.UTF8.GetString(_hub.Twins.Get(Identity.Of("d1")).Twin.Reported.Json));
    }

    [Fact]
    public async Task Desired_IsToldInTheOrderOfTheVersions_AfterItIsStored()
    {
        var client = await ConnectAsync();
        await client.SendAsync(Subscribe(DeviceTopics.DesiredProperties));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);

        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => PatchAsync("{\"properties\":{\"desired\":{\"n\":" + i + ",\"gone\":null}}}")));

        for (var version = 2; version < 22; version++)
        {
            var (topic, body) = await client.ExpectMessageAsync();
            Assert.Equal($"$iothub/twin/PATCH/properties/desired/?$version={version}", topic);
            Assert.Matches($$"""^{"n":\d+,"gone":null,"\$version":{{version}}}$""", body);
        }
    }

    [Fact]
    public async Task AfterADrop_TheKeptSubscriptionsAreEnough()
    {
        var client = await _hub.ConnectAsync(clean: false);
        await client.SendAsync(Subscribe(DeviceTopics.TwinResponses));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        await client.SendAsync(Subscribe(DeviceTopics.DesiredProperties));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        await client.GoAwayAsync();
        await PatchAsync("""{"properties":{"desired":{"missed":1}}}""");

        var again = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await again.SendAsync(Publish("$iothub/twin/GET/?$rid=2", ""));

        Assert.Equal("""{"desired":{"missed":1,"$version":2},"reported":{"$version":1}}""", (await again.ExpectMessageAsync()).Payload);
        await PatchAsync("""{"properties":{"desired":{"told":1}}}""");
        Assert.Equal("""{"told":1,"$version":3}""", (await again.ExpectMessageAsync()).Payload);
    }

    [Fact]
    public async Task Unsubscribed_IsToldNothing()
    {
        var client = await ConnectAsync();
        await client.SendAsync(Subscribe(DeviceTopics.DesiredProperties));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        await client.SendAsync(Packets.Of(o => MqttWriter.Unsubscribe(o, 10, [DeviceTopics.DesiredProperties])));
        await client.ExpectAsync([0xb0, 2, 0, 10]);

        await PatchAsync("""{"properties":{"desired":{"n":1}}}""");

        await client.ExpectAliveAsync();
    }

    [Theory]
    [InlineData("""{"a.b":1}""", 400004)]
    [InlineData("""{"$version":1}""", 400004)]
    [InlineData("""{"a b":1}""", 400004)]
    [InlineData("""{"a":1,"a":2}""", 400004)]
    [InlineData("""{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"i":{"j":{"k":{}}}}}}}}}}}}""", 400004)]
    [InlineData("""{"a":9007199254740993}""", 400004)]
    [InlineData("[]", 400004)]
    [InlineData("", 400006)]
    [InlineData("{", 400006)]
    [InlineData("""{"a":"\ud800"}""", 400006)]
    public async Task Report_AgainstARule_IsRefused_AndTheConnectionLives(string patch, int code)
    {
        var client = await ConnectAsync();

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", patch));

        var (topic, body) = await client.ExpectMessageAsync();
        Assert.Equal("$iothub/twin/res/400/?$rid=1", topic);
        Assert.StartsWith($"{{\"errorCode\":{code},\"message\":\"properties.reported", body);
        await client.ExpectAliveAsync();
        Assert.Equal(1, _hub.Twins.Get(Identity.Of("d1")).Twin.Reported.Version);
    }

    [Fact]
    public async Task Report_OfTooMuchOrInvalidUtf8_IsRefused_AndTheConnectionLives()
    {
        var client = await ConnectAsync();
        var large = "{" + string.Join(',', Enumerable.Range(0, 9).Select(i => $"\"k{i}\":\"{new string('x', 3700)}\"")) + "}";

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", large));
        Assert.Contains("would have 33318 bytes of keys and values; at most 32768 are allowed", (await client.ExpectMessageAsync()).Payload, StringComparison.Ordinal);
        await client.SendAsync(Packets.Of(o => MqttWriter.Publish(o, false, 0, false, 0, "$iothub/twin/PATCH/properties/reported/?$rid=2"u8, [.. "{\"a\":\""u8, 0xFF, .. "\"}"u8])));
        Assert.Contains("\"errorCode\":400006", (await client.ExpectMessageAsync()).Payload, StringComparison.Ordinal);
        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task Report_OnlyAtAVersion_AsTheJavaClientAsks()
    {
        var client = await ConnectAsync();

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1&$version=1", """{"a":1}"""));
        Assert.Equal("$iothub/twin/res/204/?$rid=1&$version=2", (await client.ExpectMessageAsync()).Topic);
        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=2&$version=1", """{"a":2}"""));
        Assert.Equal("$iothub/twin/res/412/?$rid=2", (await client.ExpectMessageAsync()).Topic);
        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=3&$version=x", """{"a":2}"""));
        Assert.Equal("$iothub/twin/res/400/?$rid=3", (await client.ExpectMessageAsync()).Topic);
    }

    [Fact]
    public async Task LargestTwin_FitsIntoOneAnswer()
    {
        var client = await ConnectAsync();
        var large = string.Join(',', Enumerable.Range(0, 8).Select(i => $"\"k{i}\":\"{new string('x', 4000)}\""));
        await PatchAsync("{\"properties\":{\"desired\":{" + large + "}}}");
        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", "{" + large + "}"));
        await client.ExpectMessageAsync();

        await client.SendAsync(Publish("$iothub/twin/GET/?$rid=2", " "));

        Assert.Equal(2 * (large.Length + 1), (await client.ExpectMessageAsync()).Payload.Length - """{"desired":{"$version":2},"reported":{"$version":2}}""".Length);
        await client.ExpectAliveAsync();
    }

    [Fact]
    public async Task WithoutASubscriptionForAnswers_AReportCountsAllTheSame()
    {
        var client = await _hub.ConnectAsync();

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", """{"a":1}"""));

        await client.ExpectAliveAsync();
        Assert.Equal(2, _hub.Twins.Get(Identity.Of("d1")).Twin.Reported.Version);
    }

    [Fact]
    public async Task Quarantine_ReportsAreTaken_ReadingIsPutOff_NothingIsTold()
    {
        var client = await ConnectAsync();
        await client.SendAsync(Subscribe(DeviceTopics.DesiredProperties));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        _hub.Line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "rule:tamper", ""));

        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", """{"a":1}"""));
        Assert.Equal("$iothub/twin/res/204/?$rid=1&$version=2", (await client.ExpectMessageAsync()).Topic);
        await PatchAsync("""{"properties":{"desired":{"n":1}}}""");
        await client.SendAsync(Publish("$iothub/twin/GET/?$rid=2", " "));

        var (topic, body) = await client.ExpectMessageAsync();
        Assert.Equal("$iothub/twin/res/429/?$rid=2", topic);
        Assert.StartsWith("{\"errorCode\":429001,", body);
        Assert.DoesNotContain("quarantine", body);
    }

    private async Task<MqttTestClient> ConnectAsync(string clientId = "d1")
    {
        var client = await _hub.ConnectAsync(clientId);
        await client.SendAsync(Subscribe(DeviceTopics.TwinResponses));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        return client;
    }

    private async Task PatchAsync(string json) =>
        await _hub.Twins.ChangeAsync(Owner, Identity.Of("d1"), TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces: false), EntityTagCondition.Any, CancellationToken.None);

    private static byte[] Subscribe(string filter) => Packets.Of(o => MqttWriter.Subscribe(o, 9, [new MqttSubscription(filter, 0)]));

    private static byte[] Publish(string topic, string payload, ushort packetId = 0) =>
        Packets.Of(o => MqttWriter.Publish(o, false, packetId == 0 ? (byte)0 : (byte)1, false, packetId, Encoding.UTF8.GetBytes(topic), Encoding.UTF8.GetBytes(payload)));
}
