using System.Buffers;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Protocol.Amqp;

/// <summary>A message as it arrived.</summary>
internal sealed record Arrived(string Link, uint Id, uint Format, bool Settled, byte[] Message);

/// <summary>
/// One end of a connection with as much of a driver as tests need: lets in what a test does not refuse, keeps what arrives, and closes
/// when the peer breaks the rules.
/// </summary>
internal sealed class Driven
{
    private readonly ArrayBufferWriter<byte> _output = new();
    private byte[] _left = [];

    public Driven(bool isServer, AmqpOptions? options = null) =>
        Connection = new AmqpConnection(options ?? new AmqpOptions { ContainerId = isServer ? "hub" : "device" }, isServer, _output) { Mechanisms = ["ANONYMOUS", "PLAIN"] };

    public AmqpConnection Connection { get; }

    public List<AmqpStep> Steps { get; } = [];

    public List<Arrived> Arrivals { get; } = [];

    public List<AmqpOutcome> Outcomes { get; } = [];

    /// <summary>What the peer did against the rules; null when nothing.</summary>
    public AmqpError? Broken { get; private set; }

    /// <summary>How the next SASL exchange ends.</summary>
    public SaslCode SaslAnswer { get; set; } = SaslCode.Ok;

    /// <summary>Why a link is refused; null lets it in.</summary>
    public Func<AmqpLink, AmqpError?> Refusal { get; set; } = _ => null;

    /// <summary>What the peer asked for of each link; the link itself forgets most of it once it is attached.</summary>
    public Dictionary<AmqpLink, Sallyport.Protocol.Amqp.Performatives.Attach> Asked { get; } = [];

    /// <summary>What every receiver is granted once it is attached.</summary>
    public uint Grant { get; set; }

    /// <summary>What else happens after a step.</summary>
    public Action<AmqpStep>? Then { get; set; }

    public AmqpSession Session => Connection.Sessions[0];

    public AmqpSender Sender => Session.Links.OfType<AmqpSender>().First();

    public AmqpReceiver Receiver => Session.Links.OfType<AmqpReceiver>().First();

    /// <summary>A server for which the peer has opened the connection and, if a test likes, begun a session; what it said is thrown away.</summary>
    public static Driven Server(AmqpOptions? options = null, uint grant = 0, params byte[][] frames)
    {
        var server = new Driven(isServer: true, options) { Grant = grant };
        server.Hear([Frames.AmqpHeader, Frames.Open(), .. frames]);
        Assert.Null(server.Broken);
        server.Said();
        return server;
    }

    /// <summary>A client for which the server has opened the connection; what it said is thrown away.</summary>
    public static Driven Client(params byte[][] frames)
    {
        var client = new Driven(isServer: false);
        client.Connection.Start(null, "hub.test");
        client.Hear([Frames.AmqpHeader, Frames.Open(), .. frames]);
        Assert.Null(client.Broken);
        client.Said();
        return client;
    }

    public void Hear(params byte[][] frames) => Hear(Frames.Concat(frames), int.MaxValue);

    /// <param name="segment">Bytes of a segment of the input.</param>
    public void Hear(byte[] bytes, int segment)
    {
        byte[] all = _left.Length == 0 ? bytes : [.. _left, .. bytes];
        var input = segment < all.Length ? Packets.InSegments(all, segment) : new ReadOnlySequence<byte>(all);
        try
        {
            while (Take(ref input))
                continue;
        }
        catch (AmqpProtocolException refusal)
        {
            Broken = refusal.Error;
            Connection.Close(refusal.Error);
        }

        _left = input.ToArray();
        Connection.ReleaseBuffers();
    }

    /// <summary>All that was written since it was asked last.</summary>
    public byte[] Said()
    {
        var said = _output.WrittenSpan.ToArray();
        _output.ResetWrittenCount();
        return said;
    }

    /// <summary>All frames that were written since.</summary>
    public List<Heard> Listen() => Heard.All(Said());

    /// <summary>Names, and conditions of errors, of all that was written since.</summary>
    public string Told() => string.Join(", ", Listen());

    private bool Take(ref ReadOnlySequence<byte> input)
    {
        var step = Connection.Next(ref input, out var delivery);
        if (step == AmqpStep.NeedMore)
            return false;

        Steps.Add(step);
        switch (step)
        {
            case AmqpStep.SaslInit:
                Connection.AnswerSasl(SaslAnswer);
                break;
            case AmqpStep.Opened when Connection.IsServer:
                Connection.AcceptOpen();
                break;
            case AmqpStep.Attaching when Refusal(Keep(Connection.Link!)) is { } error:
                Connection.Link!.Refuse(error);
                break;
            case AmqpStep.Attaching:
                Connection.Link!.Accept(maxMessageSize: 256 * 1024);
                GrantCredit();
                break;
            case AmqpStep.Attached:
                GrantCredit();
                break;
            case AmqpStep.Delivery:
                Arrivals.Add(new Arrived(delivery.Link.Name, delivery.Id, delivery.Format, delivery.Settled, delivery.Message.ToArray()));
                break;
            case AmqpStep.Outcomes:
                while (Connection.TryTakeOutcome(out var outcome))
                    Outcomes.Add(outcome);
                break;
        }

        Then?.Invoke(step);
        return step != AmqpStep.Closed;
    }

    private void GrantCredit()
    {
        if (Grant > 0 && Connection.Link is AmqpReceiver receiver)
            receiver.Grant(Grant);
    }

    private AmqpLink Keep(AmqpLink link)
    {
        Asked[link] = link.Attach;
        return link;
    }
}
