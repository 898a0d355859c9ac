using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class AttachTests
{
    [Fact]
    public void Sender_IsAnsweredByAReceiver_WithItsTermini() // [AMQP-2.6.3]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.AttachSender(7, "up"));

        var attach = Assert.Single(server.Listen());
        Assert.Equal("up", attach.Fields[0]);
        Assert.Equal(7u, attach.Fields[1]);
        Assert.Equal(true, attach.Fields[2]);
        Assert.Equal("from", ((Described)attach.Fields[5]!).Fields[0]);
        Assert.Equal("to", ((Described)attach.Fields[6]!).Fields[0]);
        Assert.Equal(256 * 1024UL, attach.Fields[10]);
        Assert.Equal("to", server.Receiver.Attach.Target!.Address);
    }

    [Fact]
    public void Receiver_IsAnsweredByASender_WithItsDeliveryCount() // [AMQP-2.6.3] [AMQP-2.7.3]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.AttachReceiver(7, "down"));

        var attach = Assert.Single(server.Listen());
        Assert.Equal("down", attach.Fields[0]);
        Assert.Equal(false, attach.Fields[2]);
        Assert.Equal(0u, attach.Fields[9]);
        Assert.Equal("from", server.Sender.Attach.Source!.Address);
    }

    [Theory]
    [InlineData(512u, 300, "attach")]
    [InlineData(512u, 500, "attach, detach amqp:frame-size-too-small")]
    [InlineData(1024u, 500, "attach")]
    public void Attach_WhoseAnswerDoesNotFitThePeersFrames_IsRefused(uint frameSize, int sourceBytes, string told) // [AMQP-2.7.1] [AMQP-2.8.15]
    {
        var server = OfFrames(frameSize);

        server.Hear(Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, "from", null, null, new byte[sourceBytes]), new Described(0x29, "to")));

        var heard = server.Listen();
        Assert.Equal(told, string.Join(", ", heard));
        Assert.All(heard, frame => Assert.InRange(frame.Size, 8, (int)frameSize));
    }

    [Fact]
    public void Link_WhoseNameDoesNotFitThePeersFrames_EndsTheSession() // [AMQP-2.8.15]
    {
        var server = OfFrames(512);

        server.Hear(Frames.AttachReceiver(0, new string('n', 500)));

        var end = Assert.Single(server.Listen());
        Assert.Equal("end amqp:frame-size-too-small", end.ToString());
    }

    [Fact]
    public void Error_WhoseDescriptionDoesNotFitThePeersFrames_GoesWithoutIt() // [AMQP-2.7.1]
    {
        var server = OfFrames(512);
        server.Refusal = _ => new AmqpError(AmqpConditions.LinkRedirect, new string('d', 500)) { Redirect = new AmqpRedirect("h", "h", 5671, "amqps://h/events/") };

        server.Hear(Frames.AttachReceiver());

        var heard = server.Listen();
        Assert.Equal("attach, detach amqp:link:redirect", string.Join(", ", heard));
        Assert.InRange(heard[1].Size, 8, 512);
        Assert.Equal("", heard[1].Error!.Value.Fields[1]);
        Assert.Contains("amqps://h/events/", ((object?[])heard[1].Error!.Value.Fields[2]!).OfType<string>());
    }

    [Fact]
    public void AttachSender_WhoseAttachDoesNotFitThePeersFrames_IsTheCallersMistake() // [AMQP-2.7.1]
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(null, "hub.test");
        client.Hear(Frames.AmqpHeader, Frames.Open(maxFrameSize: 512u));
        var session = client.Connection.BeginSession();

        Assert.Throws<InvalidOperationException>(() => session.AttachSender("n", new string('t', 500)));
        Assert.Empty(session.Links);
    }

    [Fact]
    public void Accepted_KeepsNothingOfWhatThePeerSentThatNobodyAsksForAnyMore()
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, "from", null, null, new byte[10_000]), new Described(0x29, "to"), null, null, null, null, null, new Symbol("wish")));

        Assert.Equal("attach", server.Told());
        Assert.Equal("from", server.Sender.Attach.Source!.Address);
        Assert.Empty(server.Sender.Attach.Source.Encoded);
        Assert.False(server.Sender.Attach.Desires("wish"u8));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Attach_IsAnsweredWithPropertiesThatAreAMap(bool isRefused) // azure-eventhub for Python merges them into its own.
    {
        var server = Driven.Server(frames: Frames.Begin());
        server.Refusal = _ => isRefused ? new AmqpError(AmqpConditions.NotFound, "") : null;

        server.Hear(Frames.AttachReceiver());

        Assert.Empty(Assert.IsType<object?[]>(server.Listen()[0].Fields[13]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(int.MaxValue)]
    public void BothDirections_OfTheClient_AreAttached(int piece) // [AMQP-2.6.3]
    {
        var pair = Pair.Begun(piece);

        var (up, upThere) = pair.Up();
        var (downThere, down) = pair.Down();

        Assert.True(up.IsAttached && upThere.IsAttached && down.IsAttached && downThere.IsAttached);
        Assert.Equal(100u, up.Credit);
        Assert.Equal(100u, downThere.Credit);
        Assert.Equal(256 * 1024UL, up.Attach.MaxMessageSize);
        Assert.Equal(2, pair.Server.Connection.LinkCount);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Refused_IsAnAttachWithoutTermini_ThenADetach(bool receives) // [AMQP-2.6.3]
    {
        var pair = Pair.Begun();
        pair.Server.Refusal = _ => new AmqpError(AmqpConditions.NotFound, "no such node");

        AmqpLink link = receives ? pair.Client.Session.AttachReceiver("x", "nowhere") : pair.Client.Session.AttachSender("x", "nowhere");
        pair.Talk();

        var answer = Heard.All([.. pair.FromServer])[^2..];
        Assert.Equal(["attach", "detach amqp:not-found"], answer.Select(f => f.ToString()));
        Assert.Null(answer[0].Fields[5]);
        Assert.Null(answer[0].Fields[6]);
        Assert.Equal(true, answer[1].Fields[1]);
        Assert.Equal([AmqpStep.Attached, AmqpStep.Detached], pair.Client.Steps[^2..]);
        Assert.Equal("no such node", pair.Client.Connection.PeerError!.Description);
        Assert.Equal("detach", Heard.All([.. pair.FromClient])[^1].Name);
        Assert.False(link.IsAttached);
        Assert.Equal(0, pair.Server.Connection.LinkCount);
        Assert.Equal(0, pair.Client.Connection.LinkCount);
    }

    [Fact]
    public void Refused_WithARedirect_SaysWhere() // [AMQP-2.8.18]
    {
        var server = Driven.Server(frames: Frames.Begin());
        server.Refusal = _ => new AmqpError(AmqpConditions.LinkRedirect, "go there") { Redirect = new AmqpRedirect("hub.test", "hub.test", 5671, "amqps://hub.test/events") };

        server.Hear(Frames.AttachReceiver());

        var detach = server.Listen()[1];
        Assert.Equal(AmqpConditions.LinkRedirect, detach.Condition);
        Assert.Equal(
            [new Symbol("hostname"), "hub.test", new Symbol("network-host"), "hub.test", new Symbol("port"), (ushort)5671, new Symbol("address"), "amqps://hub.test/events"],
            (object?[])detach.Error!.Value.Fields[2]!);
    }

    [Fact]
    public void Refused_LinksFramesInFlight_AreDropped()
    {
        var server = Driven.Server(frames: Frames.Begin());
        server.Refusal = _ => new AmqpError(AmqpConditions.NotFound, "no such node");

        server.Hear(Frames.AttachSender(), Frames.Transfer(0, 0, [1]), Frames.Credit(0, 0, 5), Frames.Detach(0));

        Assert.Equal("attach, detach amqp:not-found", server.Told());
        Assert.Equal(0, server.Connection.LinkCount);
    }

    [Fact]
    public void Handle_InUse_EndsTheSession() // [AMQP-2.6.2]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.AttachSender(1, "a"), Frames.AttachSender(1, "b"));

        Assert.Equal("attach, end amqp:session:handle-in-use", server.Told());
        Assert.Equal(AmqpStep.Ended, server.Steps[^1]);
    }

    [Fact]
    public void Handle_AboveTheBound_Closes() // [AMQP-2.7.2]
    {
        var server = Driven.Server(new AmqpOptions { HandleMax = 3 }, frames: Frames.Begin());

        server.Hear(Frames.AttachSender(3, "a"), Frames.AttachSender(4, "b"));

        Assert.Equal("attach, close amqp:connection:framing-error", server.Told());
    }

    [Fact]
    public void Handle_AbovePeersBound_IsTheCallersMistake() // [AMQP-2.7.2]
    {
        var client = Driven.Client();
        var session = client.Connection.BeginSession();
        client.Hear(Frames.Begin(0, remoteChannel: 0, handleMax: 1));
        session.AttachSender("a", "to");
        session.AttachReceiver("b", "from");

        Assert.Throws<InvalidOperationException>(() => session.AttachSender("c", "to"));
    }

    [Fact]
    public void Links_BeyondTheBound_AreRefused()
    {
        var server = Driven.Server(frames: Frames.Begin());
        server.Connection.MaxLinks = 1;

        server.Hear(Frames.AttachSender(0, "a"), Frames.AttachSender(1, "b"));

        Assert.Equal("attach, attach, detach amqp:resource-limit-exceeded", server.Told());
        Assert.Equal(AmqpStep.Handled, server.Steps[^1]);
        server.Hear(Frames.Detach(1), Frames.Detach(0), Frames.AttachSender(1, "b"));
        Assert.Equal("detach, attach", server.Told());
    }

    [Fact]
    public void Attach_WithAllThatClientsSend_IsRead() // [AMQP-2.7.3] [AMQP-3.5.3]
    {
        var server = Driven.Server(frames: Frames.Begin());
        byte[] filters = [0xc1, 7, 2, 0xa3, 1, (byte)'k', 0xa1, 1, (byte)'v'];
        byte[] capabilities = [0xe0, 5, 1, 0xa3, 2, (byte)'q', (byte)'r'];
        Attach attach = null!;
        server.Refusal = link =>
        {
            attach = link.Attach;
            return null;
        };

        server.Hear(Frames.Amqp(
            0, 0x12, "n", 0u, true, (byte)1, (byte)1, new Described(0x28, "from", 0u, new Symbol("session-end"), 0u, false, null, null, new Encoded(filters)),
            new Described(0x29, "to"), null, null, null, 1024UL, null, new Encoded(capabilities), new Encoded(filters)));

        Assert.Equal(SenderSettleMode.Settled, attach.SenderSettleMode);
        Assert.Equal(ReceiverSettleMode.Second, attach.ReceiverSettleMode);
        Assert.Equal(1024UL, attach.MaxMessageSize);
        Assert.Equal(filters, attach.Source!.Filters);
        Assert.True(attach.TryFindProperty("k"u8, out var value));
        Assert.Equal("v", Encoding.ASCII.GetString(value.Content));
        Assert.True(attach.Desires("qr"u8));
        Assert.False(attach.Desires("q"u8));
        var answer = Assert.Single(server.Listen());
        Assert.Equal((byte)1, answer.Fields[3]);
        Assert.Equal((byte)1, answer.Fields[4]);
    }

    [Fact]
    public void Source_ThatIsDynamic_IsGivenAnAddress() // [AMQP-3.5.3]
    {
        var server = new Driven(isServer: true);
        server.Hear(Frames.AmqpHeader, Frames.Open(), Frames.Begin());
        var session = server.Session;
        server.Then = step =>
        {
            if (step == AmqpStep.Attaching)
                Assert.True(server.Connection.Link!.Attach.Source!.IsDynamic);
        };

        server.Hear(Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, null, null, null, null, true), null));

        Assert.Null(server.Broken);
        Assert.Single(session.Links);
    }

    [Fact]
    public void Target_ThatIsACoordinator_HasNoAddress() // [AMQP-3.5.4]
    {
        var server = Driven.Server(frames: Frames.Begin());

        server.Hear(Frames.Amqp(0, 0x12, "n", 0u, false, null, null, new Described(0x28), new Described(0x30)));

        Assert.Null(server.Receiver.Attach.Target!.Address);
    }

    [Theory]
    [InlineData("no name")]
    [InlineData("no handle")]
    [InlineData("no role")]
    [InlineData("settle mode 3")]
    [InlineData("address that is a list")]
    [InlineData("name of 2 KB")]
    [InlineData("address of 3 KB")]
    [InlineData("properties that are a list")]
    public void Attach_ThatIsBroken_Closes(string what) // [AMQP-2.7.3]
    {
        var server = Driven.Server(frames: Frames.Begin());
        object?[] fields = what switch
        {
            "no name" => [null, 0u, false],
            "no handle" => ["n", null, false],
            "no role" => ["n", 0u],
            "settle mode 3" => ["n", 0u, false, (byte)3],
            "address that is a list" => ["n", 0u, false, null, null, new Described(0x28, (object?)Array.Empty<object?>())],
            "name of 2 KB" => [new string('n', 2048), 0u, false],
            "address of 3 KB" => ["n", 0u, false, null, null, new Described(0x28, new string('a', 3000))],
            _ => ["n", 0u, false, null, null, null, null, null, null, null, null, null, null, Array.Empty<object?>()],
        };

        server.Hear(Frames.Amqp(0, 0x12, fields));

        Assert.Equal("close amqp:decode-error", server.Told());
    }

    [Fact]
    public void Client_AnswerWithAnUnknownName_EndsTheSession()
    {
        var client = Driven.Client();
        client.Connection.BeginSession();
        client.Hear(Frames.Begin(0, remoteChannel: 0));
        client.Session.AttachSender("up", "to");
        client.Said();

        client.Hear(Frames.AttachReceiver(0, "other"));

        Assert.Equal("end amqp:not-allowed", client.Told());
    }

    // For which the peer has opened the connection, taking frames of so many bytes, and begun a session.
    private static Driven OfFrames(uint frameSize)
    {
        var server = new Driven(isServer: true);
        server.Hear(Frames.AmqpHeader, Frames.Open(maxFrameSize: frameSize), Frames.Begin());
        server.Said();
        return server;
    }
}
