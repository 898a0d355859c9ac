using System.Net;
using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Sallyport.Hub.Posture;

namespace Sallyport.Heads.Connections;

/// <summary>Notes who does not speak the newest TLS.</summary>
public static class TlsSightings
{
    /// <summary>Put it behind <c>UseHttps</c>.</summary>
    public static IConnectionBuilder NoteTls(this IConnectionBuilder builder, Sightings sightings) => builder.Use(next => connection =>
    {
        if (connection.Features.Get<ITlsHandshakeFeature>()?.Protocol is SslProtocols.Tls12)
            sightings.OldTlsFrom((connection.RemoteEndPoint as IPEndPoint)?.Address);
        return next(connection);
    });
}
