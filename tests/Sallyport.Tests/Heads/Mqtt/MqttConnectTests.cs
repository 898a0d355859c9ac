using System.Net;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

public sealed class MqttConnectTests : IAsyncLifetime
{
    private MqttTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await MqttTestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("d1", "hub.test/d1/?api-version=2021-04-12")]
    [InlineData("d1", "hub.test/d1/api-version=2020-09-30&model-id=dtmi:com:x;1")] // Go
    [InlineData("d1", "hub.test/d1/?api-version=2016-11-14")]
    [InlineData("d1", "hub.test/d1")]
    [InlineData("d1", "hub.test/d1/?DeviceClientType=x%2f1&api-version=any")]
    [InlineData("d1/m1", "hub.test/d1/m1/?api-version=2018-06-30")]
    public async Task Connect_WithTheUserNamesOfTheSdks_IsLetIn(string clientId, string userName)
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(clientId) with { UserName = userName })));

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted)); // [MQTT-3.1.4-4]
        Assert.True(_hub.Authentication.Asked.TryDequeue(out var asked));
        Assert.Equal((clientId, "hub.test", "good"), (asked.Identity.ToString(), asked.HostName, asked.Token));
    }

    [Fact]
    public async Task Connect_WithABadToken_GetsCode5AndIsClosed() // [MQTT-3.2.2-4] [MQTT-3.2.2-5]
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(token: "bad"))));

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await client.ExpectClosedAsync();
        Assert.False(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Fact]
    public async Task Connect_WhileTheHubIsUnavailable_GetsCode3() // [MQTT-3.2.2-6]
    {
        _hub.Authentication.Refusal = HubErrors.ServiceUnavailable;
        var client = _hub.Open();
        await client.SendAsync(Packets.ConnectBytes());

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.ServerUnavailable));
        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Connect_OfAnotherLevel_GetsCode1AndIsClosed() // [MQTT-3.1.2-2]
    {
        var client = _hub.Open();
        var bytes = Packets.ConnectBytes();
        bytes[8] = 5;
        await client.SendAsync(bytes);

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.UnacceptableProtocolVersion));
        await client.ExpectClosedAsync();
    }

    [Theory]
    [InlineData("")] // [MQTT-3.1.3-8]
    [InlineData("d1/m1/x")] // [MQTT-3.1.3-9]
    [InlineData("no space")]
    public async Task Connect_WithAClientIdThatCanBeNoIdentity_GetsCode2(string clientId)
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.ConnectBytes(clientId));

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.IdentifierRejected));
        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Connect_WithAnIdOf23Letters_IsLetIn() => // [MQTT-3.1.3-5]
        await _hub.ConnectAsync("0123456789abcdefghiJKLM");

    [Theory]
    [InlineData("hub.test/d2/?api-version=2021-04-12")]
    [InlineData("hub.test/d11/?api-version=2021-04-12")]
    [InlineData("hub.test")]
    [InlineData("")]
    [InlineData("0ne0001/registrations/d1/api-version=2019-03-31")]
    [InlineData(null)]
    public async Task Connect_WithAUserNameOfAnotherIdentity_GetsCode5_AndIsInTheAuditTrail(string? userName)
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect() with { UserName = userName, Password = userName is null ? null : "good" })));

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await client.ExpectClosedAsync();
        var entry = Assert.Single(_hub.Audit.Entries);
        Assert.Equal(("anonymous", "d1", "refused"), (entry.Principal, entry.Target, entry.Result));
        Assert.Empty(_hub.Authentication.Asked);
    }

    [Theory]
    [InlineData("devices/d2/messages/events/")]
    [InlineData("devices/d1/messages/events/#x/../")]
    [InlineData("elsewhere")]
    public async Task Connect_WithAWillForAnotherTopic_GetsCode5(string topic)
    {
        var client = _hub.Open();
        await client.SendAsync(Packets.ConnectBytes(will: new MqttWill(topic, [1], 1, false)));

        if (topic.StartsWith("devices/d1/messages/events/", StringComparison.Ordinal))
        {
            await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
            return;
        }

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Connect_DisabledWhileItConnects_IsRefused()
    {
        _hub.Authentication.Refusal = HubErrors.DeviceNotFound;
        _hub.Authentication.AdmittedBefore = 1;
        var client = _hub.Open();
        await client.SendAsync(Packets.ConnectBytes());

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await client.ExpectClosedAsync();
        Assert.False(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Fact]
    public async Task Connect_MadeAnewWhileItConnects_IsRefused()
    {
        var asked = 0;
        _hub.Authentication.Asking = () => _hub.Authentication.GenerationId = $"{++asked}";
        var client = _hub.Open();
        await client.SendAsync(Packets.ConnectBytes());

        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task Session_OfAPolicyThatIsWithdrawn_IsClosedAndAudited()
    {
        using var policy = new CancellationTokenSource();
        _hub.Authentication.Withdrawn = policy.Token;
        var client = await _hub.ConnectAsync();

        await policy.CancelAsync();

        await client.ExpectClosedAsync();
        Assert.Contains("the policy whose token it showed", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task FirstPacket_NotConnect_IsClosedWithoutAnAnswer() // [MQTT-3.1.0-1]
    {
        var client = _hub.Open();
        await client.SendAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());

        await client.ExpectClosedAsync();
        Assert.Single(_hub.Audit.Entries);
    }

    [Fact]
    public async Task SecondConnect_IsClosed() // [MQTT-3.1.0-2]
    {
        var client = await _hub.ConnectAsync();
        await client.SendAsync(Packets.ConnectBytes());

        await client.ExpectClosedAsync();
    }

    [Fact]
    public async Task NoConnect_Within10Seconds_IsCutOff_AndNobodyElse()
    {
        var other = await _hub.ConnectAsync("d2");
        var silent = _hub.Open();
        var slow = _hub.Open();
        await slow.SendAsync(Packets.ConnectBytes()[..20]);

        _hub.Time.Advance(TimeSpan.FromSeconds(9));
        Assert.False(silent.Served.IsCompleted);
        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        await silent.ExpectClosedAsync();
        await slow.ExpectClosedAsync();
        await other.ExpectAliveAsync();
        Assert.Equal(2, _hub.Audit.Entries.Count);
        Assert.Equal((0, 0L), _hub.Limits.Current);
    }

    [Fact]
    public async Task Unauthenticated_BeyondTheBoundOfAnAddress_IsClosed_AndOthersAreLetIn()
    {
        await using var hub = await MqttTestHub.StartAsync(limits: new ConnectionLimitsOptions { MaxConnectionsPerAddress = 2 });
        var address = IPAddress.Parse("192.0.2.1");
        var waiting = new[] { hub.Open(address), hub.Open(address) };

        var tooMany = hub.Open(address);
        await tooMany.Served.WaitAsync(MqttTestClient.Patience);
        await hub.ConnectAsync();

        await waiting[0].SendAsync(Packets.ConnectBytes("d3"));
        await waiting[0].ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        Assert.Equal(1, hub.Limits.Current.Connections);
    }

    [Fact]
    public async Task NewerConnection_OfTheSameIdentity_ClosesTheOlder() // [MQTT-3.1.4-2]
    {
        var older = await _hub.ConnectAsync();
        var newer = await _hub.ConnectAsync();

        await older.ExpectClosedAsync();
        await newer.ExpectAliveAsync();
        Assert.True(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Fact]
    public async Task Session_NotClean_KeepsItsSubscriptionsAcrossReconnectAndRestart() // [MQTT-3.1.2-4] [MQTT-4.1.0-1] [MQTT-3.2.2-2]
    {
        var first = await _hub.ConnectAsync(clean: false);
        await first.SendAsync(Packets.Subscribe(1, (DeviceTopics.TwinResponses, 0)));
        await first.ExpectAsync([0x90, 3, 0, 1, 0]);
        await first.SendAsync(Packets.Disconnect);
        await first.ExpectClosedAsync();

        var second = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await ExpectTwinAnswerAsync(second);

        await _hub.RestartHeadAsync();
        var third = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await ExpectTwinAnswerAsync(third);
    }

    [Fact]
    public async Task Session_NotClean_WithoutSubscriptions_IsPresentToo() // [MQTT-3.2.2-2]
    {
        await (await _hub.ConnectAsync(clean: false)).GoAwayAsync();

        await _hub.ConnectAsync(clean: false, sessionPresent: true);
    }

    [Fact]
    public async Task Session_Unsubscribed_StaysSoAcrossARestart() // [MQTT-3.10.4-2]
    {
        var first = await _hub.ConnectAsync(clean: false);
        await first.SendAsync(Packets.Subscribe(1, (DeviceTopics.TwinResponses, 0)), Packets.Unsubscribe(2, DeviceTopics.TwinResponses));
        await first.ExpectAsync([0x90, 3, 0, 1, 0], [0xb0, 2, 0, 2]);

        await _hub.RestartHeadAsync();
        var second = await _hub.ConnectAsync(clean: false, sessionPresent: true);
        await second.SendAsync(Packets.Publish("$iothub/twin/GET/?$rid=1", " ", qos: 0));
        await second.ExpectAliveAsync();
    }

    [Fact]
    public async Task Session_Clean_EndsTheOneBefore() // [MQTT-3.1.2-6] [MQTT-3.2.2-1]
    {
        var first = await _hub.ConnectAsync(clean: false);
        await first.SendAsync(Packets.Subscribe(1, (DeviceTopics.TwinResponses, 0)));
        await first.ExpectAsync([0x90, 3, 0, 1, 0]);
        await first.GoAwayAsync();

        await (await _hub.ConnectAsync(clean: true)).GoAwayAsync();

        await _hub.ConnectAsync(clean: false, sessionPresent: false); // [MQTT-3.2.2-3]
    }

    [Fact]
    public async Task Session_OfADeletedNamesake_IsNotResumed()
    {
        await (await _hub.ConnectAsync(clean: false)).GoAwayAsync();
        _hub.Authentication.GenerationId = "2";

        await _hub.ConnectAsync(clean: false, sessionPresent: false);
    }

    private static async Task ExpectTwinAnswerAsync(MqttTestClient client)
    {
        await client.SendAsync(Packets.Publish("$iothub/twin/GET/?$rid=r7", " ", qos: 0));
        var (topic, payload) = await client.ExpectMessageAsync();
        Assert.Equal(("$iothub/twin/res/200/?$rid=r7", """{"desired":{"$version":1},"reported":{"$version":1}}"""), (topic, payload));
    }
}
