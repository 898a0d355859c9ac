using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Client;

/// <summary>A hub that says over AMQP what the test makes it say, over a real socket with TLS.</summary>
internal sealed class AmqpWireHub : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly TestCertificates _certificates = new("localhost");

    public AmqpWireHub() => _listener.Start();

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public string RootFile => _certificates.RootFile;

    /// <summary>The next connection of a client, after TLS.</summary>
    public async Task<AmqpWireConnection> AcceptAsync(AmqpOptions? options = null, uint credit = 100)
    {
        var client = await _listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsServerAsync(_certificates.Server);
        return new AmqpWireConnection(client, stream, options) { Credit = credit };
    }

    public void Dispose()
    {
        _listener.Dispose();
        _certificates.Dispose();
    }
}

/// <summary>
/// One connection, as the hub sees it: lets in what the test does not refuse, and answers requests to <c>$cbs</c> and <c>$management</c>.
/// Telemetry gets <see cref="Credit"/>; outcomes and events are the test's.
/// </summary>
internal sealed class AmqpWireConnection : IDisposable
{
    private readonly TcpClient _client;
    private readonly SslStream _stream;
    private readonly byte[] _buffer = new byte[64 * 1024];
    private int _told;

    public AmqpWireConnection(TcpClient client, SslStream stream, AmqpOptions? options)
    {
        (_client, _stream) = (client, stream);
        End = new Driven(isServer: true, options) { Then = OnStep };
        End.Connection.Mechanisms = ["MSSBCBS"];
    }

    public Driven End { get; }

    /// <summary>Credit of each link that the client sends telemetry on.</summary>
    public uint Credit { get; init; } = 100;

    /// <summary>How a put-token is answered.</summary>
    public int TokenStatus { get; set; } = 200;

    /// <summary>What a request to <c>$management</c> is answered: a status and an encoded value.</summary>
    public Func<RequestMessage, (int Status, byte[] Body)> Describe { get; set; } = _ => (404, [0x40]);

    /// <summary>The put-token requests so far.</summary>
    public List<RequestMessage> Tokens { get; } = [];

    /// <summary>The requests to <c>$management</c> so far.</summary>
    public List<RequestMessage> Questions { get; } = [];

    /// <summary>The link on which the client sends telemetry; null before.</summary>
    public AmqpReceiver? Telemetry => Links.OfType<AmqpReceiver>().FirstOrDefault(link => KindOf(link) == NodeKind.DeviceEvents && link.IsAttached);

    /// <summary>The links on which the client reads events.</summary>
    public IEnumerable<AmqpSender> Readers => Links.OfType<AmqpSender>().Where(link => KindOf(link) == NodeKind.Partition && link.IsAttached);

    private IEnumerable<AmqpLink> Links => End.Connection.Sessions.SelectMany(session => session.Links);

    /// <summary>Speaks with the client until something has happened.</summary>
    public async Task UntilAsync(Func<bool> done)
    {
        while (!done())
        {
            await SayAsync();
            if (!await HearAsync())
                throw new EndOfStreamException("the client ended the connection");
        }

        await SayAsync();
    }

    /// <summary>Speaks with the client until it is gone.</summary>
    public async Task UntilGoneAsync()
    {
        do
            await SayAsync();
        while (await HearAsync());
    }

    /// <summary>Lets a device in.</summary>
    public Task WelcomeAsync() => UntilAsync(() => Telemetry is not null);

    /// <summary>The next message on the telemetry link.</summary>
    public async Task<Arrived> ExpectMessageAsync()
    {
        var messages = End.Arrivals.Where(one => one.Link.Contains("-telemetry-", StringComparison.Ordinal));
        await UntilAsync(() => messages.Count() > _told);
        return messages.ElementAt(_told++);
    }

    /// <summary>Tells the outcome of deliveries one after the other.</summary>
    public async Task SettleAsync(Arrived first, Arrived last, DeliveryState state = DeliveryState.Accepted, AmqpError? error = null)
    {
        Telemetry!.Settle(first.Id, last.Id, last.Id - first.Id + 1, state, error);
        await SayAsync();
    }

    /// <summary>Sends what the endpoint has written.</summary>
    public async Task SayAsync()
    {
        var said = End.Said();
        if (said.Length > 0)
            await _stream.WriteAsync(said, TestContext.Current.CancellationToken);
    }

    /// <summary>Cuts the connection, as a network does.</summary>
    public void Dispose()
    {
        _stream.Dispose();
        _client.Dispose();
    }

    private static NodeKind KindOf(AmqpLink link) => NodeAddress.Parse(link is AmqpSender ? link.Attach.Source?.Address : link.Attach.Target?.Address).Kind;

    private async Task<bool> HearAsync()
    {
        var length = await _stream.ReadAsync(_buffer, TestContext.Current.CancellationToken);
        if (length > 0)
            End.Hear(_buffer[..length], int.MaxValue);
        Assert.Null(End.Broken);
        return length > 0;
    }

    private void OnStep(AmqpStep step)
    {
        var link = End.Connection.Link;
        if (step == AmqpStep.Attaching && link is AmqpReceiver { IsAttached: true } receiver)
            receiver.Grant(KindOf(link) == NodeKind.DeviceEvents ? Credit : 10);
        if (step == AmqpStep.Delivery && KindOf(link!) is NodeKind.Cbs or NodeKind.Management)
            Answer(link!, RequestMessage.TryRead(End.Arrivals[^1].Message)!);
    }

    private void Answer(AmqpLink link, RequestMessage request)
    {
        var isToken = KindOf(link) == NodeKind.Cbs;
        (isToken ? Tokens : Questions).Add(request);
        ((AmqpReceiver)link).TopUp();
        var (status, body) = isToken ? (TokenStatus, [0x40]) : Describe(request);
        var reply = Links.OfType<AmqpSender>().Single(other => other.Attach.Target?.Address == request.ReplyTo);
        Assert.Equal(AmqpSendResult.Sent, reply.TrySend(default, ResponseMessage.Encode(request, status, "said the test", body), [1], 0, settled: true, null));
    }
}
