using System.Buffers;
using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

public sealed class HandshakeTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(int.MaxValue)]
    public void WithoutSasl_HeadersAndOpens_AreExchanged(int piece) // [AMQP-2.2] [AMQP-2.4.1]
    {
        var pair = new Pair(piece);

        pair.Open();

        Assert.True(pair.Client.Connection.IsOpen);
        Assert.True(pair.Server.Connection.IsOpen);
        Assert.Equal("hub.test", pair.Server.Connection.RemoteHostName);
        Assert.Equal("device", pair.Server.Connection.RemoteContainerId);
        Assert.Equal("hub", pair.Client.Connection.RemoteContainerId);
        Assert.Equal(TimeSpan.FromMinutes(4), pair.Client.Connection.RemoteIdleTimeOut);
        Assert.Equal(["header", "open"], Heard.All([.. pair.FromClient]).Select(f => f.Name));
        Assert.Equal(["header", "open"], Heard.All([.. pair.FromServer]).Select(f => f.Name));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(int.MaxValue)]
    public void WithSasl_TheServerHearsWho_ThenBothOpen(int piece) // [AMQP-5.3.1] [AMQP-5.3.2]
    {
        var pair = new Pair(piece);

        pair.Open(new SaslInit("PLAIN", [0, 1, 2]));

        Assert.Equal("PLAIN", pair.Server.Connection.SaslInit!.Mechanism);
        Assert.Equal([0, 1, 2], pair.Server.Connection.SaslInit.Response);
        Assert.Equal(SaslCode.Ok, pair.Client.Connection.SaslOutcome);
        Assert.True(pair.Server.Connection.IsOpen);
        Assert.Equal(["sasl-header", "sasl-init", "header", "open"], Heard.All([.. pair.FromClient]).Select(f => f.Name));
        var server = Heard.All([.. pair.FromServer]);
        Assert.Equal(["sasl-header", "sasl-mechanisms", "sasl-outcome", "header", "open"], server.Select(f => f.Name));
        Assert.Equal([new Symbol("ANONYMOUS"), new Symbol("PLAIN")], (object?[])server[1].Fields[0]!);
        Assert.All(server[1..3], frame => Assert.InRange(frame.Size, 8, 512));
    }

    [Fact]
    public void Sasl_Refused_EndsTheExchange() // [AMQP-5.3.2]
    {
        var pair = new Pair();
        pair.Server.SaslAnswer = SaslCode.Auth;

        pair.Open(new SaslInit("PLAIN", []));

        Assert.Equal(SaslCode.Auth, pair.Client.Connection.SaslOutcome);
        Assert.True(pair.Client.Connection.IsClosing);
        Assert.True(pair.Server.Connection.IsClosing);
        Assert.Equal("sasl-outcome", Heard.All([.. pair.FromServer])[^1].Name);
        Assert.Equal("sasl-init", Heard.All([.. pair.FromClient])[^1].Name);
    }

    [Fact]
    public void Sasl_MechanismNotOffered_IsTheClientsEnd() // [AMQP-5.3.2]
    {
        var pair = new Pair();

        pair.Open(new SaslInit("EXTERNAL", []));

        Assert.Equal(AmqpConditions.NotImplemented, pair.Client.Broken!.Condition);
    }

    [Fact]
    public void Sasl_OneMechanismAsASymbol_IsUnderstood() // [AMQP-5.3.2]
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(new SaslInit("ANONYMOUS", []), "hub.test");

        client.Hear(Frames.SaslHeader, Frames.Sasl(0x40, new Symbol("ANONYMOUS")));

        Assert.Equal("sasl-header, sasl-init", client.Told());
    }

    [Fact]
    public void Sasl_ServerThatSkipsIt_IsRefused()
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(new SaslInit("PLAIN", []), "hub.test");

        client.Hear(Frames.AmqpHeader, Frames.Open());

        Assert.Equal(AmqpConditions.FramingError, client.Broken!.Condition);
        Assert.False(client.Connection.IsOpen);
    }

    [Theory]
    [InlineData("414d5150 00 00 09 01")] // 0-9-1
    [InlineData("414d5150 00 01 00 01")] // a revision that does not exist
    [InlineData("414d5150 02 01 00 00")] // TLS inside of AMQP
    [InlineData("474554202f2048545450")] // HTTP
    [InlineData("16030100f8010000")] // TLS
    [InlineData("00000000")]
    [InlineData("414d515003010000 414d515003010000")] // SASL in SASL
    public void Header_OfSomethingElse_IsAnsweredWithWhatIsSpoken(string hex) // [AMQP-2.2]
    {
        var server = new Driven(isServer: true);

        server.Hear(Convert.FromHexString(hex.Replace(" ", "")));

        Assert.Equal(AmqpConditions.FramingError, server.Broken!.Condition);
        Assert.True(server.Connection.IsClosing);
        Assert.Contains(server.Told(), (string[])["header", "sasl-header, sasl-mechanisms"]);
    }

    [Fact]
    public void Header_ThatCannotBecomeOne_IsAnsweredAtItsFirstWrongByte() // [AMQP-2.2]
    {
        var server = new Driven(isServer: true);

        server.Hear("AMQ"u8.ToArray());
        Assert.Null(server.Broken);
        server.Hear("X"u8.ToArray());

        Assert.NotNull(server.Broken);
        Assert.Equal("header", server.Told());
    }

    [Fact]
    public void SaslHeader_AfterSasl_IsRefused()
    {
        var server = new Driven(isServer: true);

        server.Hear(Frames.SaslHeader, Frames.SaslInit(), Frames.SaslHeader);

        Assert.Equal(AmqpConditions.FramingError, server.Broken!.Condition);
    }

    [Fact]
    public void SaslInit_Twice_IsRefused() // [AMQP-5.3.2]
    {
        var server = new AmqpConnection(new AmqpOptions(), isServer: true, new ArrayBufferWriter<byte>());
        var input = new ReadOnlySequence<byte>(Frames.Concat(Frames.SaslHeader, Frames.SaslInit(), Frames.SaslInit()));
        Assert.Equal(AmqpStep.Handled, server.Next(ref input, out _));
        Assert.Equal(AmqpStep.SaslInit, server.Next(ref input, out _));

        Assert.Equal(AmqpConditions.NotAllowed, Refusal(server, input).Condition);
    }

    [Theory]
    [InlineData("sasl-challenge")]
    [InlineData("amqp frame")]
    [InlineData("empty frame")]
    [InlineData("no mechanism")]
    [InlineData("mechanism of a kilobyte")]
    [InlineData("response that is a list")]
    public void Sasl_FrameOutOfTurnOrBroken_IsRefused(string what) // [AMQP-5.3.1]
    {
        var server = new Driven(isServer: true);
        byte[] frame = what switch
        {
            "sasl-challenge" => Frames.Sasl(0x42, (object?)new byte[1]),
            "amqp frame" => Frames.Open(),
            "empty frame" => Frames.Of(1, 0, []),
            "no mechanism" => Frames.Sasl(0x41, null, null),
            "mechanism of a kilobyte" => Frames.SaslInit(new string('M', 1024)),
            _ => Frames.Sasl(0x41, new Symbol("PLAIN"), (object?)Array.Empty<object?>()),
        };

        server.Hear(Frames.SaslHeader, frame);

        Assert.NotNull(server.Broken);
        Assert.True(server.Connection.IsClosing);
        Assert.Equal("sasl-header, sasl-mechanisms", server.Told());
    }

    [Fact]
    public void SaslInit_Printed_ShowsNoResponse() =>
        Assert.DoesNotContain("secret", new SaslInit("PLAIN", Encoding.ASCII.GetBytes("secret")).ToString(), StringComparison.Ordinal);

    [Fact]
    public void Everything_AtOnce_IsAnsweredInOrder() // [AMQP-2.4.2]
    {
        var server = new Driven(isServer: true) { Grant = 10 };

        server.Hear(Frames.SaslHeader, Frames.SaslInit(), Frames.AmqpHeader, Frames.Open(), Frames.Begin(), Frames.AttachSender(), Frames.Transfer(0, 0, [1]));

        Assert.Equal("sasl-header, sasl-mechanisms, sasl-outcome, header, open, begin, attach, flow", server.Told());
        Assert.Single(server.Arrivals);
    }

    [Theory]
    [InlineData(0x11)]
    [InlineData(0x14)]
    [InlineData(0x18)]
    [InlineData(0x99)]
    public void FirstFrame_NotOpen_IsAnsweredWithOpenAndClose(byte code) // [AMQP-2.4.1] [AMQP-2.4.3]
    {
        var server = new Driven(isServer: true);

        server.Hear(Frames.AmqpHeader, Frames.Amqp(0, code));

        Assert.Equal("header, open, close amqp:not-allowed", server.Told());
    }

    [Theory]
    [InlineData(511u, false)]
    [InlineData(0u, false)]
    [InlineData(512u, true)]
    [InlineData(uint.MaxValue, true)]
    public void Open_MaxFrameSize_IsAtLeast512(uint size, bool isGood) // [AMQP-2.7.1]
    {
        var server = new Driven(isServer: true);

        server.Hear(Frames.AmqpHeader, Frames.Open(size));

        Assert.Equal(isGood ? "header, open" : "header, open, close amqp:invalid-field", server.Told());
        if (isGood)
            Assert.Equal((int)Math.Min(size, 65536), server.Connection.OutgoingFrameSize);
    }

    [Fact]
    public void Open_WithoutFields_HasTheDefaults() // [AMQP-2.7.1]
    {
        var server = new Driven(isServer: true);

        server.Hear(Frames.AmqpHeader, Frames.Amqp(0, 0x10, "peer"));

        Assert.Null(server.Broken);
        Assert.Null(server.Connection.RemoteHostName);
        Assert.Equal(TimeSpan.Zero, server.Connection.RemoteIdleTimeOut);
        Assert.Equal(65536, server.Connection.OutgoingFrameSize);
    }

    [Fact]
    public void Open_Twice_Closes() // [AMQP-2.4.1]
    {
        var server = Driven.Server();

        server.Hear(Frames.Open());

        Assert.Equal("close amqp:not-allowed", server.Told());
    }

    [Fact]
    public void Heartbeat_IsTakenOnAnyChannel_AndAsksForNothing() // [AMQP-2.4.5]
    {
        var server = Driven.Server();

        server.Hear(Frames.Heartbeat, Frames.Of(0, 77, []));

        Assert.Equal([AmqpStep.Handled, AmqpStep.Handled], server.Steps[^2..]);
        Assert.Empty(server.Said());
    }

    [Fact]
    public void Heartbeat_IsEightBytes_AndNothingUnlessOpen() // [AMQP-2.4.5]
    {
        var server = new Driven(isServer: true);
        server.Connection.WriteHeartbeat();
        Assert.Empty(server.Said());

        server.Hear(Frames.AmqpHeader, Frames.Open());
        server.Said();
        server.Connection.WriteHeartbeat();
        Assert.Equal([0, 0, 0, 8, 2, 0, 0, 0], server.Said());

        server.Connection.Close(null);
        server.Said();
        server.Connection.WriteHeartbeat();
        Assert.Empty(server.Said());
    }

    private static AmqpError Refusal(AmqpConnection connection, ReadOnlySequence<byte> input) =>
        Assert.Throws<AmqpProtocolException>(() => connection.Next(ref input, out _)).Error;
}
