using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class SessionTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(7)]
    [InlineData(4095)]
    public void Begin_IsAnsweredOnItsChannel(ushort channel) // [AMQP-2.5.1]
    {
        var server = Driven.Server();

        server.Hear(Frames.Begin(channel));

        var begin = Assert.Single(server.Listen());
        Assert.Equal("begin", begin.Name);
        Assert.Equal(channel, begin.Channel);
        Assert.Equal(channel, begin.Fields[0]);
        Assert.Equal(AmqpStep.Begun, server.Steps[^1]);
        Assert.True(server.Session.IsOpen);
    }

    [Fact]
    public void Begin_OnAChannelInUse_Closes() // [AMQP-2.5.1]
    {
        var server = Driven.Server();

        server.Hear(Frames.Begin(3), Frames.Begin(3));

        Assert.Equal("begin, close amqp:not-allowed", server.Told());
    }

    [Fact]
    public void Begin_AboveChannelMax_Closes() // [AMQP-2.7.1]
    {
        var server = Driven.Server(new AmqpOptions { ChannelMax = 5 });

        server.Hear(Frames.Begin(5), Frames.Begin(6));

        Assert.Equal("begin, close amqp:connection:framing-error", server.Told());
    }

    [Theory]
    [InlineData(0x12)]
    [InlineData(0x13)]
    [InlineData(0x14)]
    [InlineData(0x15)]
    [InlineData(0x16)]
    [InlineData(0x17)]
    public void Frame_OnAChannelWithoutASession_Closes(byte code) // [AMQP-2.5.1]
    {
        var server = Driven.Server();

        server.Hear(Frames.Begin(1), Frames.Amqp(2, code));

        Assert.Equal("begin, close amqp:not-allowed", server.Told());
    }

    [Fact]
    public void Detach_BehindTheEndOfItsSession_IsDropped() // azure-eventhub for Python ends first.
    {
        var server = Driven.Server(frames: [Frames.Begin(1), Frames.AttachSender(channel: 1)]);

        server.Hear(Frames.End(1), Frames.Detach(0, channel: 1));
        Assert.Equal("end", server.Told());

        server.Hear(Frames.Begin(1), Frames.Detach(0, channel: 1));
        Assert.Equal("begin, end amqp:session:unattached-handle", server.Told());
    }

    [Fact]
    public void Begin_BeyondMaxSessions_IsAnsweredAndEnded()
    {
        var server = Driven.Server();
        server.Connection.MaxSessions = 1;

        server.Hear(Frames.Begin(0), Frames.Begin(1));
        Assert.Equal("begin, begin, end amqp:resource-limit-exceeded", server.Told());

        server.Hear(Frames.End(1), Frames.End(0), Frames.Begin(2));
        Assert.Equal("end, begin", server.Told());
    }

    [Fact]
    public void Begin_ByAServer_IsNotAskedFor()
    {
        var client = Driven.Client();

        client.Hear(Frames.Begin());

        Assert.Equal(AmqpConditions.NotAllowed, client.Broken!.Condition);
    }

    [Fact]
    public void BeginSession_AboveThePeersChannelMax_IsTheCallersMistake() // [AMQP-2.7.1]
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(null, "hub.test");
        client.Hear(Frames.AmqpHeader, Frames.Open(channelMax: (ushort)1));
        client.Connection.BeginSession();
        client.Connection.BeginSession();

        Assert.Throws<InvalidOperationException>(() => client.Connection.BeginSession());
    }

    [Fact]
    public void Sessions_AreManyOnOneConnection_EachOnItsChannel()
    {
        var pair = Pair.Begun();
        pair.Client.Connection.BeginSession();
        pair.Client.Connection.BeginSession();

        pair.Talk();

        Assert.Equal(3, pair.Server.Connection.Sessions.Count);
        Assert.All(pair.Client.Connection.Sessions, session => Assert.True(session.IsOpen));
        Assert.Equal([0, 1, 2], Heard.All([.. pair.FromClient]).Where(f => f.Name == "begin").Select(f => (int)f.Channel));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void End_FromEitherSide_IsAnsweredAndItsChannelFree(bool byServer) // [AMQP-2.5.2]
    {
        var pair = Pair.Begun();
        pair.Up();
        var (ending, other) = byServer ? (pair.Server, pair.Client) : (pair.Client, pair.Server);

        ending.Session.End(new AmqpError(AmqpConditions.InternalError, "enough"));
        pair.Talk();

        Assert.Equal(AmqpStep.Ended, other.Steps[^1]);
        Assert.Equal("enough", other.Connection.PeerError!.Description);
        Assert.Empty(pair.Client.Connection.Sessions);
        Assert.Empty(pair.Server.Connection.Sessions);
        Assert.Equal(0, pair.Server.Connection.LinkCount);
        Assert.Equal(0, pair.Client.Connection.LinkCount);

        pair.Client.Connection.BeginSession();
        pair.Talk();
        Assert.True(pair.Client.Session.IsOpen);
    }

    [Fact]
    public void End_FromBothSidesAtOnce_IsOneEndEach() // [AMQP-2.5.3]
    {
        var pair = Pair.Begun();
        pair.Client.Session.End(null);
        pair.Server.Session.End(null);

        pair.Talk();

        Assert.Single(Heard.All([.. pair.FromClient]), f => f.Name == "end");
        Assert.Single(Heard.All([.. pair.FromServer]), f => f.Name == "end");
        Assert.Empty(pair.Client.Connection.Sessions);
        Assert.Empty(pair.Server.Connection.Sessions);
        Assert.DoesNotContain(AmqpStep.Ended, pair.Client.Steps);
    }

    [Fact]
    public void End_Sent_WhatFollowsIsDroppedUntilThePeers() // [AMQP-2.5.5]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);
        server.Session.End(new AmqpError(AmqpConditions.InternalError, "enough"));
        Assert.Equal("end amqp:internal-error", server.Told());

        server.Hear(
            Frames.Transfer(0, 0, [1]), Frames.Transfer(99, 0, [1]), Frames.Credit(5, 0, 10, echo: true), Frames.AttachSender(1, "other"),
            Frames.Disposition(0), Frames.Detach(0));
        Assert.Empty(server.Said());
        Assert.Null(server.Broken);
        Assert.Empty(server.Arrivals);

        server.Hear(Frames.End(), Frames.Begin());
        Assert.Equal("begin", server.Told());
    }

    [Fact]
    public void End_Twice_IsOneFrame()
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Session.End(null);
        server.Session.End(null);

        Assert.Equal("end", server.Told());
    }

    [Fact]
    public void Link_OfAnEndedSession_SaysNothingMore()
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up();
        var session = pair.Client.Session;
        session.End(null);
        pair.Client.Said();

        Assert.Equal(AmqpSendResult.NoCredit, sender.TrySend([], [1], [1], 0, settled: true, null));
        sender.Detach(null);
        Assert.Throws<InvalidOperationException>(() => session.AttachSender("late", "to"));
        Assert.Empty(pair.Client.Said());

        pair.Server.Session.End(null);
        pair.Server.Said();
        receiver.Grant(50);
        receiver.Settle(0, 0, 1, Sallyport.Protocol.Amqp.Performatives.DeliveryState.Accepted);
        receiver.Detach(null);
        Assert.Empty(pair.Server.Said());
    }
}
