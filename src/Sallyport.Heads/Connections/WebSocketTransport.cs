using System.IO.Pipelines;
using System.Net.WebSockets;

namespace Sallyport.Heads.Connections;

/// <summary>
/// A WebSocket as a stream of bytes: where messages begin and end means nothing. [MQTT-6.0.0-2]
/// What arrives goes through a pipe, because cancelling a read of a WebSocket would cut it with its last acknowledgements unsent.
/// </summary>
internal sealed class WebSocketTransport(WebSocket socket) : IDuplexPipe
{
    private readonly Pipe _arrived = new();

    /// <summary>What arrived. Its reads throw <see cref="NonBinaryMessageException"/> after a message that is not binary.</summary>
    public PipeReader Input => _arrived.Reader;

    /// <summary>Every flush and every write of memory is one message.</summary>
    public PipeWriter Output { get; } = new WebSocketOutput(socket);

    /// <summary>Moves what arrives into <see cref="Input"/> until the peer or the caller ends it. Never throws.</summary>
    public async Task PumpAsync(CancellationToken stop)
    {
        Exception? failure = null;
        try
        {
            while (true)
            {
                // An idle connection waits without a buffer.
                var received = await socket.ReceiveAsync(Memory<byte>.Empty, stop).ConfigureAwait(false);
                if (IsBinary(received))
                    received = await socket.ReceiveAsync(_arrived.Writer.GetMemory(), stop).ConfigureAwait(false);
                if (!IsBinary(received))
                    break;

                // Once the connection has ended, this drops what still comes until the peer closes too.
                _arrived.Writer.Advance(received.Count);
                await _arrived.Writer.FlushAsync(stop).ConfigureAwait(false);
            }
        }
        catch (Exception e)
        {
            failure = e; // The reader sees it and decides.
        }

        await _arrived.Writer.CompleteAsync(failure).ConfigureAwait(false);
    }

    /// <summary>
    /// Says goodbye, and waits for the peer's: cutting the socket before would take back what is still on its way to the peer.
    /// </summary>
    /// <param name="pump">What <see cref="PumpAsync"/> returned.</param>
    public async Task CloseAsync(Task pump, CancellationToken bound)
    {
        try
        {
            if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, bound).ConfigureAwait(false);
            await pump.WaitAsync(bound).ConfigureAwait(false);
            var dropped = new byte[1024];
            while (socket.State == WebSocketState.CloseSent)
                await socket.ReceiveAsync(dropped.AsMemory(), bound).ConfigureAwait(false);
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            socket.Abort(); // The peer is gone, or does not answer.
        }
    }

    private static bool IsBinary(ValueWebSocketReceiveResult received) => received.MessageType switch
    {
        WebSocketMessageType.Binary => true,
        WebSocketMessageType.Close => false,
        _ => throw new NonBinaryMessageException(),
    };
}
