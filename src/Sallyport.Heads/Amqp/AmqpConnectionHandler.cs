using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Amqp;

/// <summary>Kestrel's end of AMQP: over TLS (5671) behind <c>UseHttps</c>, or plain for emulator clients; one call per connection.</summary>
public sealed class AmqpConnectionHandler(AmqpHead head) : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        var stream = connection.Features.Get<ISslStreamFeature>()?.SslStream;
        var certificate = stream is null ? null : PresentedCertificate.Of(connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate, stream);
        await head.RunAsync(
            connection.Transport,
            new Peer(connection.RemoteEndPoint as IPEndPoint, stream is null ? "amqp-plain" : "amqp"),
            new Surroundings(certificate, connection.Features.Get<ListenerZone>()?.Zone ?? Zone.All, IsEncrypted: stream is not null),
            connection.Features.Get<PreAuthenticationLease>(),
            connection.Abort,
            connection.ConnectionClosed).ConfigureAwait(false);

        if (stream is { } tls)
            await TlsGoodbye.SayAsync(tls, head.Options.GoodbyeTimeout, head.Hub.Time, connection.ConnectionClosed).ConfigureAwait(false);
    }
}
