using System.Text;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>How devices ask about their twins over AMQP, and are told of them.</summary>
public sealed class AmqpTwinTests : IAsyncDisposable
{
    private const uint Requests = 3;
    private const uint Replies = 4;
    private AmqpTestHub _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Requests_AreAnsweredInTheirOrder_ByTheirIds()
    {
        var client = await StartAsync();

        await client.SendAsync(
            client.Transfer(Requests, Request("a", "PATCH", "/properties/reported", """{"n":1}""")),
            client.Transfer(Requests, Request("b", "GET", null, null)),
            client.Transfer(Requests, Request("c", "PATCH", "/properties/reported", """{"a.b":1}""")),
            client.Transfer(Requests, Request("d", "POST", null, null)));

        var answers = new[] { await AnswerAsync(client), await AnswerAsync(client), await AnswerAsync(client), await AnswerAsync(client) };
        Assert.Contains("a", answers[0], StringComparison.Ordinal);
        Assert.Contains("""{"n":1,"$version":2}""", answers[1], StringComparison.Ordinal);
        Assert.Contains("400004", answers[2], StringComparison.Ordinal);
        Assert.Contains("a.b", answers[2], StringComparison.Ordinal);
        Assert.Contains("operation and resource", answers[3], StringComparison.Ordinal);
    }

    [Fact]
    public async Task DesiredProperties_AreTold_FromWhenItAskedToBe_UntilItAskedNotTo()
    {
        var client = await StartAsync();
        await ChangeAsync("d1", """{"properties":{"desired":{"before":1}}}""");
        await client.SendAsync(client.Transfer(Requests, Request("s", "PUT", "/notifications/twin/properties/desired", null)));
        await AnswerAsync(client);

        await ChangeAsync("d1", """{"properties":{"desired":{"n":1,"before":null}}}""");
        await ChangeAsync("d2", """{"properties":{"desired":{"other":1}}}""");
        var told = await AnswerAsync(client);
        await client.SendAsync(client.Transfer(Requests, Request("u", "DELETE", "/notifications/twin/properties/desired", null)));
        await AnswerAsync(client);
        await ChangeAsync("d1", """{"properties":{"desired":{"after":1}}}""");
        await client.SendAsync(client.Transfer(Requests, Request("g", "GET", null, null)));

        Assert.EndsWith("""{"n":1,"before":null,"$version":3}""", told, StringComparison.Ordinal);
        Assert.Contains("\"after\":1", await AnswerAsync(client), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Answers_ThatWaitForTheCreditOfTooManyDevices_CloseTheDeviceBeyondTheBound_AndNoOther()
    {
        var client = await StartAsync(new AmqpHeadOptions { MaxWaitingTwinBytes = 12_000 }, credit: 0);
        await _hub.AddDeviceAsync(client, "d2", handle: 5);
        await ChangeAsync("d1", $$"""{"tags":{},"properties":{"desired":{"large":"{{new string('x', 4000)}}"} } }""");

        for (var n = 0; n < 4; n++)
            await client.SendAsync(client.Transfer(Requests, Request($"{n}", "GET", null, null)));

        await client.HearUntilAsync($"detach {HubErrors.Throttled.AmqpCondition}");
        await client.SendAsync(client.Transfer(5, AmqpMessages.Text("own")));
        await client.HearUntilAsync("disposition");
        Assert.Equal("it does not read the answers about its twin", _hub.Newest("d1").Reason);
    }

    private async Task<AmqpTestClient> StartAsync(AmqpHeadOptions? options = null, uint credit = 100)
    {
        _hub = await AmqpTestHub.StartAsync(options, twins: true);
        var client = await _hub.DeviceAsync();
        await client.SendAsync(Frames.AttachSender(Requests, "requests", "devices/d1/twin"), Frames.AttachReceiver(Replies, "replies", "devices/d1/twin"));
        await client.ExpectAsync("attach", "flow", "attach");
        if (credit > 0)
            await client.SendAsync(Frames.Credit(Replies, 0, credit));
        return client;
    }

    private async Task ChangeAsync(string id, string json) =>
        await _hub.Twins.ChangeAsync(AmqpTestHub.Owner, Identity.Of(id), TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces: false), EntityTagCondition.Any, Cancel);

    private static async Task<string> AnswerAsync(AmqpTestClient client) => Encoding.UTF8.GetString((await client.HearUntilAsync("transfer")).Payload);

    private static byte[] Request(string id, string operation, string? resource, string? body) =>
    [
        0, 0x53, 0x72, .. AmqpMessages.Map(((object)new Symbol("operation"), operation), (new Symbol("resource"), resource)).Bytes,
        .. Frames.Value(new Described(0x73, null, null, null, null, null, id)),
        .. body is null ? [0, 0x53, 0x77, 0x40] : (byte[])[0, 0x53, 0x75, .. Frames.Value(Encoding.UTF8.GetBytes(body))],
    ];
}
