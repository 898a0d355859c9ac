using System.Buffers;
using System.Net;
using System.Net.Security;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Mqtt;

/// <summary>Kestrel's end of MQTT over TLS (8883): behind <c>UseHttps</c>, one call per connection.</summary>
public sealed class MqttConnectionHandler(MqttHead head) : ConnectionHandler
{
    /// <summary>What a peer may still send after the goodbye, in bytes; one that sends more is cut off.</summary>
    private const int MaxDroppedBytes = 1024 * 1024;

    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        var stream = connection.Features.Get<ISslStreamFeature>()?.SslStream;
        await head.RunAsync(
            connection.Transport,
            new Peer(connection.RemoteEndPoint as IPEndPoint, "mqtt"),
            PresentedCertificate.Of(connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate, stream),
            connection.Features.Get<PreAuthenticationLease>(),
            connection.Abort,
            connection.ConnectionClosed).ConfigureAwait(false);

        if (stream is { } tls)
            await SayGoodbyeAsync(tls, connection.ConnectionClosed).ConfigureAwait(false);
    }

    /// <summary>
    /// Closes our direction and drops what still comes until the peer closes too: a socket that is closed with bytes unread is reset,
    /// and a reset may overtake the CONNACK or the last PUBACKs.
    /// </summary>
    private async Task SayGoodbyeAsync(SslStream tls, CancellationToken closed)
    {
        using var timeout = new CancellationTokenSource(head.Options.GoodbyeTimeout, head.Time);
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, closed);
        var dropped = ArrayPool<byte>.Shared.Rent(4096);
        try
        {
            await tls.ShutdownAsync().WaitAsync(bound.Token).ConfigureAwait(false);
            for (var left = MaxDroppedBytes; left > 0;)
            {
                var count = await tls.ReadAsync(dropped, bound.Token).ConfigureAwait(false);
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
