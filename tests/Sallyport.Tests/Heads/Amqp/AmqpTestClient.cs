using System.IO.Pipelines;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Access;
using Sallyport.Tests.Heads.Mqtt;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>A client of the head in memory. What it does not read stays in a pipe of 64 KiB, as in the buffers of a socket.</summary>
internal sealed class AmqpTestClient : AmqpWire, IDuplexPipe, IDisposable
{
    private readonly Pipe _toHub;
    private readonly Pipe _toClient;
    private readonly CancellationTokenSource _closed = new();

    public AmqpTestClient(AmqpHead head, Peer peer, Surroundings surroundings)
        : this(head, peer, surroundings, new Pipe(), new Pipe())
    {
    }

    private AmqpTestClient(AmqpHead head, Peer peer, Surroundings surroundings, Pipe toHub, Pipe toClient)
        : base(toClient.Reader, toHub.Writer)
    {
        (_toHub, _toClient) = (toHub, toClient);
        Served = head.RunAsync(this, peer, surroundings, lease: null, Abort, _closed.Token);
    }

    PipeReader IDuplexPipe.Input => _toHub.Reader;

    PipeWriter IDuplexPipe.Output => _toClient.Writer;

    /// <summary>Completes when the hub is through with the connection.</summary>
    public Task Served { get; }

    /// <summary>Ends the client's bytes, as the peer of a socket does; it still hears.</summary>
    public void EndSending() => _toHub.Writer.Complete();

    /// <summary>Cuts the connection, from either end.</summary>
    public void Abort()
    {
        _toHub.Writer.Complete(new IOException("connection reset"));
        _toHub.Reader.CancelPendingRead();
        _toClient.Writer.CancelPendingFlush();
        _closed.Cancel();
    }

    /// <summary>The hub has ended the connection and forgotten it.</summary>
    public async Task ExpectGoneAsync()
    {
        await DrainAsync();
        await Served.WaitAsync(MqttTestClient.Patience);
    }

    public void Dispose() => _closed.Dispose();
}
