using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>A server that receives from a peer whose frames are written by hand.</summary>
public sealed class ReceiverCreditTests
{
    [Fact]
    public void Grant_IsTold() // [AMQP-2.6.7]
    {
        var server = Attached(initialDeliveryCount: 5);

        server.Receiver.Grant(10);

        var flow = Assert.Single(server.Listen());
        Assert.Equal([0u, 2048u, 0u, uint.MaxValue, 0u, 5u, 10u, null, false, false, null], flow.Fields);
    }

    [Fact]
    public void TransferBeyondTheCredit_Detaches() // [AMQP-2.6.7]
    {
        var server = Attached(grant: 3);

        server.Hear([.. Enumerable.Range(0, 4).Select(i => Frames.Transfer(0, (uint)i, [1]))]);

        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
        Assert.Equal(3, server.Arrivals.Count);
        Assert.Equal(AmqpStep.Detached, server.Steps[^1]);
    }

    [Fact]
    public void TransferWithoutAnyGrant_Detaches() // [AMQP-2.6.7]
    {
        var server = Attached();

        server.Hear(Frames.Transfer(0, 0, [1], settled: true));

        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
    }

    [Fact]
    public void TopUp_GrantsWhatIsUsedAndSettled_AtTheHalf()
    {
        var server = Attached(grant: 10);
        for (uint id = 0; id < 4; id++)
            server.Hear(Frames.Transfer(0, id, [1], settled: true));
        server.Receiver.TopUp();
        Assert.Empty(server.Said());

        server.Hear(Frames.Transfer(0, 4, [1], settled: true), Frames.Transfer(0, 5, [1]));
        server.Receiver.TopUp();

        var flow = Assert.Single(server.Listen());
        Assert.Equal(6u, flow.Fields[5]);
        Assert.Equal(9u, flow.Fields[6]); // One waits for its outcome.
    }

    [Fact]
    public void Unsettled_AreNeverMoreThanGranted()
    {
        var server = Attached(grant: 10);
        for (uint id = 0; id < 10; id++)
        {
            server.Hear(Frames.Transfer(0, id, [1]));
            server.Receiver.TopUp();
        }

        Assert.Empty(server.Said());
        Assert.Equal(10u, server.Receiver.Unsettled);
        server.Receiver.Settle(0, 6, 7, DeliveryState.Accepted);
        server.Receiver.TopUp();

        var told = server.Listen();
        Assert.Equal(["disposition", "flow"], told.Select(f => f.Name));
        Assert.Equal(7u, told[1].Fields[6]);
        Assert.Equal(3u, server.Receiver.Unsettled);
    }

    [Fact]
    public void Grant_Reduced_TakesWhatIsOnItsWay() // [AMQP-2.6.7]
    {
        var server = Attached(grant: 10);

        server.Receiver.Grant(2);
        server.Hear([.. Enumerable.Range(0, 10).Select(i => Frames.Transfer(0, (uint)i, [1], settled: true))]);

        Assert.Equal(10, server.Arrivals.Count);
        Assert.Equal("flow", server.Told());
        server.Hear(Frames.Transfer(0, 10, [1], settled: true));
        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
    }

    [Fact]
    public void Grant_ReducedAndRaised_CountsFromWhatCame() // [AMQP-2.6.7]
    {
        var server = Attached(grant: 10);
        server.Receiver.Grant(0);
        server.Hear(Frames.Transfer(0, 0, [1], settled: true));
        server.Said();

        server.Receiver.Grant(3);

        var flow = Assert.Single(server.Listen());
        Assert.Equal(1u, flow.Fields[5]);
        Assert.Equal(3u, flow.Fields[6]);
    }

