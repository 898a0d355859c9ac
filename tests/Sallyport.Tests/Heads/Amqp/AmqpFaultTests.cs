using Sallyport.Hub.Diagnosis;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Faults that a client asks for over AMQP, on connections of one device and of a pool.</summary>
public sealed class AmqpFaultTests : IAsyncDisposable
{
    private const string Detached = "detach amqp:link:detach-forced";

    private AmqpTestHub _hub = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task KillTcp_CutsTheConnection_WithAllThatShareIt()
    {
        var client = await StartAsync();
        await _hub.AddDeviceAsync(client, "d2", handle: 3);

        await AskAsync(client, "KillTcp");

        await client.ExpectGoneAsync();
        Assert.Equal((AttemptOutcome.Closed, "injected fault KillTcp (byebye)"), (_hub.Newest("d1").Outcome, _hub.Newest("d1").Reason));
        Assert.Equal((AttemptOutcome.Closed, "injected fault KillTcp (byebye)"), (_hub.Newest("d2").Outcome, _hub.Newest("d2").Reason));
        Assert.Equal("asks", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    [Theory]
    [InlineData("KillAmqpConnection", "close amqp:connection:forced")]
    [InlineData("ShutDownAmqp", "detach amqp:connection:forced")]
    public async Task Connection_IsClosed_OrEndedInOrder(string kind, string first)
    {
        var client = await StartAsync();

        await AskAsync(client, kind);

        await client.ExpectAsync(first);
        if (first.StartsWith("detach", StringComparison.Ordinal))
            await client.ExpectAsync("close amqp:connection:forced");
        await client.SendAsync(Frames.Close());
        await client.ExpectGoneAsync();
        Assert.Equal((AttemptOutcome.Closed, $"injected fault {kind} (byebye)"), (_hub.Newest("d1").Outcome, _hub.Newest("d1").Reason));
    }

    [Fact]
    public async Task KillAmqpSession_OfADevicesOwn_EndsIt_AndTheOthersLive()
    {
        var client = await StartAsync();
        await _hub.PutAsync(client, "d2");
        await client.SendAsync(Frames.Begin(channel: 1), Frames.AttachSender(0, "up-d2", "devices/d2/messages/events", channel: 1));
        await client.ExpectAsync("begin", "attach", "flow");

        await client.SendAsync(Frames.Transfer(0, 0, Asking("KillAmqpSession"), channel: 1));
        await client.ExpectAsync("disposition");
        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal(1, Assert.Single(await client.ExpectAsync("end amqp:internal-error")).Channel);
        await SendAsync(client, 2, "d1 lives");
        Assert.Equal("injected fault KillAmqpSession (byebye)", _hub.Newest("d2").Reason);

        await client.SendAsync(Frames.End(channel: 1), Frames.Begin(channel: 1), Frames.AttachSender(0, "up-d2", "devices/d2/messages/events", channel: 1));
        await client.ExpectAsync("begin", "attach", "flow");
    }

    [Fact]
    public async Task KillAmqpSession_ThatIsShared_DetachesTheDevicesLinksAlone()
    {
        var client = await StartAsync();
        await _hub.AddDeviceAsync(client, "d2", handle: 3);

        await AskAsync(client, "KillAmqpSession");

        Assert.Equal(2u, Assert.Single(await client.ExpectAsync("detach amqp:internal-error")).Fields[0]);
        await SendAsync(client, 3, "d2 lives");
    }

    [Theory]
    [InlineData("KillAmqpD2CLink", 2u)]
    [InlineData("KillAmqpC2DLink", 4u)]
    [InlineData("KillAmqpTwinLinkReq", 5u)]
    [InlineData("KillAmqpTwinLinkResp", 6u)]
    [InlineData("KillAmqpMethodRespLink", 7u)]
    [InlineData("KillAmqpMethodReqLink", 8u)]
    [InlineData("KillAmqpCBSLinkReq", 0u)]
    [InlineData("KillAmqpCBSLinkResp", 1u)]
    public async Task Link_IsDetached_AndTheOthersLive(string kind, uint handle)
    {
        var client = await StartAsync();
        await _hub.AddDeviceAsync(client, "d2", handle: 3);
        await client.SendAsync(
            Frames.AttachReceiver(4, "down", "devices/d1/messages/devicebound"), Frames.AttachSender(5, "twin-out", "devices/d1/twin"), Frames.AttachReceiver(6, "twin-in", "devices/d1/twin"),
            Frames.AttachSender(7, "methods-out", "devices/d1/methods/devicebound"), Frames.AttachReceiver(8, "methods-in", "devices/d1/methods/devicebound"));
        await client.ExpectAsync("attach", "attach", "flow", "attach", "attach", "flow", "attach");

        await AskAsync(client, kind);

        Assert.Equal(handle, Assert.Single(await client.ExpectAsync(Detached)).Fields[0]);
        await SendAsync(client, 3, "d2 lives");
        Assert.Equal(AttemptOutcome.Admitted, _hub.Newest("d1").Outcome);
    }

    [Fact]
    public async Task KillAmqpD2CLink_OfADeviceThatHasNoOther_EndsItsSessionWithTheHub_AndItComesBack()
    {
        var client = await StartAsync();

        await AskAsync(client, "KillAmqpD2CLink");

        await client.ExpectAsync(Detached);
        await client.SendAsync(Frames.Detach(2), Frames.AttachSender(2, "up again", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "flow");
        Assert.Equal(AttemptOutcome.Admitted, _hub.Newest("d1").Outcome);
        Assert.Equal("injected fault KillAmqpD2CLink (byebye)", _hub.Access.Attempts.Of("d1")[1].Reason);
    }

    [Theory]
    [InlineData("InvokeThrottling", "disposition com.microsoft:device-container-throttled")]
    [InlineData("InvokeMaxMessageQuota", "disposition amqp:resource-limit-exceeded")]
    [InlineData("InvokeAuthError", "disposition amqp:unauthorized-access")]
    public async Task Telemetry_IsRefusedForTheDuration_OfWhoeverAskedAlone(string kind, string refused)
    {
        var client = await StartAsync();
        await _hub.AddDeviceAsync(client, "d2", handle: 3);

        await AskAsync(client, kind);

        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("refused")));
        await client.ExpectAsync(refused);
        await SendAsync(client, 3, "d2 lives");
        _hub.Time.Advance(TimeSpan.FromSeconds(5));
        await SendAsync(client, 2, "taken again");
        Assert.Equal(["asks", "taken again"], (await _hub.StoredAsync(2)).Select(message => message.Body));
    }

    [Theory]
    [InlineData("ShutDownMqtt", true)]
    [InlineData("Nonsense", true)]
    [InlineData("KillTcp", false)]
    [InlineData("InvokeThrottling", false)]
    public async Task Fault_OfMqtt_OrWithoutTheSwitch_IsTelemetry(string kind, bool faults)
    {
        var client = await StartAsync(faults);

        await AskAsync(client, kind);

        await SendAsync(client, 2, "goes on");
        Assert.Equal(kind, (await _hub.StoredAsync(2))[0].Properties["AzIoTHub_FaultOperationType"]);
    }

    private async Task<AmqpTestClient> StartAsync(bool faults = true)
    {
        _hub = await AmqpTestHub.StartAsync(faults: faults);
        return await _hub.DeviceAsync();
    }

    // As d1; the delay is over when it returns.
    private async Task AskAsync(AmqpTestClient client, string kind)
    {
        await client.SendAsync(client.Transfer(2, Asking(kind)));
        await client.ExpectAsync("disposition");
        _hub.Time.Advance(TimeSpan.FromSeconds(2));
    }

    private static async Task SendAsync(AmqpTestClient client, uint handle, string text)
    {
        await client.SendAsync(client.Transfer(handle, AmqpMessages.Text(text)));
        await client.ExpectAsync("disposition");
    }

    private static byte[] Asking(string kind) => AmqpMessages.Text(
        "asks", ("AzIoTHub_FaultOperationType", kind), ("AzIoTHub_FaultOperationCloseReason", "byebye"), ("AzIoTHub_FaultOperationDelayInSecs", "2"), ("AzIoTHub_FaultOperationDurationInSecs", "5"));
}
