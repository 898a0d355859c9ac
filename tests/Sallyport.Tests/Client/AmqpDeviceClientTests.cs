using System.Security.Authentication;
using System.Text;
using Sallyport.Client.Amqp;
using Sallyport.Client.Device;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Client;

/// <summary>The device client over AMQP, against a hub that says what the test wants.</summary>
public sealed class AmqpDeviceClientTests : IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    private readonly AmqpWireHub _hub = new();
    private readonly StepTime _time = new();

    [Fact]
    public async Task Send_FirstMessage_PutsAGoodTokenAndAttachesAsAnAzureDevice()
    {
        await using var client = Client(modelId: "dtmi:test;1");
        var sent = client.SendAsync(Text("21.5"));

        using var wire = await _hub.AcceptAsync();
        var message = await wire.ExpectMessageAsync();

        Assert.Equal("localhost", wire.End.Connection.RemoteHostName);
        var put = Assert.Single(wire.Tokens);
        Assert.Equal(("put-token", "localhost/devices/d1", "servicebus.windows.net:sastoken"), (put.Operation, put.Name, put.Type));
        var token = SharedAccessSignature.TryParse(put.Text, out _)!.Value;
        Assert.True(token.IsSignedWith(Convert.FromBase64String(Key), []));
        Assert.True(token.Covers("devices/d1"));
        Assert.False(token.IsExpired(_time.GetUtcNow()));
        var attach = wire.End.Asked[wire.Telemetry!];
        Assert.Equal("/devices/d1/messages/events", attach.Target!.Address);
        Assert.True(attach.TryFindProperty("com.microsoft:model-id"u8, out var model));
        Assert.Equal("dtmi:test;1", Encoding.UTF8.GetString(model.Content));

        Assert.Equal("21.5", BodyOf(message));
        Assert.False(message.Settled);
        Assert.False(sent.IsCompleted);
        await wire.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Send_Properties_ArriveAsOverMqtt()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("x") with
        {
            MessageId = "m 1",
            CorrelationId = "c",
            ContentType = "application/json",
            ContentEncoding = "utf-8",
            CreationTime = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
            Properties = new Dictionary<string, string> { ["a&b"] = "ü" },
        });

        using var wire = await _hub.AcceptAsync();
        var message = await wire.ExpectMessageAsync();

        var properties = new MessageProperties();
        Assert.Null(DeviceMessage.Read(message.Message, properties, out _));
        Assert.Equal("m 1", TextOf(properties, SystemProperty.MessageId));
        Assert.Equal("c", TextOf(properties, SystemProperty.CorrelationId));
        Assert.Equal("application/json", TextOf(properties, SystemProperty.ContentType));
        Assert.Equal("utf-8", TextOf(properties, SystemProperty.ContentEncoding));
        Assert.Equal("2026-01-02T03:04:05.0000000Z", TextOf(properties, SystemProperty.CreationTimeUtc));
        Assert.Equal(1, properties.Count);
        await wire.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Credit_UsedUp_SendsNoMoreBeforeThereIsMore()
    {
        await using var client = Client();
        var sent = Enumerable.Range(0, 3).Select(i => client.SendAsync(Text($"{i}"))).ToList();
        using var wire = await _hub.AcceptAsync(credit: 2);
        var first = await wire.ExpectMessageAsync();
        var second = await wire.ExpectMessageAsync();

        await wire.SettleAsync(first, second);
        await Task.WhenAll(sent[..2]);
        Assert.Equal(0u, wire.Telemetry!.Unsettled);
        wire.Telemetry.Grant(1);
        var third = await wire.ExpectMessageAsync();

        Assert.Equal(["0", "1", "2"], new[] { first, second, third }.Select(BodyOf));
        await wire.SettleAsync(third, third);
        await Task.WhenAll(sent);
    }

    [Fact]
    public async Task Window_Full_SendsNoMoreBeforeAnOutcome()
    {
        await using var client = Client(maxInFlight: 2);
        var sent = Enumerable.Range(0, 4).Select(i => client.SendAsync(Text($"{i}"))).ToList();
        using var wire = await _hub.AcceptAsync();
        var first = await wire.ExpectMessageAsync();
        var second = await wire.ExpectMessageAsync();

        await wire.SettleAsync(first, first);
        var third = await wire.ExpectMessageAsync();

        Assert.Equal(2u, wire.Telemetry!.Unsettled);
        await wire.SettleAsync(second, third);
        var last = await wire.ExpectMessageAsync();
        Assert.Equal(["0", "1", "2", "3"], new[] { first, second, third, last }.Select(BodyOf));
        await wire.SettleAsync(last, last);
        await Task.WhenAll(sent);
    }

    [Fact]
    public async Task Message_LargerThanTheHubsFramesAndWindow_ArrivesWhole()
    {
        await using var client = Client();
        var text = new string('x', 100_000);
        var sent = client.SendAsync(Text(text));

        using var wire = await _hub.AcceptAsync(new AmqpOptions { MaxFrameSize = 1024, IncomingWindow = 8 });
        var message = await wire.ExpectMessageAsync();

        Assert.Equal(text, BodyOf(message));
        await wire.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Connection_Lost_SendsWhatHadNoOutcomeAgainInOrder()
    {
        await using var client = Client();
        var sent = Enumerable.Range(0, 3).Select(i => client.SendAsync(Text($"{i}"))).ToList();
        using (var wire = await _hub.AcceptAsync())
        {
            var first = await wire.ExpectMessageAsync();
            await wire.ExpectMessageAsync();
            await wire.ExpectMessageAsync();
            await wire.SettleAsync(first, first);
            await sent[0];
        }

        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        var second = await again.ExpectMessageAsync();
        var third = await again.ExpectMessageAsync();

        Assert.Equal(["1", "2"], new[] { second, third }.Select(BodyOf));
        await again.SettleAsync(second, third);
        await Task.WhenAll(sent);
    }

    [Theory]
    [InlineData("com.microsoft:device-container-throttled", true)]
    [InlineData("com.microsoft:timeout", true)]
    [InlineData("com.microsoft:argument-error", false)]
    [InlineData("amqp:link:message-size-exceeded", false)]
    public async Task Message_Rejected_TellsTheSenderWhyAndTheOthersGoOn(string condition, bool isRetryable)
    {
        await using var client = Client();
        var rejected = client.SendAsync(Text("bad"));
        var sent = client.SendAsync(Text("good"));
        using var wire = await _hub.AcceptAsync();
        var bad = await wire.ExpectMessageAsync();
        var good = await wire.ExpectMessageAsync();

        await wire.SettleAsync(bad, bad, DeliveryState.Rejected, new AmqpError(condition, "not like this"));
        await wire.SettleAsync(good, good);

        var reason = await Assert.ThrowsAsync<AmqpRefusedException>(() => rejected);
        Assert.Equal((condition, isRetryable), (reason.Condition, reason.IsRetryable));
        Assert.Contains("not like this", reason.Message);
        await sent;
    }

    [Fact]
    public async Task Message_Released_MayBeSentAgain()
    {
        await using var client = Client();
        var released = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        var message = await wire.ExpectMessageAsync();

        await wire.SettleAsync(message, message, DeliveryState.Released);

        Assert.True((await Assert.ThrowsAsync<AmqpRefusedException>(() => released)).IsRetryable);
    }

    [Fact]
    public async Task Token_BeforeItExpires_IsRenewedWhileTheLinkStays()
    {
        await using var client = new DeviceClient(ConnectionString, Options with { TokenLifetime = TimeSpan.FromMinutes(5) });
        var sent = client.SendAsync(Text("1"));
        using var wire = await _hub.AcceptAsync();
        var message = await wire.ExpectMessageAsync();
        await wire.SettleAsync(message, message);
        await sent;

        _time.Advance(TimeSpan.FromMinutes(4.5));
        await wire.UntilAsync(() => wire.Tokens.Count == 2);
        sent = client.SendAsync(Text("2"));
        message = await wire.ExpectMessageAsync();

        Assert.Equal("2", BodyOf(message));
        Assert.NotEqual(wire.Tokens[0].Text, wire.Tokens[1].Text);
        await wire.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Token_Refused_FailsWhatWaitsAndTheNextMessageTriesAgain()
    {
        await using var client = Client();
        var refused = client.SendAsync(Text("x"));
        using (var wire = await _hub.AcceptAsync())
        {
            wire.TokenStatus = 401;
            await wire.UntilGoneAsync();
            var reason = await Assert.ThrowsAsync<DeviceRefusedException>(() => refused);
            Assert.DoesNotContain(Key, reason.ToString());
        }

        var sent = client.SendAsync(Text("y"));
        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        var message = await again.ExpectMessageAsync();
        await again.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Link_Refused_FailsWhatWaits()
    {
        await using var client = Client();
        var refused = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        wire.End.Refusal = link => link.Name.Contains("-telemetry-", StringComparison.Ordinal) ? new AmqpError("amqp:not-found", "no such device") : null;

        await wire.UntilGoneAsync();

        Assert.Contains("no such device", (await Assert.ThrowsAsync<DeviceRefusedException>(() => refused)).Message);
    }

    [Fact]
    public async Task Hub_Busy_IsTriedAgainLaterEachTime()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("x"));
        for (var attempt = 0; attempt < 3; attempt++)
        {
            using (var wire = await _hub.AcceptAsync())
            {
                wire.TokenStatus = 503;
                await wire.UntilGoneAsync();
            }

            await ReconnectWaitAsync(attempt);
        }

        using var last = await _hub.AcceptAsync();
        var message = await last.ExpectMessageAsync();
        await last.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Hub_SilentForTwiceTheIdleTimeOut_IsTakenForDead()
    {
        await using var client = Client();
        var sent = client.SendAsync(Text("x"));
        using (var wire = await _hub.AcceptAsync())
        {
            await wire.ExpectMessageAsync();
            _time.Advance(TimeSpan.FromMinutes(8));
            await wire.UntilGoneAsync();
        }

        await ReconnectWaitAsync();
        using var again = await _hub.AcceptAsync();
        var message = await again.ExpectMessageAsync();
        await again.SettleAsync(message, message);
        await sent;
    }

    [Fact]
    public async Task Hub_Untrusted_GetsNothingAndTheSenderIsTold()
    {
        using var hub = new WireHub();
        using var foreign = new TestCertificates("localhost");
        await using var client = new DeviceClient(ConnectionString, Options with { Port = hub.Port, CaFile = foreign.RootFile });
        var sent = client.SendAsync(Text("x"));

        await hub.AcceptAndFailAsync();

        await Assert.ThrowsAsync<AuthenticationException>(() => sent);
    }

    [Fact]
    public async Task Dispose_WithEverythingSettled_ClosesWithTheProtocolsClose()
    {
        var client = Client();
        var sent = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        var message = await wire.ExpectMessageAsync();
        await wire.SettleAsync(message, message);
        await sent;

        var disposed = client.DisposeAsync();

        await wire.UntilGoneAsync();
        Assert.Contains(AmqpStep.Closed, wire.End.Steps);
        await disposed;
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.SendAsync(Text("late")));
    }

    [Fact]
    public async Task Dispose_WhileTheHubDoesNotAnswer_FailsWhatIsLeftAfterAWhile()
    {
        var client = Client();
        var sent = client.SendAsync(Text("x"));
        using var wire = await _hub.AcceptAsync();
        await wire.ExpectMessageAsync();

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
            () => client.SendAsync(Text("x") with { Properties = new Dictionary<string, string> { ["p"] = new('v', 262_144) } }));
    }

    public void Dispose() => _hub.Dispose();

    private static string ConnectionString => $"HostName=localhost;DeviceId=d1;SharedAccessKey={Key}";

    private DeviceClientOptions Options => new() { Transport = DeviceTransport.Amqp, Port = _hub.Port, CaFile = _hub.RootFile, Time = _time };

    private DeviceClient Client(int maxInFlight = 100, string? modelId = null) => new(ConnectionString, Options with { MaxInFlight = maxInFlight, ModelId = modelId });

    private static TelemetryMessage Text(string text) => new(Encoding.UTF8.GetBytes(text));

    private static string BodyOf(Arrived message)
    {
        Assert.True(StoredMessage.TryRead(message.Message, out var sections));
        return Encoding.UTF8.GetString(sections.Body);
    }

    private static string TextOf(MessageProperties properties, SystemProperty key) => Encoding.UTF8.GetString(properties.System(key));

    /// <summary>Lets the wait before the next attempt pass, which must be as long as it is after so many failures.</summary>
    private async Task ReconnectWaitAsync(int failures = 0)
    {
        // Ticks of a connection last a second sharp; a wait with jitter next to never does.
        TimeSpan wait;
        do
            wait = await _time.WaitBeganAsync(TimeSpan.Zero, TimeSpan.FromSeconds(29));
        while (wait == TimeSpan.FromSeconds(1));

        Assert.InRange(wait, TimeSpan.FromSeconds(0.5 * (1 << failures)), TimeSpan.FromSeconds(1 << failures));
        _time.Advance(wait);
    }
}
