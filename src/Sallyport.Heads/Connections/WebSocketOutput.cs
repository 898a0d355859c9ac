using System.IO.Pipelines;
using System.Net.WebSockets;

namespace Sallyport.Heads.Connections;

/// <summary>
/// Writes to a WebSocket: a flush is one binary message of one frame, whatever its size, and memory that is written goes to the socket
/// as it is. Holds no buffer between flushes. Not thread-safe, as any <see cref="PipeWriter"/>.
/// </summary>
/// <remarks>
/// A <see cref="PipeWriter"/> over a stream would make a message of every 4 KB. What fails to be sent is dropped: the socket is cut.
/// </remarks>
internal sealed class WebSocketOutput(WebSocket socket) : PipeWriter
{
    private readonly OutputBuffer _unflushed = new();

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _unflushed.Length;

    public override Memory<byte> GetMemory(int sizeHint = 0) => _unflushed.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => _unflushed.GetSpan(sizeHint);

    public override void Advance(int bytes) => _unflushed.Advance(bytes);

    /// <param name="cancellationToken">Cuts the socket: a frame cannot be taken back.</param>
    /// <exception cref="WebSocketException">The socket is closed, cut or gone. What else the transport under it throws comes through.</exception>
    public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (_unflushed.Length == 0)
            return default;

        try
        {
            await SendAsync(_unflushed.WrittenMemory, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _unflushed.Clear();
        }

        return default;
    }

    /// <summary>Sends <paramref name="source"/> as one message, after one of what was not flushed yet.</summary>
    /// <inheritdoc cref="FlushAsync"/>
    public override async ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        await FlushAsync(cancellationToken).ConfigureAwait(false);
        if (!source.IsEmpty)
            await SendAsync(source, cancellationToken).ConfigureAwait(false);
        return default;
    }

    /// <exception cref="NotSupportedException">Always: a frame cannot be taken back; cut the connection.</exception>
    public override void CancelPendingFlush() => throw new NotSupportedException("a WebSocket frame cannot be taken back");

    /// <summary>Drops what was not flushed: a socket is not written to from here. The socket stays open.</summary>
    public override void Complete(Exception? exception = null) => _unflushed.Clear();

    /// <summary>Flushes, unless there was an <paramref name="exception"/>. The socket stays open.</summary>
    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        if (exception is null)
            await FlushAsync().ConfigureAwait(false);
        Complete(exception);
    }

    private ValueTask SendAsync(ReadOnlyMemory<byte> message, CancellationToken cancel) =>
        socket.SendAsync(message, WebSocketMessageType.Binary, endOfMessage: true, cancel);
}
