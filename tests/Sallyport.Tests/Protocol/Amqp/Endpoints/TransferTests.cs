using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class TransferTests
{
    private static readonly AmqpOptions Small = new() { ContainerId = "small", MaxFrameSize = 512 };

    [Theory]
    [InlineData(1, 0)]
    [InlineData(7, 300)]
    [InlineData(100, 5000)]
    [InlineData(int.MaxValue, 0)]
    [InlineData(int.MaxValue, 65_456)]
    [InlineData(int.MaxValue, 65_536)]
    [InlineData(int.MaxValue, 262_144)]
    public void Message_OfAnySize_ArrivesAsItWasSent(int piece, int length) // [AMQP-2.6.14]
    {
        var pair = Pair.Begun(piece);
        var (up, _) = pair.Up();
        var (down, _) = pair.Down();
        var message = Bytes(length);

        Assert.Equal(AmqpSendResult.Sent, up.TrySend(message.AsSpan(0, length / 3), message.AsSpan(length / 3), "tag"u8, 0, settled: false, null));
        Assert.Equal(AmqpSendResult.Sent, down.TrySend([], message, "tag"u8, AmqpDelivery.BatchFormat, settled: true, null));
        pair.Talk();

        var arrived = Assert.Single(pair.Server.Arrivals);
        Assert.Equal(message, arrived.Message);
        Assert.False(arrived.Settled);
        Assert.Equal(0u, arrived.Format);
        arrived = Assert.Single(pair.Client.Arrivals);
        Assert.Equal(message, arrived.Message);
        Assert.True(arrived.Settled);
        Assert.Equal(AmqpDelivery.BatchFormat, arrived.Format);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Frames_OfThePeersSize_AreNotExceeded(bool serverIsSmall) // [AMQP-2.7.1]
    {
        var pair = serverIsSmall ? Pair.Begun(server: Small) : Pair.Begun(client: Small);
        var (up, _) = pair.Up();
        var (down, _) = pair.Down();
        var message = Bytes(10_000);
        var tag = Bytes(32);

        up.TrySend(message.AsSpan(0, 700), message.AsSpan(700), tag, uint.MaxValue, settled: false, null);
        down.TrySend(message.AsSpan(0, 700), message.AsSpan(700), tag, uint.MaxValue, settled: false, null);
        pair.Talk();

        Assert.Equal(message, Assert.Single(pair.Server.Arrivals).Message);
        Assert.Equal(message, Assert.Single(pair.Client.Arrivals).Message);
        Assert.All(Heard.All([.. pair.FromClient, .. pair.FromServer]), frame => Assert.InRange(frame.Size, 8, 512));
        Assert.Null(pair.Client.Broken);
        Assert.Null(pair.Server.Broken);
    }

    [Fact]
    public void EveryLength_AroundTheFrameSize_ArrivesWhole() // [AMQP-2.6.14]
    {
        var pair = Pair.Begun(server: Small);
        var (up, receiver) = pair.Up();
        receiver.MaxMessageSize = 4096;
        for (var length = 380; length < 900; length++)
        {
            var message = Bytes(length);
            var head = Math.Min(length, 440);
            Assert.Equal(AmqpSendResult.Sent, up.TrySend(message.AsSpan(0, head), message.AsSpan(head), [1], 0, settled: true, null));
            pair.Talk();
            Assert.Equal(message, pair.Server.Arrivals[^1].Message);
            receiver.Grant(100);
            pair.Talk();
        }
    }

    [Fact]
    public void Messages_OfTwoLinks_MayBeInterleaved() // [AMQP-2.6.14]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender(0, "a"), Frames.AttachSender(1, "b")]);

        server.Hear(
            Frames.Transfer(0, 0, [1], more: true), Frames.Transfer(1, 1, [10], more: true), Frames.Transfer(0, null, [2], more: true),
            Frames.Transfer(1, 1, [11]), Frames.Transfer(0, 0, [3], settled: true));

        Assert.Equal([10, 11], server.Arrivals[0].Message);
        Assert.Equal("b", server.Arrivals[0].Link);
        Assert.Equal([1, 2, 3], server.Arrivals[1].Message);
        Assert.False(server.Arrivals[0].Settled);
        Assert.True(server.Arrivals[1].Settled); // [AMQP-2.7.5] Settled on any of its frames.
    }

    [Fact]
    public void Message_Aborted_IsNoMessage_AndUsesItsCredit() // [AMQP-2.7.5]
    {
        var server = Driven.Server(grant: 4, frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(
            Frames.Transfer(0, 0, [1], more: true), Frames.Transfer(0, 0, [2], aborted: true), Frames.Transfer(0, 1, [3]),
            Frames.Transfer(0, 2, [4], aborted: true));

        Assert.Equal([3], Assert.Single(server.Arrivals).Message);
        Assert.Equal(1u, server.Receiver.Unsettled);
        var flow = Assert.Single(server.Listen());
        Assert.Equal("flow", flow.Name);
        Assert.Equal(3u, flow.Fields[5]);
        Assert.Equal(3u, flow.Fields[6]);
    }

    [Fact]
    public void Message_AbortedAtItsFirstFrame_WithoutCredit_Detaches() // [AMQP-2.6.7]
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(Frames.Transfer(0, 0, [], aborted: true));

        Assert.Equal("detach amqp:link:transfer-limit-exceeded", server.Told());
    }

    [Fact]
    public void FirstFrame_WithoutADeliveryId_Detaches() // [AMQP-2.7.5]
    {
        var server = Driven.Server(grant: 4, frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(Frames.Transfer(0, null, [1]));

        Assert.Equal("detach amqp:invalid-field", server.Told());
        Assert.Equal(AmqpStep.Detached, server.Steps[^1]);
    }

    [Fact]
    public void NextFrame_OfAnotherDelivery_Detaches() // [AMQP-2.7.5]
    {
        var server = Driven.Server(grant: 4, frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(Frames.Transfer(0, 0, [1], more: true), Frames.Transfer(0, 1, [2]));

        Assert.Equal("detach amqp:invalid-field", server.Told());
        Assert.Empty(server.Arrivals);
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(32, true)]
    [InlineData(33, false)]
    public void DeliveryTag_IsAtMost32Bytes(int length, bool isGood) // [AMQP-2.8.7]
    {
        var server = Driven.Server(grant: 4, frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(Frames.Transfer(0, 0, [1], new byte[length]));

        Assert.Equal(isGood ? "" : "end amqp:invalid-field", server.Told());
        Assert.Equal(isGood ? 1 : 0, server.Arrivals.Count);
    }

    [Fact]
    public void Transfer_OnALinkThatThePeerReceivesOn_EndsTheSession()
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachReceiver()]);

        server.Hear(Frames.Transfer(0, 0, [1]));

        Assert.Equal("end amqp:not-allowed", server.Told());
    }

    [Theory]
    [InlineData(1000, true)]
    [InlineData(1001, false)]
    public void Message_OfMoreThanTheLargest_Detaches(int length, bool isGood) // [AMQP-2.7.3]
    {
        var server = Driven.Server(grant: 4, frames: [Frames.Begin(), Frames.AttachSender(0, "a"), Frames.AttachSender(1, "b")]);
        foreach (var link in server.Session.Links)
            ((AmqpReceiver)link).MaxMessageSize = 1000;

        server.Hear(Frames.Transfer(0, 0, Bytes(length)), Frames.Transfer(1, 1, Bytes(600), more: true), Frames.Transfer(1, 1, Bytes(length - 600)));

        Assert.Equal(isGood ? "" : "detach amqp:link:message-size-exceeded, detach amqp:link:message-size-exceeded", server.Told());
        Assert.Equal(isGood ? 2 : 0, server.Arrivals.Count);
    }

    private static byte[] Bytes(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }
}
