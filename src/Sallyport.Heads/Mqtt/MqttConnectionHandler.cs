using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Mqtt;

/// <summary>Kestrel's end of MQTT over TLS (8883): behind <c>UseHttps</c>, one call per connection.</summary>
public sealed class MqttConnectionHandler(MqttHead head) : ConnectionHandler
{
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
            await TlsGoodbye.SayAsync(tls, head.Options.GoodbyeTimeout, head.Time, connection.ConnectionClosed).ConfigureAwait(false);
    }
}
