using System.Net;
using Microsoft.AspNetCore.Connections;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Connections;

/// <summary>Notes TLS handshakes that were not finished, so that a client which trusts another root, or a scan, is seen. Counted per address and minute.</summary>
public static class TlsHandshakes
{
    /// <summary>Put it before <c>UseHttps</c>, and <see cref="UseFinishedHandshake"/> behind it.</summary>
    public static IConnectionBuilder UseHandshakeRecord(this IConnectionBuilder builder, IAuditTrail audit) => builder.Use(next => async connection =>
    {
        var handshake = new Handshake();
        connection.Features.Set(handshake);
        await next(connection).ConfigureAwait(false);

        // The target is the address, so that each address has a line of its own.
        if (!handshake.IsFinished && connection.RemoteEndPoint is IPEndPoint peer)
            audit.Note(new AuditEntry("anonymous", "", "tls handshake", $"{peer.Address}", "refused", $"{HubErrors.Unauthorized.Code} the handshake was not finished: the client refused the certificate, has no TLS version or cipher in common, or went away", "", $"tcp {peer}"));
    });

    public static IConnectionBuilder UseFinishedHandshake(this IConnectionBuilder builder) => builder.Use(next => connection =>
    {
        connection.Features.Get<Handshake>()?.Finish();
        return next(connection);
    });

    private sealed class Handshake
    {
        public bool IsFinished { get; private set; }

        public void Finish() => IsFinished = true;
    }
}