    [Theory]
    [InlineData(uint.MaxValue - 1)]
    [InlineData((uint)int.MaxValue)]
    public void DeliveryCount_WrapsAround(uint initial) // [AMQP-2.6.7]
    {
        var server = Attached(grant: 4, initialDeliveryCount: initial);
        server.Hear([.. Enumerable.Range(0, 4).Select(i => Frames.Transfer(0, unchecked(initial + (uint)i), [1], settled: true))]);
        server.Receiver.TopUp();

        Assert.Equal(4, server.Arrivals.Count);
        var flow = Assert.Single(server.Listen());
        Assert.Equal(unchecked(initial + 4), flow.Fields[5]);
        Assert.Equal(4u, flow.Fields[6]);
    }

    [Fact]
    public void Client_AnsweredWithACount_CountsFromIt() // [AMQP-2.7.3]
    {
        var client = Driven.Client();
        client.Connection.BeginSession();
        client.Hear(Frames.Begin(0, remoteChannel: 0));
        var receiver = client.Session.AttachReceiver("down", "from");
        client.Said();

        client.Hear(Frames.AttachSender(0, "down", initialDeliveryCount: uint.MaxValue));
        receiver.Grant(3);

        var flow = Assert.Single(client.Listen());
        Assert.Equal(uint.MaxValue, flow.Fields[5]);
        client.Hear(Frames.Transfer(0, 0, [1], settled: true), Frames.Credit(0, 0, 2, echo: true));
        flow = Assert.Single(client.Listen());
        Assert.Equal(0u, flow.Fields[5]);
        Assert.Equal(2u, flow.Fields[6]);
    }

    [Fact]
    public void Sender_ThatGivesCreditBack_HasItNoMore() // [AMQP-2.6.7]
    {
        var server = Attached(grant: 10);

        server.Hear(Frames.Credit(0, 10, 0), Frames.Transfer(0, 0, [1]));

        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
    }

    [Fact]
    public void Sender_ThatGivesCreditBackInTheMiddleOfAMessage_HasNoneAfterIt() // [AMQP-2.6.7]
    {
        var server = Attached(grant: 1);

        server.Hear(
            Frames.Transfer(0, 0, [1], more: true), Frames.Credit(0, 1, 0), Frames.Transfer(0, 0, [2]), Frames.Transfer(0, 1, [3]), Frames.Transfer(0, 2, [4]));

        Assert.Equal([1, 2], Assert.Single(server.Arrivals).Message);
        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
    }

    [Fact]
    public void Sender_ThatTellsACountFromThePast_ChangesNothing()
    {
        var server = Attached(grant: 10);
        server.Hear(Frames.Transfer(0, 0, [1], settled: true), Frames.Transfer(0, 1, [1], settled: true));

        server.Hear(Frames.Credit(0, 0, 10, echo: true));

        var flow = Assert.Single(server.Listen());
        Assert.Equal(2u, flow.Fields[5]);
        Assert.Equal(8u, flow.Fields[6]);
    }

    [Fact]
    public void TwoMachines_KeepGoing_WithoutEverExceeding()
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up(credit: 16);
        var random = new Random(1);
        uint settledTo = 0;
        var sent = 0;
        while (sent < 5000)
        {
            while (sender.TrySend([], [1], [1], 0, settled: false, "m") == AmqpSendResult.Sent)
                sent++;
            pair.Talk();
            Assert.InRange(receiver.Unsettled, 1u, 16u);
            var count = (uint)random.Next(1, (int)receiver.Unsettled + 1);
            receiver.Settle(settledTo, settledTo + count - 1, count, DeliveryState.Accepted);
            settledTo += count;
            receiver.TopUp();
            pair.Talk();
        }

        Assert.Equal(sent, pair.Server.Arrivals.Count);
        Assert.Equal((int)settledTo, pair.Client.Outcomes.Count);
        Assert.Null(pair.Server.Broken);
    }

    private static Driven Attached(uint grant = 0, uint initialDeliveryCount = 0) =>
        Driven.Server(grant: grant, frames: [Frames.Begin(nextOutgoingId: 0), Frames.AttachSender(initialDeliveryCount: initialDeliveryCount)]);
}
