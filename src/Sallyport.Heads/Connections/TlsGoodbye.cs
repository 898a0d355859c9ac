using System.Buffers;
using System.Net.Security;

namespace Sallyport.Heads.Connections;

/// <summary>The end of a connection over TLS that is closed from our side.</summary>
internal static class TlsGoodbye
{
    /// <summary>What a peer may still send after the goodbye, in bytes; one that sends more is cut off.</summary>
    private const int MaxDroppedBytes = 1024 * 1024;

    /// <summary>
    /// Closes our direction and drops what still comes until the peer closes too: a socket that is closed with bytes unread is reset,
    /// and a reset may overtake the last answers. Never throws.
    /// </summary>
    /// <param name="bound">How long the peer may take to close its end.</param>
    /// <param name="closed">Cancelled when the connection is gone.</param>
    public static async Task SayAsync(SslStream tls, TimeSpan bound, TimeProvider time, CancellationToken closed)
    {
        using var timeout = new CancellationTokenSource(bound, time);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, closed);
        var dropped = ArrayPool<byte>.Shared.Rent(4096);
        try
        {
            await tls.ShutdownAsync().WaitAsync(end.Token).ConfigureAwait(false);
            for (var left = MaxDroppedBytes; left > 0;)
            {
                var count = await tls.ReadAsync(dropped, end.Token).ConfigureAwait(false);
                if (count == 0)
                    return;
                left -= count;
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or InvalidOperationException)
        {
            return; // The peer is gone, or has had its time.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(dropped);
        }
    }
}
