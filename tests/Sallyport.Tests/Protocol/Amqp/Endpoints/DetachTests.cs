using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class DetachTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Detach_FromEitherSide_IsAnswered(bool byServer) // [AMQP-2.6.4] [AMQP-2.6.6]
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up();
        var other = byServer ? pair.Client : pair.Server;

        (byServer ? (AmqpLink)receiver : sender).Detach(new AmqpError(AmqpConditions.LinkStolen, "another one"));
        pair.Talk();

        Assert.Equal(AmqpStep.Detached, other.Steps[^1]);
        Assert.Equal("another one", other.Connection.PeerError!.Description);
        Assert.Same(byServer ? sender : receiver, other.Connection.Link);
        Assert.False(sender.IsAttached || receiver.IsAttached);
        Assert.Equal(0, pair.Client.Connection.LinkCount);
        Assert.Equal(0, pair.Server.Connection.LinkCount);
    }

    [Fact]
    public void Detach_FromBothSidesAtOnce_IsOneEach()
    {
        var pair = Pair.Begun();
        var (sender, receiver) = pair.Up();
        sender.Detach(null);
        receiver.Detach(null);

        pair.Talk();

        Assert.Single(Heard.All([.. pair.FromClient]), f => f.Name == "detach");
        Assert.Single(Heard.All([.. pair.FromServer]), f => f.Name == "detach");
        Assert.Equal(0, pair.Client.Connection.LinkCount);
        Assert.Equal(0, pair.Server.Connection.LinkCount);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Detach_IsAnsweredAsItCame(bool closed) // [AMQP-2.6.4] [AMQP-2.6.6]
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachSender(4)]);

        server.Hear(Frames.Detach(4, closed, Frames.Error("amqp:internal-error", "oh")));

        var detach = Assert.Single(server.Listen());
        Assert.Equal([4u, closed, null], detach.Fields);
        Assert.Equal("oh", server.Connection.PeerError!.Description);
    }

    [Fact]
    public void Handle_AfterDetach_CanBeUsedAgain() // [AMQP-2.6.2]
    {
        var pair = Pair.Begun();
        for (var round = 0; round < 5; round++)
        {
            var (sender, _) = pair.Up($"up{round}");
            sender.TrySend([], [(byte)round], [1], 0, settled: true, null);
            sender.Detach(null);
            pair.Talk();
        }

        Assert.Equal([0, 1, 2, 3, 4], pair.Server.Arrivals.Select(a => (int)a.Message[0]));
        Assert.All(Heard.All([.. pair.FromClient]).Where(f => f.Name == "attach"), attach => Assert.Equal(0u, attach.Fields[1]));
    }

    [Fact]
    public void Detach_Sent_WhatFollowsIsDroppedUntilThePeers() // [AMQP-2.6.5]
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender(0, "a"), Frames.AttachSender(1, "b")]);
        server.Session.Links[0].Detach(new AmqpError(AmqpConditions.DetachForced, "go"));
        server.Session.Links[0].Detach(null);
        Assert.Equal("detach amqp:link:detach-forced", server.Told());

        server.Hear(
            Frames.Transfer(0, 0, [1]), Frames.Transfer(0, 1, [1], more: true), Frames.Credit(0, 5, null, echo: true), Frames.Transfer(1, 2, [2]), Frames.Detach(0));

        Assert.Empty(server.Said());
        Assert.Equal("b", Assert.Single(server.Arrivals).Link);
        Assert.Single(server.Session.Links);
        server.Hear(Frames.AttachSender(0, "c"));
        Assert.Equal("attach, flow", server.Told());
    }

    [Fact]
    public void Detach_InTheMiddleOfAMessage_DropsItsParts()
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);

        server.Hear(Frames.Transfer(0, 0, [1], more: true), Frames.Detach(0), Frames.AttachSender(), Frames.Transfer(0, 1, [2]));

        Assert.Equal([2], Assert.Single(server.Arrivals).Message);
    }

    [Theory]
    [InlineData("transfer")]
    [InlineData("flow")]
    [InlineData("detach")]
    public void Frame_OnAHandleWithoutALink_EndsTheSession(string frame) // [AMQP-2.6.2]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(frame switch { "transfer" => Frames.Transfer(0, 0, [1]), "flow" => Frames.Credit(0, 0, 1), _ => Frames.Detach(0) });

        Assert.Equal("end amqp:session:unattached-handle", server.Told());
        Assert.Equal(AmqpStep.Ended, server.Steps[^1]);
        Assert.Equal(AmqpConditions.UnattachedHandle, server.Connection.PeerError!.Condition);
    }

    [Fact]
    public void Session_EndedForAMistake_IsEndedOnceForTheDriver()
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.Detach(0), Frames.Detach(0), Frames.End());

        Assert.Single(server.Steps, AmqpStep.Ended);
        Assert.Equal("end amqp:session:unattached-handle", server.Told());
        Assert.Empty(server.Connection.Sessions);
    }
}
