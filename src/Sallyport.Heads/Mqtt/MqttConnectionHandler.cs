using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Mqtt;

/// <summary>Kestrel's end of MQTT over TLS (8883): behind <c>UseHttps</c>, one call per connection.</summary>
public sealed class MqttConnectionHandler(MqttHead head) : ConnectionHandler
{
    public override Task OnConnectedAsync(ConnectionContext connection) =>
        head.RunAsync(
            connection.Transport,
            new Peer(connection.RemoteEndPoint as IPEndPoint, "mqtt"),
            connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate,
            connection.Features.Get<PreAuthenticationLease>(),
            connection.Abort,
            connection.ConnectionClosed);
}
