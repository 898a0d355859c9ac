using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
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

    /// <summary>
    /// Put it behind <see cref="UsePreAuthenticationLimits"/> on a port where connections may idle between requests: one whose peer is
    /// not authenticated at <see cref="ConnectionLimitsOptions.HandshakeDeadline"/> is cut off, so that strangers who send nothing, or
    /// nothing but health checks, do not keep their places.
    /// </summary>
    public static IConnectionBuilder UseAuthenticationDeadline(this IConnectionBuilder builder, PreAuthenticationLimits limits, TimeProvider time) =>
        builder.Use(next => async connection =>
        {
            var lease = connection.Features.GetRequiredFeature<PreAuthenticationLease>();
            var deadline = time.CreateTimer(
                _ =>
                {
                    if (lease.IsOverdue())
                        connection.Abort(new ConnectionAbortedException("nobody authenticated in time"));
                },
                null, limits.Options.HandshakeDeadline, Timeout.InfiniteTimeSpan);
            await using var _ = deadline.ConfigureAwait(false);
            await next(connection).ConfigureAwait(false);
        });
}
