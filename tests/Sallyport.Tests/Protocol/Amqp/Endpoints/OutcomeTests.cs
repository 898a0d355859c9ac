using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class OutcomeTests
{
    [Fact]
    public void Batch_IsOneRangedDisposition_AndEachOutcomeComesOnce() // [AMQP-2.7.6] [AMQP-3.4.2]
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up();
        for (var i = 0; i < 10; i++)
            sender.TrySend([], [(byte)i], [(byte)i], 0, settled: false, $"m{i}");
        pair.Talk();
        pair.FromServer.Clear();

        receiver.Settle(0, 9, 10, DeliveryState.Accepted);
        pair.Talk();

        var disposition = Assert.Single(Heard.All([.. pair.FromServer]));
        Assert.Equal([true, 0u, 9u, true, new Described(0x24), false], disposition.Fields.Select(f => f is Described d ? new Described(d.Code) : f), Same);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => $"m{i}"), pair.Client.Outcomes.Select(o => (string)o.Context!));
        Assert.All(pair.Client.Outcomes, outcome => Assert.Equal((DeliveryState.Accepted, sender), (outcome.State, outcome.Link)));
        Assert.Equal(0u, receiver.Unsettled);

        receiver.Settle(0, 9, 0, DeliveryState.Accepted);
        pair.Talk();
        Assert.Equal(10, pair.Client.Outcomes.Count);
    }

    [Fact]
    public void Rejected_SaysWhy() // [AMQP-3.4.3]
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up();
        sender.TrySend([], [1], [1], 0, settled: false, "m");
        pair.Talk();

        receiver.Settle(0, 0, 1, DeliveryState.Rejected, new AmqpError(AmqpConditions.ResourceLimitExceeded, "slower"));
        pair.Talk();

        var outcome = Assert.Single(pair.Client.Outcomes);
        Assert.Equal(DeliveryState.Rejected, outcome.State);
        Assert.Equal(new AmqpError(AmqpConditions.ResourceLimitExceeded, "slower"), outcome.Error);
    }

    [Theory]
    [InlineData(0x24, DeliveryState.Accepted)] // [AMQP-3.4.2]
    [InlineData(0x25, DeliveryState.Rejected)] // [AMQP-3.4.3]
    [InlineData(0x26, DeliveryState.Released)] // [AMQP-3.4.4]
    [InlineData(0x27, DeliveryState.Modified)] // [AMQP-3.4.5]
    [InlineData(0x34, DeliveryState.None)] // of a transaction
    public void EveryOutcome_ThatAPeerTells_IsHeard(byte code, DeliveryState state)
    {
        var server = Sent(1);

        server.Hear(Frames.Disposition(0, state: new Described(code, null, true)));

        Assert.Equal(state, Assert.Single(server.Outcomes).State);
    }

    [Fact]
    public void Settled_WithoutAState_IsHeard() // [AMQP-2.7.6]
    {
        var server = Sent(1);

        server.Hear(Frames.Disposition(0));

        Assert.Equal(DeliveryState.None, Assert.Single(server.Outcomes).State);
    }

    [Fact]
    public void Outcomes_InAnyOrderAndOverlapping_ComeOnceEach() // [AMQP-2.7.6]
    {
        var server = Sent(10);

        server.Hear(Frames.Disposition(7, 8, state: Frames.Accepted), Frames.Disposition(3, state: Frames.Accepted), Frames.Disposition(2, 20, state: Frames.Accepted), Frames.Disposition(0, 9, state: Frames.Accepted));

        Assert.Equal([7u, 8u, 3u, 2u, 4u, 5u, 6u, 9u, 0u, 1u], server.Outcomes.Select(o => o.Id));
    }

    [Theory]
    [InlineData(0u, uint.MaxValue)]
    [InlineData(0u, (uint)int.MaxValue)]
    [InlineData(1u, 0u)]
    [InlineData(5u, 4u)]
    [InlineData(0x8000_0000u, 0x7fff_ffffu)]
    [InlineData(uint.MaxValue, 0x7fff_fffeu)]
    [InlineData(1_000u, 2_000u)]
    public void Range_OfBillions_CostsNothing(uint first, uint last) // [AMQP-2.7.6]
    {
        var server = Sent(4);
        byte[] frame = Frames.Disposition(first, last, state: Frames.Accepted);
        var before = GC.GetAllocatedBytesForCurrentThread();

        server.Hear(frame);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
        Assert.Null(server.Broken);
        Assert.All(server.Outcomes, outcome => Assert.InRange(outcome.Id, 0u, 3u));
        Assert.InRange(server.Outcomes.Count, 0, 4);
    }

    [Fact]
    public void DeliveryIds_WrapAround() // [AMQP-2.8.8]
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachReceiver(), Frames.Credit(0, 0, 100)]);
        server.Session.NextDeliveryId = uint.MaxValue - 2;
        Send(server, 6);

        server.Hear(Frames.Disposition(uint.MaxValue - 1, 1, state: Frames.Accepted));

        Assert.Equal([uint.MaxValue - 1, uint.MaxValue, 0u, 1u], server.Outcomes.Select(o => o.Id));
        server.Hear(Frames.Disposition(uint.MaxValue - 2, 2, state: Frames.Accepted));
        Assert.Equal([uint.MaxValue - 2, 2u], server.Outcomes[4..].Select(o => o.Id));
    }

    [Fact]
    public void Receiver_ThatSettlesSecond_IsHeardOnce_AndSettledByUs() // [AMQP-2.8.3]
    {
        var server = Sent(3, maxUnsettled: 3);
        Assert.Equal(AmqpSendResult.Blocked, Unsettled(server));

        server.Hear(Frames.Disposition(0, 2, settled: false, state: Frames.Accepted));
        Assert.Equal(3, server.Outcomes.Count);
        Assert.Equal(AmqpSendResult.Blocked, Unsettled(server));
        server.Said();
        server.Sender.Settle(0, 2, DeliveryState.Accepted);

        var disposition = Assert.Single(server.Listen());
        Assert.Equal(false, disposition.Fields[0]);
        Assert.Equal(true, disposition.Fields[3]);
        Assert.Equal(AmqpSendResult.Sent, Unsettled(server));
    }

    [Fact]
    public void Settle_OfOneLink_LeavesTheOthers()
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachReceiver(0, "a"), Frames.AttachReceiver(1, "b"), Frames.Credit(0, 0, 10), Frames.Credit(1, 0, 10)]);
        var (a, b) = ((AmqpSender)server.Session.Links[0], (AmqpSender)server.Session.Links[1]);
        a.TrySend([], [1], [1], 0, settled: false, "a");
        b.TrySend([], [1], [1], 0, settled: false, "b");

        a.Settle(0, 1, DeliveryState.Accepted);
        server.Hear(Frames.Disposition(0, 1, state: Frames.Accepted));

        Assert.Equal("b", Assert.Single(server.Outcomes).Context);
    }

    [Fact]
    public void Unsettled_AtTheBound_Blocks_AndSettledOnesStillGo()
    {
        var server = Sent(4, maxUnsettled: 4);

        Assert.Equal(AmqpSendResult.Blocked, Unsettled(server));
        Assert.Equal(AmqpSendResult.Sent, server.Sender.TrySend([], [1], [1], 0, settled: true, null));
        server.Hear(Frames.Disposition(0, 3, state: Frames.Accepted));
        Assert.Equal(AmqpSendResult.Sent, Unsettled(server));
    }

    [Fact]
    public void Outcomes_OfADetachedLink_AreForgotten()
    {
        var server = Sent(4, maxUnsettled: 4);

        server.Hear(Frames.Detach(0), Frames.Disposition(0, 3, state: Frames.Accepted), Frames.AttachReceiver(), Frames.Credit(0, 0, 10));

        Assert.Empty(server.Outcomes);
        Assert.Equal(AmqpSendResult.Sent, Unsettled(server));
    }

    [Fact]
    public void Outcomes_NotTaken_AreGoneWithTheNextFrame()
    {
        var server = Driven.Server(frames: [Frames.Begin(0), Frames.Begin(1), Frames.AttachReceiver(channel: 1), Frames.Credit(0, 0, 10, channel: 1)]);
        var sender = (AmqpSender)server.Connection.Sessions[1].Links[0];
        sender.TrySend([], [1], [1], 0, settled: false, "other");
        var input = new System.Buffers.ReadOnlySequence<byte>(Frames.Concat(Frames.Disposition(0, channel: 0), Frames.Window(0, 10, channel: 1)));
        Assert.Equal(AmqpStep.Outcomes, server.Connection.Next(ref input, out _));

        Assert.Equal(AmqpStep.Credit, server.Connection.Next(ref input, out _));

        Assert.False(server.Connection.TryTakeOutcome(out _));
    }

    [Fact]
    public void Disposition_OfASender_IsNothingToUs() // [AMQP-2.7.6]
    {
        var server = Sent(2);

        server.Hear(Frames.Disposition(0, 1, receiver: false));

        Assert.Empty(server.Outcomes);
        Assert.Equal(AmqpStep.Handled, server.Steps[^1]);
    }

    [Theory]
    [InlineData("rejected without an error's condition")]
    [InlineData("rejected with a text")]
    [InlineData("no first")]
    public void Disposition_ThatIsBroken_Closes(string what)
    {
        var server = Sent(1);

        server.Hear(what switch
        {
            "no first" => Frames.Amqp(0, 0x15, true, null),
            "rejected with a text" => Frames.Disposition(0, state: new Described(0x25, "no")),
            _ => Frames.Disposition(0, state: new Described(0x25, new Described(0x1d))),
        });

        Assert.Equal("close amqp:decode-error", server.Told());
    }

    private static bool Same(object? a, object? b) => a is Described x && b is Described y ? x.Code == y.Code : Equals(a, b);

    private static Driven Sent(int count, int maxUnsettled = 2048)
    {
        var server = Driven.Server(new AmqpOptions { MaxUnsettled = maxUnsettled }, frames: [Frames.Begin(), Frames.AttachReceiver(), Frames.Credit(0, 0, 100)]);
        Send(server, count);
        server.Said();
        return server;
    }

    private static void Send(Driven server, int count)
    {
        for (var i = 0; i < count; i++)
            Assert.Equal(AmqpSendResult.Sent, Unsettled(server));
    }

    private static AmqpSendResult Unsettled(Driven server) => server.Sender.TrySend([], [1], [1], 0, settled: false, "m");
}
