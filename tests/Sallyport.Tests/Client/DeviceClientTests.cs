using System.Security.Authentication;
using System.Text;
using Sallyport.Client.Device;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Client;

public sealed class DeviceClientTests : IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    private static readonly TimeSpan Instant = TimeSpan.Zero;

    private readonly WireHub _hub = new();
    private readonly StepTime _time = new();

    [Fact]
    public async Task Send_FirstMessage_ConnectsAsAnAzureDeviceWithAGoodToken()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("21.5"));

        using var wire = await _hub.AcceptAsync();
        var connect = await wire.WelcomeAsync();

        Assert.Equal("d1", connect.ClientId);
        Assert.False(connect.CleanSession);
        Assert.StartsWith("localhost/d1/?api-version=2021-04-12&DeviceClientType=", connect.UserName);
        var token = SharedAccessSignature.TryParse(connect.Password, out _)!.Value;
        Assert.True(token.IsSignedWith(Convert.FromBase64String(Key), []));
        Assert.True(token.Covers("devices/d1"));
        Assert.Equal("localhost", token.Host);
        Assert.False(token.IsExpired(_time.GetUtcNow()));

        var publish = await wire.ExpectPublishAsync();
        Assert.Equal("21.5", publish.Payload);
        Assert.False(sent.IsCompleted);
        await wire.SendAsync(Packets.PubAck(publish.PacketId));
        await sent;
    }

    [Fact]
    public async Task Send_Properties_GoIntoTheBag()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("x") with
        {
            MessageId = "m 1",
            ContentType = "application/json",
            ContentEncoding = "utf-8",
            Properties = new Dictionary<string, string> { ["a&b"] = "c=d" },
        });

        using var wire = await _hub.AcceptAsync();
        await wire.WelcomeAsync();
        var publish = await wire.ExpectPublishAsync();

        Assert.Equal("devices/d1/messages/events/%24.mid=m%201&%24.ct=application%2Fjson&%24.ce=utf-8&a%26b=c%3Dd", publish.Topic);
        await wire.SendAsync(Packets.PubAck(publish.PacketId));
        await sent;
    }

    [Fact]
    public async Task Window_Full_SendsNoMoreBeforeAnAcknowledgement()
    {
        await using var client = Client(maxInFlight: 2);
        var sent = Enumerable.Range(0, 4).Select(i => client.SendAsync(Text($"{i}"))).ToList();
        using var wire = await _hub.AcceptAsync();
        await wire.WelcomeAsync();
        var first = await wire.ExpectPublishAsync();
        var second = await wire.ExpectPublishAsync();

        // Had a third been sent, it would come before the answer to what follows the acknowledgement of the first.
        await wire.SendAsync(Packets.PubAck(first.PacketId));
        var third = await wire.ExpectPublishAsync();

        Assert.Equal(["0", "1", "2"], new[] { first, second, third }.Select(p => p.Payload));
        await wire.SendAsync(Packets.Concat(Packets.PubAck(second.PacketId), Packets.PubAck(third.PacketId)));
        var last = await wire.ExpectPublishAsync();
        await wire.SendAsync(Packets.PubAck(last.PacketId));
        await Task.WhenAll(sent);
    }

    [Fact]
    public async Task Connection_Lost_SendsWhatWasNotAcknowledgedAgainInOrderAsDuplicates()
    {
        await using var client = Client();
        var sent = Enumerable.Range(0, 3).Select(i => client.SendAsync(Text($"{i}"))).ToList();
        int[] packetIds;
        using (var wire = await _hub.AcceptAsync())
        {
            await wire.WelcomeAsync();
            var first = await wire.ExpectPublishAsync();
            packetIds = [(await wire.ExpectPublishAsync()).PacketId, (await wire.ExpectPublishAsync()).PacketId];
            await wire.SendAsync(Packets.PubAck(first.PacketId));
            await sent[0];
        }

        await ReconnectWaitAsync(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1));
        using var again = await _hub.AcceptAsync();
        await again.WelcomeAsync();
        var second = await again.ExpectPublishAsync();
        var third = await again.ExpectPublishAsync();

        Assert.Equal(("1", true), (second.Payload, second.Dup)); // [MQTT-4.4.0-1]
        Assert.Equal(("2", true), (third.Payload, third.Dup));
        Assert.Equal(packetIds, new int[] { second.PacketId, third.PacketId });
        await again.SendAsync(Packets.Concat(Packets.PubAck(second.PacketId), Packets.PubAck(third.PacketId)));
        await Task.WhenAll(sent);
    }

    [Fact]
    public async Task Hub_NotAvailable_IsTriedAgainLaterEachTime()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("x"));
        for (var attempt = 0; attempt < 3; attempt++)
        {
            using (var wire = await _hub.AcceptAsync())
            {
                await wire.ExpectConnectAsync();
                await wire.SendAsync(Packets.ConnAck(MqttConnectCode.ServerUnavailable));
            }

            await ReconnectWaitAsync(TimeSpan.FromSeconds(0.5 * (1 << attempt)), TimeSpan.FromSeconds(1 << attempt));
        }

        using var last = await _hub.AcceptAsync();
        await last.WelcomeAsync();
        await last.SendAsync(Packets.PubAck((await last.ExpectPublishAsync()).PacketId));
        await sent;
    }

    [Fact]
    public async Task Device_Refused_FailsWhatWaitsAndTheNextMessageTriesAgain()
    {
        await using var client = Client();
        var refused = client.SendAsync(Text("x"));
        using (var wire = await _hub.AcceptAsync())
        {
            await wire.ExpectConnectAsync();
            await wire.SendAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
            var reason = await Assert.ThrowsAsync<DeviceRefusedException>(() => refused);
            Assert.DoesNotContain(Key, reason.ToString());
        }

        var sent = client.SendAsync(Text("y"));
        await ReconnectWaitAsync(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1));
        using var again = await _hub.AcceptAsync();
        await again.WelcomeAsync();
        await again.SendAsync(Packets.PubAck((await again.ExpectPublishAsync()).PacketId));
        await sent;
    }

    [Fact]
    public async Task Token_BeforeItExpires_IsRenewedByAConnectionOfItsOwn()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("1"));
        using var wire = await _hub.AcceptAsync();
        var first = await wire.WelcomeAsync();
        await wire.SendAsync(Packets.PubAck((await wire.ExpectPublishAsync()).PacketId));
        await sent;

        _time.Advance(TimeSpan.FromMinutes(52));
        await wire.ExpectAsync(MqttPacketType.Disconnect);
        sent = client.SendAsync(Text("2"));
        using var again = await _hub.AcceptAsync();
        var second = await again.WelcomeAsync();

        Assert.NotEqual(first.Password, second.Password);
        await again.SendAsync(Packets.PubAck((await again.ExpectPublishAsync()).PacketId));
        await sent;
    }

    [Fact]
    public async Task Hub_Untrusted_GetsNothingAndTheSenderIsTold()
    {
        using var foreign = new TestCertificates("localhost");
        await using var client = new DeviceClient(ConnectionString, Options with { CaFile = foreign.RootFile });
        var sent = client.SendAsync(Text("x"));

        await _hub.AcceptAndFailAsync();

        await Assert.ThrowsAsync<AuthenticationException>(() => sent);
    }

    [Fact]
    public async Task Hub_WithADevicesCertificate_GetsNothing()
    {
        using var hub = new WireHub(new TestCertificates("localhost", TestCertificates.ClientAuth));
        await using var client = new DeviceClient(ConnectionString, Options with { Port = hub.Port, CaFile = hub.RootFile });
        var sent = client.SendAsync(Text("x"));

        await hub.AcceptAndFailAsync();

        await Assert.ThrowsAsync<AuthenticationException>(() => sent);
    }

    [Fact]
    public async Task Send_GivenUp_IsNotSentAgain()
    {
        using var patience = new CancellationTokenSource();
        await using var client = Client();
        var givenUp = client.SendAsync(Text("given up"), patience.Token);
        var kept = client.SendAsync(Text("kept"));
        using (var wire = await _hub.AcceptAsync())
        {
            await wire.WelcomeAsync();
            await wire.ExpectPublishAsync();
            await wire.ExpectPublishAsync();
            await patience.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => givenUp);
        }

        await ReconnectWaitAsync(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1));
        using var again = await _hub.AcceptAsync();
        await again.WelcomeAsync();
        var publish = await again.ExpectPublishAsync();

        Assert.Equal("kept", publish.Payload);
        await again.SendAsync(Packets.PubAck(publish.PacketId));
        await kept;
    }

    [Fact]
    public async Task Dispose_WithEverythingAcknowledged_SaysGoodbye()
    {
        var client = Client();
        var sent = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        await wire.WelcomeAsync();
        await wire.SendAsync(Packets.PubAck((await wire.ExpectPublishAsync()).PacketId));
        await sent;

        var disposed = client.DisposeAsync();

        await wire.ExpectAsync(MqttPacketType.Disconnect);
        await disposed;
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.SendAsync(Text("late")));
    }

    [Fact]
    public async Task Dispose_WhileTheHubDoesNotAnswer_FailsWhatIsLeftAfterAWhile()
    {
        var client = Client();
        var sent = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        await wire.WelcomeAsync();
        await wire.ExpectPublishAsync();

        var disposed = client.DisposeAsync();
        _time.Advance(TimeSpan.FromSeconds(5));

        await disposed;
        await Assert.ThrowsAsync<ObjectDisposedException>(() => sent);
    }

    [Fact]
    public async Task Send_MoreThanAHubTakes_IsRefusedHere()
    {
        await using var client = Client();

        await Assert.ThrowsAsync<ArgumentException>(() => client.SendAsync(new TelemetryMessage(new byte[262_145])));
        await Assert.ThrowsAsync<ArgumentException>(
            () => client.SendAsync(Text("x") with { Properties = new Dictionary<string, string> { ["p"] = new('v', 65_536) } }));
    }

    [Theory]
    [InlineData("HostName=localhost;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0")]
    [InlineData("HostName=localhost;DeviceId=d1")]
    [InlineData("nonsense")]
    public void ConnectionString_NotOfADevice_IsRefused(string connectionString)
    {
        Assert.Throws<FormatException>(() => new DeviceClient(connectionString));
    }

    public void Dispose() => _hub.Dispose();

    private static string ConnectionString => $"HostName=localhost;DeviceId=d1;SharedAccessKey={Key}";

    private DeviceClientOptions Options => new() { Port = _hub.Port, CaFile = _hub.RootFile, Time = _time };

    private DeviceClient Client(int maxInFlight = 100) => new(ConnectionString, Options with { MaxInFlight = maxInFlight });

    private static TelemetryMessage Text(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <summary>Lets the wait before the next attempt pass, which must be this long.</summary>
    private async Task ReconnectWaitAsync(TimeSpan atLeast, TimeSpan atMost)
    {
        // Ticks of a served connection last a second sharp; a wait with jitter next to never does.
        TimeSpan wait;
        do
            wait = await _time.WaitBeganAsync(Instant, TimeSpan.FromSeconds(29));
        while (wait == TimeSpan.FromSeconds(1));

        Assert.InRange(wait, atLeast, atMost);
        _time.Advance(wait);
    }
}
