using System.Globalization;
using System.Text;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>How services send commands over AMQP, and what devices are sent and say of it.</summary>
public sealed class AmqpCommandTests : IAsyncLifetime
{
    private const string To = "/devices/d1/messages/devicebound";
    private static readonly Identity D1 = Identity.Of("d1");

    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await AmqpTestHub.StartAsync(commands: new CommandOptions { MaxQueueDepth = 3 });

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData("messages/devicebound")]
    [InlineData("/messages/deviceBound")]
    [InlineData("amqps://hub.test:5671/messages/devicebound")]
    public async Task Commands_SentByAService_AreAcceptedOnceTheyWait_AndRecorded(string address)
    {
        var service = await _hub.ServiceAsync();
        await service.SendAsync(Frames.AttachSender(2, "commands", address));
        await service.ExpectAsync("attach", "flow");
        await service.SendAsync(service.Transfer(2, AmqpMessages.Command(To, "do", "m1")), service.Transfer(2, AmqpMessages.Command(To, "it", "m2")));
        await AcceptedAsync(service, 2);

        Assert.Equal(["m1", "m2"], Waiting());
        Assert.All(_hub.Access.Audit.Entries.Where(entry => entry.Action == "command send"), entry => Assert.Equal(("policy:service", "d1", "done"), (entry.Principal, entry.Target, entry.Result)));
        Assert.Equal(2, _hub.Access.Audit.Entries.Count(entry => entry.Action == "command send"));
    }

    [Theory]
    [InlineData("/devices/nobody/messages/devicebound", "x", "amqp:not-found", 404001)]
    [InlineData("/devices/d1/modules/nobody/messages/devicebound", "x", "amqp:not-found", 404010)]
    [InlineData("/devices/d1/messages/events", "x", "com.microsoft:argument-error", 400004)]
    [InlineData("/messages/devicebound", "x", "com.microsoft:argument-error", 400004)]
    [InlineData(null, "x", "com.microsoft:argument-error", 400004)]
    [InlineData(To, "65536", "amqp:link:message-size-exceeded", 413001)]
    [InlineData(To, "200000", "amqp:link:message-size-exceeded", 413001)]
    public async Task Command_ThatIsNotTaken_IsRejected_AndNoted_AndTheLinkLives(string? to, string body, string condition, int code)
    {
        var service = await SenderAsync();
        await service.SendAsync(service.Transfers(2, AmqpMessages.Command(to, int.TryParse(body, CultureInfo.InvariantCulture, out var bytes) ? new string('x', bytes) : body)));
        await service.ExpectAsync($"disposition {condition}");

        await service.SendAsync(service.Transfer(2, AmqpMessages.Command(To, "good", "good")));
        await service.ExpectAsync("disposition");
        Assert.Equal(["good"], Waiting());
        Assert.StartsWith($"{code} ", Assert.Single(_hub.Refusals).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Command_ToAFullQueue_IsResourceLimitExceeded_AmongOthersThatAreTaken()
    {
        var service = await SenderAsync();
        await service.SendAsync(
            [.. Enumerable.Range(0, 4).Select(i => service.Transfer(2, AmqpMessages.Command(To, $"{i}", $"{i}"))), service.Transfer(2, AmqpMessages.Command("/devices/d2/messages/devicebound", "x"))]);

        var told = new List<string>();
        while (told.Count < 5)
        {
            var heard = await service.HearAsync();
            if (heard.Name == "disposition")
                told.AddRange(Enumerable.Repeat(heard.ToString(), (int)((uint)heard.Fields[2]! - (uint)heard.Fields[1]! + 1)));
        }

        Assert.Equal(["disposition", "disposition", "disposition", "disposition amqp:resource-limit-exceeded", "disposition"], told);
        Assert.Equal(["0", "1", "2"], Waiting());
    }

    [Fact]
    public async Task Command_LargerThanTheLinkTakes_CostsTheLink()
    {
        var service = await SenderAsync();
        await service.SendAsync(service.Transfers(2, AmqpMessages.Command(To, new string('x', 262_144))));
        await service.HearUntilAsync("detach amqp:link:message-size-exceeded");
        Assert.Empty(Waiting());
    }

    [Fact]
    public async Task Service_HasCreditForWhatMayBeUnderWay()
    {
        var service = await _hub.ServiceAsync();
        await service.SendAsync(Frames.AttachSender(2, "commands", "/messages/devicebound"));
        var flow = (await service.ExpectAsync("attach", "flow"))[1];
        Assert.Equal((0u, 100u), ((uint)flow.Fields[5]!, (uint)flow.Fields[6]!));
    }

    [Fact]
    public async Task Batch_AsACommand_IsAnArgumentError()
    {
        var service = await SenderAsync();
        await service.SendAsync(service.Transfer(2, AmqpMessages.Batch(AmqpMessages.Command(To, "x")), format: 0x80013700));
        await service.ExpectAsync("disposition com.microsoft:argument-error");
    }

    [Theory]
    [InlineData("a%b", "/devices/a%25b/messages/devicebound")]
    [InlineData("a%b", "/devices/a%b/messages/devicebound")] // as Python sends it
    [InlineData("a%25b", "/devices/a%25b/messages/devicebound")] // of two that it may mean, the one that is there
    [InlineData("a#=@$'+b", "/devices/a%23%3D%40%24'%2Bb/messages/deviceBound")]
    [InlineData("a#=@$'+b", "amqps://hub.test/devices/a%23%3D%40%24'%2Bb/messages/deviceBound")]
    public async Task Command_ToAnIdWithPunctuation_FindsIt(string id, string to)
    {
        await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of(id)));
        var service = await SenderAsync();
        await service.SendAsync(service.Transfer(2, AmqpMessages.Command(to, "x", "m")));
        await service.ExpectAsync("disposition");
        Assert.Equal("m", Assert.Single(_hub.Commands.List(Identity.Of(id), 10)).Command.MessageId);
    }

    [Fact]
    public async Task Command_WhenTheAuditTrailIsBroken_IsRefused()
    {
        var service = await SenderAsync();
        _hub.Access.Audit.IsBroken = true;
        await service.SendAsync(service.Transfer(2, AmqpMessages.Command(To, "x")));
        await service.ExpectAsync($"disposition {HubErrors.ServiceUnavailable.AmqpCondition}");
        Assert.Empty(Waiting());
    }

    [Fact]
    public async Task Connection_ThatTakesNothing_IsLentNoMoreThanItsBound_UntilItDoes()
    {
        await using var hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { MaxTakenBytes = 1 }, commands: new CommandOptions());
        var other = Identity.Of("d2");
        var device = await hub.OpenAsync();
        await hub.PutAsync(device, "d1");
        await hub.PutAsync(device, "d2");
        await device.SendAsync(Frames.Begin(1), Frames.AttachReceiver(3, "down-1", "/devices/d1/messages/deviceBound"), Frames.AttachReceiver(0, "down-2", "/devices/d2/messages/deviceBound", channel: 1));
        await device.ExpectAsync("begin", "attach", "attach");
        await device.SendAsync(Frames.Credit(3, 0, 5), Frames.Window(uint.MaxValue, 0));
        await hub.Commands.EnqueueAsync(Draft(D1, "held"), CancellationToken.None);
        await device.SendAsync(Frames.Credit(0, 0, 5, channel: 1, echo: true));
        await device.ExpectAsync("flow");
        await hub.Commands.EnqueueAsync(Draft(other, "behind"), CancellationToken.None);
        await device.SendAsync(Frames.Credit(0, 0, 5, channel: 1, echo: true));
        await device.ExpectAsync("flow");
        Assert.Equal((true, false), (Assert.Single(hub.Commands.List(D1, 10)).IsLocked, Assert.Single(hub.Commands.List(other, 10)).IsLocked));

        await device.SendAsync(Frames.Credit(3, 0, 5));
        await device.ExpectAsync("transfer", "transfer");
        Assert.True(Assert.Single(hub.Commands.List(other, 10)).IsLocked);
    }

    [Fact]
    public async Task Device_GetsWhatItHasCreditFor_WithLockTokenAndAnnotations()
    {
        var device = await ReceiverAsync(credit: 1);
        await SendAsync("a");
        await SendAsync("b");

        var transfer = Assert.Single(await device.ExpectAsync("transfer"));
        Assert.Equal((3u, false, 16), ((uint)transfer.Fields[0]!, (bool)transfer.Fields[4]!, ((byte[])transfer.Fields[2]!).Length));
        var command = new MessageProperties();
        Assert.Null(DeviceMessage.Read(transfer.Payload, command, out var body));
        Assert.Equal(("a", "a", "/devices/d1/messages/deviceBound"), (Encoding.UTF8.GetString(body), Text(command, SystemProperty.MessageId), Text(command, SystemProperty.To)));
        Assert.Equal(0, command.Count);
        Assert.True(Sallyport.Protocol.Amqp.StoredMessage.TryRead(transfer.Payload, out var stored));
        Assert.True(stored.Annotations.TryFind("x-opt-sequence-number"u8, out var sequence));
        Assert.True(stored.Annotations.TryFind("iothub-enqueuedtime"u8, out var enqueued));
        Assert.Equal((1ul, _hub.Time.GetUtcNow().ToUnixTimeMilliseconds()), (sequence.Unsigned, enqueued.Signed));
        await QuietAsync(device);

        await device.SendAsync(Frames.Disposition(DeliveryId(transfer), state: Frames.Accepted), Frames.Credit(3, 1, 1));
        Assert.Equal("b", BodyOf(Assert.Single(await device.ExpectAsync("transfer"))));
        await LeftAsync("b");
    }

    [Fact] // [AMQP-2.8.3]
    public async Task Device_ThatSettlesSecond_IsAnsweredOnceItIsStored_InAnyOrder()
    {
        var device = await ReceiverAsync(credit: 10, receiverSettles: 1);
        foreach (var id in new[] { "done", "again", "never" })
            await SendAsync(id);
        var transfers = await device.ExpectAsync("transfer", "transfer", "transfer");

        foreach (var (transfer, state) in transfers.Zip([Frames.Accepted, Frames.Released, Frames.Rejected]).Reverse())
        {
            await device.SendAsync(Frames.Disposition(DeliveryId(transfer), settled: false, state: state));
            var answer = await HearDispositionAsync(device);
            Assert.Equal((false, DeliveryId(transfer), true), ((bool)answer.Fields[0]!, (uint)answer.Fields[1]!, (bool)answer.Fields[3]!)); // role sender, settled
            Assert.Equal(0x24, ((Described)answer.Fields[4]!).Code);
        }

        Assert.Equal(["again"], Waiting());
        Assert.Equal("never", Assert.Single(_hub.Commands.ListDead("d1", 0, 10)).Command.MessageId);
        Assert.Equal(1, Assert.Single(_hub.Commands.List(D1, 10)).Command.DeliveryCount);
    }

    [Fact]
    public async Task Device_ThatSettlesAfterItsLock_IsToldSo_AndGetsItAgain()
    {
        var device = await ReceiverAsync(credit: 10, receiverSettles: 1);
        await SendAsync("a");
        var first = Assert.Single(await device.ExpectAsync("transfer"));
        _hub.Time.Advance(TimeSpan.FromSeconds(60));
        await _hub.Commands.LookAfterAsync();
        var second = Assert.Single(await device.ExpectAsync("transfer"));
        Assert.NotEqual(Tag(first), Tag(second));

        await device.SendAsync(Frames.Disposition(DeliveryId(first), settled: false, state: Frames.Accepted));
        Assert.Equal("disposition com.microsoft:message-lock-lost", (await HearDispositionAsync(device)).ToString());
        await device.SendAsync(Frames.Disposition(DeliveryId(second), settled: false, state: Frames.Accepted));
        Assert.Equal("disposition", (await HearDispositionAsync(device)).ToString());
        Assert.Empty(Waiting());
    }

    [Fact]
    public async Task Device_WhoseLinkGoes_GetsWhatItDidNotSettleAgain_Uncounted()
    {
        var device = await ReceiverAsync(credit: 10);
        await SendAsync("a");
        await device.ExpectAsync("transfer");
        await device.SendAsync(Frames.Detach(3));
        await device.ExpectAsync("detach");

        await device.SendAsync(Frames.AttachReceiver(3, "down", "devices/d1/messages/devicebound"), Frames.Credit(3, 0, 10));
        await device.ExpectAsync("attach", "transfer");
        Assert.Equal(0, Assert.Single(_hub.Commands.List(D1, 10)).Command.DeliveryCount);
    }

    [Fact]
    public async Task Device_ThatIsTakenOver_LosesWhatItDidNotSettleToTheNewer()
    {
        var older = await ReceiverAsync(credit: 10);
        await SendAsync("a");
        await older.ExpectAsync("transfer");

        var newer = await ReceiverAsync(credit: 10);
        Assert.Equal("a", BodyOf(await newer.HearUntilAsync("transfer")));
        await older.HearUntilAsync("detach amqp:link:stolen");
    }

    [Fact] // [AMQP-2.6.7]
    public async Task Device_ThatDrains_GetsItsCreditBack()
    {
        var device = await ReceiverAsync(credit: 0);
        await SendAsync("a");
        await device.SendAsync(Frames.Credit(3, 0, 5, drain: true));

        var heard = await device.ExpectAsync("transfer", "flow");
        Assert.Equal((5u, 0u), ((uint)heard[1].Fields[5]!, (uint)heard[1].Fields[6]!));
        await SendAsync("b");
        await QuietAsync(device);
    }

    [Fact]
    public async Task Device_ThatAsksForSettledDeliveries_CompletesByReceiving()
    {
        var device = await ReceiverAsync(credit: 10, senderSettles: 1);
        await SendAsync("a");
        Assert.True((bool)Assert.Single(await device.ExpectAsync("transfer")).Fields[4]!);
        await LeftAsync();
    }

    [Fact]
    public async Task Device_InQuarantine_GetsNothing_UntilItEnds()
    {
        var device = await ReceiverAsync(credit: 10);
        _hub.Line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "", ""));
        await SendAsync("a");
        await QuietAsync(device);

        _hub.Line.Release("d1");
        await _hub.Commands.LookAfterAsync();
        Assert.Equal("a", BodyOf(Assert.Single(await device.ExpectAsync("transfer"))));
    }

    [Fact]
    public async Task Device_ThatIsDisabled_LosesItsLink_AndFindsTheCommandsWhenItIsEnabled()
    {
        var device = await ReceiverAsync(credit: 10);
        await _hub.Access.PutAsync(AccessFixture.Record(D1) with { Enabled = false });
        _hub.Access.Connected.Close(D1, HubErrors.DeviceNotFound, "the device was disabled");
        await device.HearUntilAsync("detach amqp:not-found");
        await SendAsync("a");
        await _hub.Access.PutAsync(AccessFixture.Record(D1));

        var again = await ReceiverAsync(credit: 10);
        Assert.Equal("a", BodyOf(await again.HearUntilAsync("transfer")));
    }

    [Fact]
    public async Task Module_GetsItsOwn()
    {
        var module = Identity.Of("d1", "m1");
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/d1/modules/m1", _hub.Access.Token(module)));
        await client.SendAsync(Frames.AttachReceiver(3, "down", "/devices/d1/modules/m1/messages/devicebound"), Frames.Credit(3, 0, 10));
        await client.ExpectAsync("attach");
        await SendAsync("device's");
        await SendAsync("module's", module);

        Assert.Equal("module's", BodyOf(Assert.Single(await client.ExpectAsync("transfer"))));
        await QuietAsync(client);
    }

    private async Task<AmqpTestClient> SenderAsync()
    {
        var service = await _hub.ServiceAsync();
        await service.SendAsync(Frames.AttachSender(2, "commands", "/messages/devicebound"));
        await service.ExpectAsync("attach", "flow");
        return service;
    }

    /// <summary>A device that receives commands on handle 3.</summary>
    private async Task<AmqpTestClient> ReceiverAsync(uint credit, byte? senderSettles = null, byte? receiverSettles = null)
    {
        var device = await _hub.OpenAsync();
        await _hub.PutAsync(device, "d1");
        await device.SendAsync(Frames.AttachReceiver(3, "down", "/devices/d1/messages/deviceBound", senderSettles, receiverSettles), Frames.Credit(3, 0, credit));
        await device.ExpectAsync("attach");
        return device;
    }

    private async Task SendAsync(string id, Identity? to = null) => await _hub.Commands.EnqueueAsync(Draft(to ?? D1, id), CancellationToken.None);

    private static CommandDraft Draft(Identity to, string id)
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.MessageId, Encoding.UTF8.GetBytes(id));
        return CommandDraft.Create(to, properties, Encoding.UTF8.GetBytes(id));
    }

    // Whatever the hub has to say by now, it has said.
    private static async Task QuietAsync(AmqpTestClient client) => Assert.Equal(400, await client.PutAsync("hub.test", ""));

    private static async Task<Heard> HearDispositionAsync(AmqpTestClient client)
    {
        Heard heard;
        do
            heard = await client.HearAsync();
        while (heard.Name != "disposition");
        return heard;
    }

    private static async Task AcceptedAsync(AmqpTestClient client, int count)
    {
        for (var told = 0; told < count;)
        {
            var disposition = Assert.Single(await client.ExpectAsync("disposition"));
            told += (int)((uint)disposition.Fields[2]! - (uint)disposition.Fields[1]!) + 1;
        }
    }

    private static uint DeliveryId(Heard transfer) => (uint)transfer.Fields[1]!;

    private static Guid Tag(Heard transfer) => new((byte[])transfer.Fields[2]!);

    private static string BodyOf(Heard transfer)
    {
        Assert.Null(DeviceMessage.Read(transfer.Payload, new MessageProperties(), out var body));
        return Encoding.UTF8.GetString(body);
    }

    private static string Text(MessageProperties properties, SystemProperty key) => Encoding.UTF8.GetString(properties.System(key));

    private string[] Waiting() => [.. _hub.Commands.List(D1, 100).Select(one => one.Command.MessageId)];

    // What was settled without an answer goes from the queue by and by.
    private async Task LeftAsync(params string[] ids)
    {
        using var patience = new CancellationTokenSource(MqttTestClient.Patience);
        while (!Waiting().SequenceEqual(ids))
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
