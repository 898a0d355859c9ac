using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp;

/// <summary>A client and a server in memory: what one says the other hears, in pieces of a size.</summary>
/// <param name="piece">Bytes that arrive at once.</param>
internal sealed class Pair(int piece = int.MaxValue, AmqpOptions? client = null, AmqpOptions? server = null)
{
    public Driven Client { get; } = new(isServer: false, client);

    public Driven Server { get; } = new(isServer: true, server);

    /// <summary>All that the client said.</summary>
    public List<byte> FromClient { get; } = [];

    /// <summary>All that the server said.</summary>
    public List<byte> FromServer { get; } = [];

    /// <summary>A pair whose connection is open and has a session.</summary>
    public static Pair Begun(int piece = int.MaxValue, AmqpOptions? client = null, AmqpOptions? server = null)
    {
        var pair = new Pair(piece, client, server);
        pair.Open();
        pair.Client.Connection.BeginSession();
        pair.Talk();
        Assert.True(pair.Client.Session.IsOpen);
        return pair;
    }

    public void Open(SaslInit? sasl = null)
    {
        Client.Connection.Start(sasl, "hub.test");
        Talk();
    }

    /// <summary>The client's link to send on, with credit.</summary>
    public (AmqpSender Sender, AmqpReceiver Receiver) Up(string name = "up", uint credit = 100)
    {
        var sender = Client.Session.AttachSender(name, "to");
        Talk();
        var receiver = Server.Session.Links.OfType<AmqpReceiver>().Single(link => link.Name == name);
        receiver.Grant(credit);
        Talk();
        return (sender, receiver);
    }

    /// <summary>The client's link to receive on, with credit.</summary>
    public (AmqpSender Sender, AmqpReceiver Receiver) Down(string name = "down", uint credit = 100)
    {
        var receiver = Client.Session.AttachReceiver(name, "from");
        Talk();
        receiver.Grant(credit);
        Talk();
        return (Server.Session.Links.OfType<AmqpSender>().Single(link => link.Name == name), receiver);
    }

    /// <summary>Brings over what was said until both are silent.</summary>
    public void Talk()
    {
        while (Bring(Client, Server, FromClient) | Bring(Server, Client, FromServer))
            continue;
    }

    private bool Bring(Driven from, Driven to, List<byte> log)
    {
        var said = from.Said();
        log.AddRange(said);
        for (var at = 0; at < said.Length; at += Math.Min(piece, said.Length - at))
            to.Hear(said[at..(int)Math.Min((long)at + piece, said.Length)], piece);
        return said.Length > 0;
    }
}
