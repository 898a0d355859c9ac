using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class WindowTests
{
    [Fact]
    public void Sender_StopsAtThePeersWindow_AndGoesOnWhenItMoves() // [AMQP-2.5.6]
    {
        var server = Sending(window: 50);
        Assert.Equal(50, SendAll(server));

        server.Hear(Frames.Window(50, 50));
        Assert.Equal(AmqpStep.Credit, server.Steps[^1]);
        Assert.Equal(50, SendAll(server));
        server.Hear(Frames.Window(70, 50));
        Assert.Equal(20, SendAll(server));
        server.Hear(Frames.Window(120, 0));
        Assert.Equal(0, SendAll(server));
    }

    [Fact]
    public void Window_RepeatedOrReduced_IsNotAdded() // [AMQP-2.5.6]
    {
        var server = Sending(window: 20);
        Assert.Equal(10, SendAll(server, 10));

        server.Hear(Frames.Window(0, 20), Frames.Window(0, 20));
        Assert.Equal(10u, server.Session.RemoteIncomingWindow);
        server.Hear(Frames.Window(0, 12));
        Assert.Equal(2u, server.Session.RemoteIncomingWindow);
        server.Hear(Frames.Window(0, 5));
        Assert.Equal(0, SendAll(server));
    }

    [Fact]
    public void Window_BeforeThePeerSawTheBegin_CountsFromTheBeginning() // [AMQP-2.5.6]
    {
        var server = Sending(window: 20);
        Assert.Equal(3, SendAll(server, 3));

        server.Hear(Frames.Window(null, 10));

        Assert.Equal(7u, server.Session.RemoteIncomingWindow);
    }

    [Theory]
    [InlineData((uint)int.MaxValue)]
    [InlineData(0x8000_0000u)]
    [InlineData(uint.MaxValue)]
    public void Window_ThatIsHuge_IsAWindow(uint window) // [AMQP-2.5.6]
    {
        var server = Sending(window);
        Assert.Equal(100, SendAll(server, 100));

        server.Hear(Frames.Window(60, window));

        Assert.Equal(100, SendAll(server, 100));
    }

    [Fact]
    public void Message_OfManyFrames_WaitsForTheWindow_AndGoesOnWhereItWas() // [AMQP-2.5.6] [AMQP-2.6.14]
    {
        var pair = Pair.Begun(client: new AmqpOptions { ContainerId = "device", MaxFrameSize = 512, IncomingWindow = 4 });
        var (sender, _) = pair.Down();
        var message = new byte[20_000];
        new Random(5).NextBytes(message);

        var blocked = 0;
        while (sender.TrySend([], message, [1], 0, settled: true, null) == AmqpSendResult.Blocked)
        {
            blocked++;
            pair.Talk();
        }

        pair.Talk();
        Assert.True(blocked > 5);
        Assert.Equal(message, Assert.Single(pair.Client.Arrivals).Message);
        Assert.Null(pair.Client.Broken);
    }

    [Fact]
    public void TransferBeyondOurWindow_EndsTheSession() // [AMQP-2.5.6]
    {
        // The window is opened again at its half; a peer that is told nothing of it has the whole one.
        var server = Driven.Server(new AmqpOptions { IncomingWindow = 1 }, grant: 100, frames: [Frames.Begin(), Frames.AttachSender()]);
        server.Hear(Frames.Transfer(0, 0, [1]));
        Assert.Equal("flow", server.Told());

        var closed = Driven.Server(new AmqpOptions { IncomingWindow = 0 }, grant: 100, frames: [Frames.Begin(), Frames.AttachSender()]);
        closed.Hear(Frames.Transfer(0, 0, [1]));
        Assert.Equal("end amqp:session:window-violation", closed.Told());
        Assert.Empty(closed.Arrivals);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(uint.MaxValue - 4)]
    [InlineData((uint)int.MaxValue - 3)]
    public void OurWindow_IsOpenedAgainAtItsHalf_FromWhereThePeerIs(uint nextOutgoingId) // [AMQP-2.5.6]
    {
        var server = Driven.Server(new AmqpOptions { IncomingWindow = 10 }, grant: 100, frames: [Frames.Begin(nextOutgoingId: nextOutgoingId), Frames.AttachSender()]);

        for (uint id = 0; id < 4; id++)
            server.Hear(Frames.Transfer(0, id, [1]));
        Assert.Empty(server.Said());
        server.Hear(Frames.Transfer(0, 4, [1]));

        var flow = Assert.Single(server.Listen());
        Assert.Equal(unchecked(nextOutgoingId + 5), flow.Fields[0]);
        Assert.Equal(10u, flow.Fields[1]);
        Assert.Null(flow.Fields[4]);
    }

    [Fact]
    public void OurWindow_IsOpenedAlsoForWhatIsDropped() // [AMQP-2.5.6]
    {
        var server = Driven.Server(new AmqpOptions { IncomingWindow = 4 }, grant: 100, frames: [Frames.Begin(), Frames.AttachSender()]);
        server.Receiver.Detach(null);
        server.Said();

        for (uint id = 0; id < 40; id++)
            server.Hear(Frames.Transfer(0, id, [1]));

        Assert.All(server.Listen(), frame => Assert.Equal("flow", frame.Name));
        Assert.Null(server.Broken);
        Assert.True(server.Session.IsOpen);
    }

    [Fact]
    public void Echo_OfTheSession_IsAnsweredOnce() // [AMQP-2.7.4]
    {
        var server = Sending(window: 50);
        SendAll(server, 3);
        server.Said();

        server.Hear(Frames.Window(3, 50, echo: true));

        var flow = Assert.Single(server.Listen());
        Assert.Equal(0u, flow.Fields[0]);
        Assert.Equal(3u, flow.Fields[2]);
        Assert.Null(flow.Fields[4]);
        Assert.Equal(false, flow.Fields[9]);
    }

    private static Driven Sending(uint window)
    {
        // The flow with the credit says the window again.
        var server = Driven.Server(frames:
        [
            Frames.Begin(incomingWindow: window), Frames.AttachReceiver(), Frames.Amqp(0, 0x13, 0u, window, 0u, 0u, 0u, 0u, 1_000_000u),
        ]);
        Assert.Equal(window, server.Session.RemoteIncomingWindow);
        return server;
    }

    private static int SendAll(Driven server, int most = 1000)
    {
        var sent = 0;
        while (sent < most && server.Sender.TrySend([], [1], [1], 0, settled: true, null) == AmqpSendResult.Sent)
            sent++;
        return sent;
    }
}
