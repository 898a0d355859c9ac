using System.Net;
using Microsoft.AspNetCore.Connections;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Connections;

/// <summary>Takes a place among the unauthenticated connections as soon as a socket is accepted, before TLS.</summary>
public static class PreAuthenticationConnections
{
    /// <summary>
    /// Put it before <c>UseHttps</c>. The <see cref="PreAuthenticationLease"/> is a feature of the connection: whoever authenticates
    /// the peer disposes it. Without a place the socket is closed; it is counted in <c>sallyport.limits.refused</c>.
    /// </summary>
    public static IConnectionBuilder UsePreAuthenticationLimits(this IConnectionBuilder builder, PreAuthenticationLimits limits) =>
        builder.Use(next => async connection =>
        {
            using var lease = limits.TryEnter((connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.None);
            if (lease is null)
            {
                connection.Abort(new ConnectionAbortedException("there are too many connections that have not authenticated"));
                return;
            }

            connection.Features.Set(lease);
            await next(connection).ConfigureAwait(false);
        });
}
