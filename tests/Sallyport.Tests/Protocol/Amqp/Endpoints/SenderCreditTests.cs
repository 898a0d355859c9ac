using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>A server that sends to a peer whose flows are written by hand.</summary>
public sealed class SenderCreditTests
{
    [Fact]
    public void NothingIsSent_WithoutCredit() // [AMQP-2.6.7]
    {
        var server = Attached();

        Assert.Equal(AmqpSendResult.NoCredit, Send(server));
        Assert.Empty(server.Said());
    }

    [Fact]
    public void Credit_Repeated_IsNotAdded() // [AMQP-2.6.7]
    {
        var server = Attached(Frames.Credit(0, 0, 20));
        Assert.Equal(10, SendAll(server, 10));

        server.Hear(Frames.Credit(0, 0, 20), Frames.Credit(0, 0, 20));

        Assert.Equal(10u, server.Sender.Credit);
        Assert.Equal(10, SendAll(server, 100));
    }

    [Fact]
    public void Credit_Reduced_Holds() // [AMQP-2.6.7]
    {
        var server = Attached(Frames.Credit(0, 0, 20));
        Assert.Equal(5, SendAll(server, 5));

        server.Hear(Frames.Credit(0, 0, 6));

        Assert.Equal(1, SendAll(server, 100));
        server.Hear(Frames.Credit(0, 0, 2));
        Assert.Equal(0, SendAll(server, 100));
        server.Hear(Frames.Credit(0, 6, 2));
        Assert.Equal(2, SendAll(server, 100));
    }

    [Fact]
    public void Credit_OfAFlowThatCrossed_LeavesOutWhatIsOnItsWay() // [AMQP-2.6.7]
    {
        var server = Attached(Frames.Credit(0, 0, 10));
        Assert.Equal(8, SendAll(server, 8));

        server.Hear(Frames.Credit(0, 3, 10));

        Assert.Equal(5u, server.Sender.Credit);
    }

    [Fact]
    public void Credit_BeforeThePeerSawTheAttach_CountsFromTheBeginning() // [AMQP-2.6.7]
    {
        // The peer's own initial-delivery-count means nothing: it is the receiver.
        var server = Driven.Server(frames:
        [
            Frames.Begin(), Frames.Amqp(0, 0x12, "down", 0u, true, null, null, new Described(0x28, "from"), new Described(0x29, "to"), null, null, 7u),
            Frames.Credit(0, null, 3),
        ]);

        Assert.Equal(3u, server.Sender.Credit);
    }

