using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class ClosingTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Close_FromEitherSide_IsAnswered(bool byServer) // [AMQP-2.4.3]
    {
        var pair = Pair.Begun();
        pair.Up();
        var (closing, other) = byServer ? (pair.Server, pair.Client) : (pair.Client, pair.Server);

        closing.Connection.Close(new AmqpError(AmqpConditions.ConnectionForced, "the hub stops"));
        pair.Talk();

        Assert.Equal(AmqpStep.Closed, other.Steps[^1]);
        Assert.Equal(AmqpConditions.ConnectionForced, other.Connection.PeerError!.Condition);
        Assert.Equal("the hub stops", other.Connection.PeerError.Description);
        Assert.Equal(AmqpStep.Closed, closing.Steps[^1]);
        Assert.Equal("close", Heard.All([.. byServer ? pair.FromClient : pair.FromServer])[^1].ToString());
    }

    [Fact]
    public void Close_FromBothSidesAtOnce_IsOneCloseEach() // [AMQP-2.4.4]
    {
        var pair = Pair.Begun();
        pair.Client.Connection.Close(null);
        pair.Server.Connection.Close(null);

        pair.Talk();

        Assert.Single(Heard.All([.. pair.FromClient]), f => f.Name == "close");
        Assert.Single(Heard.All([.. pair.FromServer]), f => f.Name == "close");
        Assert.Equal(AmqpStep.Closed, pair.Client.Steps[^1]);
        Assert.Equal(AmqpStep.Closed, pair.Server.Steps[^1]);
    }

    [Fact]
    public void Close_Sent_WhatFollowsIsDroppedUntilThePeers() // [AMQP-2.4.6]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);
        server.Connection.Close(null);
        Assert.Equal("close", server.Told());

        server.Hear(
            Frames.Transfer(0, 0, [1]), Frames.Begin(9), Frames.AttachSender(3, "x", channel: 77), Frames.Amqp(0, 0x99), Frames.Open(), Frames.Heartbeat, Frames.End(88));
        Assert.Empty(server.Said());
        Assert.Null(server.Broken);

        server.Hear(Frames.Close());
        Assert.Equal(AmqpStep.Closed, server.Steps[^1]);
        Assert.Empty(server.Said());
    }

    [Fact]
    public void Close_Sent_NothingIsWrittenAfterIt() // [AMQP-2.4.3]
    {
        var pair = Pair.Begun();
        var (sender, _) = pair.Up();
        var (_, receiver) = pair.Down();
        var session = pair.Client.Session;
        pair.Client.Connection.Close(null);
        pair.Client.Said();

        pair.Client.Connection.Close(null);
        Assert.False(session.IsOpen);
        session.End(null);
        sender.Detach(null);
        receiver.Grant(500);
        Assert.Equal(AmqpSendResult.NoCredit, sender.TrySend([], [1], [1], 0, settled: false, null));
        Assert.Throws<InvalidOperationException>(() => session.AttachSender("late", "to"));
        Assert.Throws<InvalidOperationException>(() => pair.Client.Connection.BeginSession());
        Assert.Empty(pair.Client.Said());
    }

    [Fact]
    public void Close_ByThePeer_NothingIsWrittenAfterTheAnswer() // [AMQP-2.4.3]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);
        var (session, receiver) = (server.Session, server.Receiver);

        server.Hear(Frames.Close());
        Assert.Equal("close", server.Told());

        session.End(null);
        receiver.Detach(null);
        server.Connection.Close(null);
        server.Connection.WriteHeartbeat();
        Assert.Empty(server.Said());
    }

    [Fact]
    public void Close_AfterTheSessionsAreEnded_TellsEachLinkAndSessionBefore() // [AMQP-2.4.3]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender(), Frames.AttachReceiver(1)]);
        var error = new AmqpError(AmqpConditions.ConnectionForced, "the hub stops");

        server.Connection.EndSessions(error);
        server.Connection.Close(error);

        Assert.Equal(
            "detach amqp:connection:forced, detach amqp:connection:forced, end amqp:connection:forced, close amqp:connection:forced", server.Told());
        server.Hear(Frames.Detach(0), Frames.Detach(1), Frames.End(), Frames.Close());
        Assert.Equal(AmqpStep.Closed, server.Steps[^1]);
        Assert.Empty(server.Said());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Close_BeforeThereIsAnOpen_SendsOneFirst(bool isHeard) // [AMQP-2.4.3]
    {
        var server = new Driven(isServer: true);
        if (isHeard)
            server.Hear(Frames.AmqpHeader);
        server.Said();

        server.Connection.Close(new AmqpError(AmqpConditions.ConnectionForced, "later"));

        Assert.Equal(isHeard ? "open, close amqp:connection:forced" : "", server.Told());
    }

    [Fact]
    public void Close_ByAClientThatWaitsForTheOpen_IsSent() // [AMQP-2.4.3]
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(null, "hub.test");
        client.Hear(Frames.AmqpHeader);
        client.Said();

        client.Connection.Close(null);
        Assert.Equal("close", client.Told());

        client.Hear(Frames.Open(), Frames.Close());
        Assert.Equal(AmqpStep.Closed, client.Steps[^1]);
        Assert.Empty(client.Said());
    }

    [Fact]
    public void Close_WithAnErrorThatIsNone_IsRefused()
    {
        var server = Driven.Server();

        server.Hear(Frames.Close("sorry"));

        Assert.Equal("close amqp:decode-error", server.Told());
    }
}
