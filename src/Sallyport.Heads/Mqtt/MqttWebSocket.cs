using System.IO.Pipelines;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Mqtt;

/// <summary>MQTT over WebSocket: for devices alone. Thread-safe.</summary>
public sealed class MqttWebSocket(MqttHead head) : IWebSocketHead
{
    public string SubProtocol => "mqtt";

    public IReadOnlyList<string> Paths { get; } = [WebSocketEndpoints.IotHubPath];

    public Zone ServedTo => Zone.Devices;

    public string PeerProtocol => "mqtt-ws";

    public Task RunAsync(
        IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease? lease, Zone zone, Action abort, CancellationToken closed) =>
        head.RunAsync(transport, peer, certificate, lease, abort, closed);
}