    [Theory]
    [InlineData(int.MaxValue)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Credit_ThatIsHuge_IsCredit_AndCostsNothing(uint credit) // [AMQP-2.6.7]
    {
        var server = Attached();
        byte[] flow = Frames.Credit(0, 0, credit);
        var before = GC.GetAllocatedBytesForCurrentThread();

        server.Hear(flow);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
        Assert.Equal(credit, server.Sender.Credit);
        Assert.Equal(100, SendAll(server, 100));
        server.Hear(Frames.Credit(0, 60, credit));
        Assert.Equal(credit - 40, server.Sender.Credit);
    }

    [Fact]
    public void DeliveryCount_WrapsAround() // [AMQP-2.6.7]
    {
        // Drains take the count up to three below the end.
        var server = Attached(Frames.Credit(0, 0, int.MaxValue, drain: true));
        server.Sender.Drained();
        server.Hear(Frames.Credit(0, int.MaxValue, int.MaxValue - 1, drain: true));
        server.Sender.Drained();
        Assert.Equal(uint.MaxValue - 2, server.Listen()[^1].Fields[5]);

        server.Hear(Frames.Credit(0, uint.MaxValue - 2, 10));
        Assert.Equal(6, SendAll(server, 6));
        server.Hear(Frames.Credit(0, uint.MaxValue - 1, 10)); // It has seen one of the six.
        Assert.Equal(5u, server.Sender.Credit);
        server.Hear(Frames.Credit(0, 3, 10, echo: true));
        Assert.Equal(10u, server.Sender.Credit);
        Assert.Equal(3u, server.Listen()[^1].Fields[5]);
    }

    [Fact]
    public void Credit_FromAPeerThatClaimsMoreThanWasSent_IsNoMoreThanItSays()
    {
        var server = Attached(Frames.Credit(0, 1_000_000, 5));

        Assert.Equal(5, SendAll(server, 100));
        Assert.Null(server.Broken);
    }

    [Fact]
    public void Drain_SendsWhatThereIs_ThenGivesTheCreditBack() // [AMQP-2.6.7]
    {
        var server = Attached(Frames.Credit(0, 0, 10, drain: true));
        Assert.Equal(AmqpStep.Credit, server.Steps[^1]);
        Assert.True(server.Sender.IsDraining);
        Assert.Equal(4, SendAll(server, 4));
        server.Said();

        server.Sender.Drained();

        var flow = Assert.Single(server.Listen());
        Assert.Equal(10u, flow.Fields[5]);
        Assert.Equal(0u, flow.Fields[6]);
        Assert.Equal(0u, flow.Fields[7]);
        Assert.Equal(true, flow.Fields[8]);
        Assert.False(server.Sender.IsDraining);
        Assert.Equal(0, SendAll(server, 4));
        server.Sender.Drained();
        Assert.Empty(server.Said());
    }

    [Fact]
    public void Drain_TakenBack_IsOver() // [AMQP-2.6.7]
    {
        var server = Attached(Frames.Credit(0, 0, 10, drain: true), Frames.Credit(0, 0, 10));

        server.Sender.Drained();

        Assert.Empty(server.Said());
        Assert.Equal(10u, server.Sender.Credit);
    }

    [Fact]
    public void Echo_IsAnsweredOnceWithTheLinksState() // [AMQP-2.7.4]
    {
        var server = Attached(Frames.Credit(0, 0, 10));
        SendAll(server, 3);
        server.Said();

        server.Hear(Frames.Credit(0, 0, 10, echo: true));

        var flow = Assert.Single(server.Listen());
        Assert.Equal(0u, flow.Fields[4]);
        Assert.Equal(3u, flow.Fields[5]);
        Assert.Equal(7u, flow.Fields[6]);
        Assert.Equal(false, flow.Fields[9]);
    }

    [Fact]
    public void Credit_TakenBackInTheMiddleOfAMessage_LeavesNone() // [AMQP-2.6.7]
    {
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: 1), Frames.AttachReceiver(), Frames.Amqp(0, 0x13, 0u, 1u, 0u, 0u, 0u, 0u, 1u)]);
        server.Said();
        var message = new byte[100_000];
        Assert.Equal(AmqpSendResult.Blocked, server.Sender.TrySend([], message, [1], 0, settled: true, null));
        Assert.True(server.Sender.IsSendingPart);

        server.Hear(Frames.Credit(0, 0, 0));

        Assert.Equal(AmqpSendResult.Sent, server.Sender.TrySend([], message, [1], 0, settled: true, null));
        Assert.Equal(0u, server.Sender.Credit);
        Assert.Equal(AmqpSendResult.NoCredit, Send(server));
        server.Hear(Frames.Credit(0, 1, 1));
        Assert.Equal(1u, server.Sender.Credit);
    }

    [Fact]
    public void Drained_InTheMiddleOfAMessage_LeavesNoCredit() // [AMQP-2.6.7]
    {
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: 1), Frames.AttachReceiver(), Frames.Amqp(0, 0x13, 0u, 1u, 0u, 0u, 0u, 0u, 3u, null, true)]);
        var message = new byte[100_000];
        Assert.Equal(AmqpSendResult.Blocked, server.Sender.TrySend([], message, [1], 0, settled: true, null));

        server.Sender.Drained();
        server.Hear(Frames.Window(1, 100));

        Assert.Equal(AmqpSendResult.Sent, server.Sender.TrySend([], message, [1], 0, settled: true, null));
        Assert.Equal(0u, server.Sender.Credit);
        server.Hear(Frames.Credit(0, 3, 2, echo: true));
        Assert.Equal(3u, server.Listen()[^1].Fields[5]);
        Assert.Equal(2u, server.Sender.Credit);
    }

    private static Driven Attached(params byte[][] frames)
    {
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: uint.MaxValue), Frames.AttachReceiver()]);
        server.Hear(frames);
        Assert.Null(server.Broken);
        return server;
    }

    private static AmqpSendResult Send(Driven server) => server.Sender.TrySend([], [1, 2, 3], [1], 0, settled: true, null);

    private static int SendAll(Driven server, int most)
    {
        var sent = 0;
        while (sent < most && Send(server) == AmqpSendResult.Sent)
            sent++;
        return sent;
    }
}
