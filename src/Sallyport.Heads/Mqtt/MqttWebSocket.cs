using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.DependencyInjection;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Mqtt;

/// <summary>
/// MQTT over WebSocket on 443, path <c>/$iothub/websocket</c>. The query string says nothing to us, and an Origin is not refused:
/// a browser has no credential that it would send by itself.
/// </summary>
public static class MqttWebSocket
{
    public const string Path = "/$iothub/websocket";

    private const string SubProtocol = "mqtt";
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Maps the endpoint. Needs <c>UseWebSockets</c> before it and a <see cref="MqttHead"/> among the services.</summary>
    public static IEndpointConventionBuilder MapMqttWebSocket(this IEndpointRouteBuilder routes)
    {
        var head = routes.ServiceProvider.GetRequiredService<MqttHead>();
        // Who it is, the CONNECT packet says.
        return routes.MapGet(Path, context => ServeAsync(context, head)).Requires(Rights.None, servedTo: Zone.Devices);
    }

    private static async Task ServeAsync(HttpContext context, MqttHead head)
    {
        // Compared in any case (the C SDK writes MQTT) and answered as sent. [MQTT-6.0.0-3] [MQTT-6.0.0-4]
        var asked = context.WebSockets.WebSocketRequestedProtocols.FirstOrDefault(p => p.Equals(SubProtocol, StringComparison.OrdinalIgnoreCase));
        if (asked is null)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync("This is a WebSocket endpoint for the sub-protocol mqtt.", context.RequestAborted).ConfigureAwait(false);
            return;
        }

        var accept = new WebSocketAcceptContext { SubProtocol = asked, KeepAliveInterval = Timeout.InfiniteTimeSpan };
        using var socket = await context.WebSockets.AcceptWebSocketAsync(accept).ConfigureAwait(false);
        var peer = new Peer(context.Connection.RemoteIpAddress is { } address ? new IPEndPoint(address, context.Connection.RemotePort) : null, "mqtt-ws");
        var transport = new MqttWebSocketTransport(socket);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        var pump = transport.PumpAsync(stop.Token);

        var certificate = PresentedCertificate.Of(context.Connection.ClientCertificate, context.Features.Get<ISslStreamFeature>()?.SslStream);
        await head.RunAsync(
            transport, peer, certificate, context.Features.Get<PreAuthenticationLease>(), context.Abort, context.RequestAborted).ConfigureAwait(false);

        using var bound = new CancellationTokenSource(CloseTimeout, head.Time);
        await transport.CloseAsync(pump, bound.Token).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await pump.ConfigureAwait(false);
    }
}
