using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>What services are told of their commands over AMQP.</summary>
public sealed class AmqpFeedbackTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");

    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await AmqpTestHub.StartAsync();

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Batch_IsOneReceivers_InTheFormThatSdksRead()
    {
        var (first, second) = (await ReceiverAsync(credit: 10), await ReceiverAsync(credit: 10));
        await CompletedAsync("a");

        var heard = await Task.WhenAny(first.HearAsync(), second.HearAsync());
        var transfer = await heard;
        Assert.Equal(("transfer", 16), (transfer.Name, ((byte[])transfer.Fields[2]!).Length));
        Assert.True(StoredMessage.TryRead(transfer.Payload, out var message));
        Assert.True(message.TryGet(AmqpProperty.ContentType, out var type));
        Assert.True(message.TryGet(AmqpProperty.UserId, out var user));
        Assert.Equal(("application/vnd.microsoft.iothub.feedback.json", "hub"), (Encoding.ASCII.GetString(type.Content), Encoding.ASCII.GetString(user.Content)));
        Assert.True(message.Annotations.TryFind("iothub-enqueuedtime"u8, out var enqueued));
        Assert.Equal((AmqpType.Timestamp, _hub.Time.GetUtcNow().ToUnixTimeMilliseconds()), (enqueued.Type, enqueued.Signed));
        var told = Assert.Single(JsonNode.Parse(message.BodyValue.Content)!.AsArray())!;
        Assert.Equal(("a", "d1", "Success"), ((string)told["originalMessageId"]!, (string)told["deviceId"]!, (string)told["statusCode"]!));
        Assert.Null(_hub.Feedback.Receive(null));
    }

    [Fact] // [AMQP-2.6.7] [AMQP-2.8.3]: as the .NET SDK takes it, one by one
    public async Task Receiver_ThatDrainsAndSettlesSecond_IsAnsweredOnceItIsGone()
    {
        var service = await ReceiverAsync(credit: 0, receiverSettles: 1);
        await CompletedAsync("a");
        await service.SendAsync(Frames.Credit(2, 0, 1));
        var transfer = Assert.Single(await service.ExpectAsync("transfer"));
        await service.SendAsync(Frames.Disposition((uint)transfer.Fields[1]!, settled: false, state: Frames.Accepted));
        await service.ExpectAsync("disposition");

        await service.SendAsync(Frames.Credit(2, 1, 1, drain: true));
        await service.ExpectAsync("flow");
        _hub.Time.Advance(TimeSpan.FromSeconds(60));
        await _hub.Commands.LookAfterAsync();
        Assert.Null(_hub.Feedback.Receive(null));
    }

    [Fact]
    public async Task Batch_Abandoned_ComesAgain_Counted()
    {
        var service = await ReceiverAsync(credit: 10);
        await CompletedAsync("a");
        var transfer = Assert.Single(await service.ExpectAsync("transfer"));
        await service.SendAsync(Frames.Disposition((uint)transfer.Fields[1]!, state: Frames.Released));

        var again = Assert.Single(await service.ExpectAsync("transfer"));
        Assert.True(StoredMessage.TryRead(again.Payload, out var message));
        Assert.True(message.Annotations.TryFind("iothub-deliverycount"u8, out var count));
        Assert.Equal(1ul, count.Unsigned);

        // A second word on the first delivery, as the Node SDK has it, changes nothing.
        await service.SendAsync(Frames.Disposition((uint)transfer.Fields[1]!, state: Frames.Accepted));
        Assert.Equal(400, await service.PutAsync("hub.test", ""));
        Assert.Null(_hub.Feedback.Receive(null));
    }

    [Fact]
    public async Task Batch_OfAReceiverThatGoes_IsAnothers()
    {
        var service = await ReceiverAsync(credit: 10);
        await CompletedAsync("a");
        await service.ExpectAsync("transfer");
        service.Abort();

        var other = await ReceiverAsync(credit: 10);
        await other.ExpectAsync("transfer");
    }

    [Fact]
    public async Task Receiver_IsNotedInTheAuditTrail()
    {
        await ReceiverAsync(credit: 0);
        Assert.Contains(_hub.Access.Audit.Entries, entry => entry is { Action: "feedback read", Principal: "policy:service", Result: "done" });
    }

    private async Task<AmqpTestClient> ReceiverAsync(uint credit, byte? receiverSettles = null)
    {
        var service = await _hub.ServiceAsync();
        await service.SendAsync(Frames.AttachReceiver(2, "feedback", "/messages/serviceBound/feedback", null, receiverSettles), Frames.Credit(2, 0, credit));
        await service.ExpectAsync("attach");
        return service;
    }

    // A command whose sender wants to know was completed, and the batch is made.
    private async Task CompletedAsync(string id)
    {
        var properties = new MessageProperties();
        properties.TrySet(SystemProperty.MessageId, Encoding.UTF8.GetBytes(id));
        properties.TrySet(SystemProperty.Ack, "full"u8);
        await _hub.Commands.EnqueueAsync(CommandDraft.Create(D1, properties, default), CancellationToken.None);
        await _hub.Commands.CompleteAsync(D1, Assert.Single(_hub.Commands.Receive(D1, "1", null, 1)).Token);
        _hub.Time.Advance(TimeSpan.FromSeconds(15));
        await _hub.Commands.LookAfterAsync();
    }
}
