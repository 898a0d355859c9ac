using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.DependencyInjection;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Connections;

/// <summary>
/// The WebSockets of all heads on 443: a path and a sub-protocol choose the head. The query string says nothing to us, and an Origin is
/// not refused: a browser has no credential that it would send by itself.
/// </summary>
public static class WebSocketEndpoints
{
    /// <summary>Where IoT Hub serves every protocol of its own.</summary>
    public const string IotHubPath = "/$iothub/websocket";

    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Maps every path of every <see cref="IWebSocketHead"/> among the services. Needs <c>UseWebSockets</c> before it and a
    /// <see cref="TimeProvider"/> among the services.
    /// </summary>
    public static void MapWebSocketHeads(this IEndpointRouteBuilder routes)
    {
        var time = routes.ServiceProvider.GetRequiredService<TimeProvider>();
        var served = routes.ServiceProvider.GetServices<IWebSocketHead>().SelectMany(head => head.Paths, (head, path) => (head, path));
        foreach (var path in served.GroupBy(pair => pair.path, pair => pair.head, StringComparer.OrdinalIgnoreCase))
        {
            IWebSocketHead[] heads = [.. path];
            // Who it is, the protocol inside says.
            routes.MapGet(path.Key, context => ServeAsync(context, heads, time))
                .Requires(Rights.None, servedTo: heads.Aggregate(default(Zone), (zone, head) => zone | head.ServedTo));
        }
    }

    private static async Task ServeAsync(HttpContext context, IWebSocketHead[] all, TimeProvider time)
    {
        var zone = context.Features.Get<ListenerZone>()?.Zone ?? Zone.All;
        var heads = all.Where(head => (head.ServedTo & zone) != 0).ToList();
        if (Asked(context.WebSockets, heads) is not var (head, subProtocol))
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            await context.Response.WriteAsync(
                $"This is a WebSocket endpoint for the sub-protocol{(heads.Count == 1 ? "" : "s")} {string.Join(" and ", heads.Select(h => h.SubProtocol))}.",
                context.RequestAborted).ConfigureAwait(false);
            return;
        }

        var accept = new WebSocketAcceptContext { SubProtocol = subProtocol, KeepAliveInterval = Timeout.InfiniteTimeSpan };
        using var socket = await context.WebSockets.AcceptWebSocketAsync(accept).ConfigureAwait(false);
        var peer = new Peer(context.Connection.RemoteIpAddress is { } address ? new IPEndPoint(address, context.Connection.RemotePort) : null, head.PeerProtocol);
        var transport = new WebSocketTransport(socket);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        var pump = transport.PumpAsync(stop.Token);

        var certificate = PresentedCertificate.Of(context.Connection.ClientCertificate, context.Features.Get<ISslStreamFeature>()?.SslStream);
        await head.RunAsync(
            transport, peer, certificate, context.Features.Get<PreAuthenticationLease>(), zone, context.Abort, context.RequestAborted).ConfigureAwait(false);

        using var bound = new CancellationTokenSource(CloseTimeout, time);
        await transport.CloseAsync(pump, bound.Token).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await pump.ConfigureAwait(false);
    }

    /// <summary>
    /// The first sub-protocol of the client's list that is served here: compared in any case (the C SDK writes MQTT), to be answered as
    /// sent. [MQTT-6.0.0-3] [MQTT-6.0.0-4]
    /// </summary>
    private static (IWebSocketHead Head, string SubProtocol)? Asked(WebSocketManager sockets, List<IWebSocketHead> heads)
    {
        if (!sockets.IsWebSocketRequest)
            return null;

        foreach (var asked in sockets.WebSocketRequestedProtocols)
        {
            if (heads.Find(head => head.SubProtocol.Equals(asked, StringComparison.OrdinalIgnoreCase)) is { } head)
                return (head, asked);
        }

        return null;
    }
}
