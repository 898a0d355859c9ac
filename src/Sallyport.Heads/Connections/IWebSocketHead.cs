using System.IO.Pipelines;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;

namespace Sallyport.Heads.Connections;

/// <summary>
/// A head whose protocol is carried by WebSockets too. The services hold one of each; <see cref="WebSocketEndpoints"/> gives every
/// connection to the one it asks for, so that heads share a path without seeing each other. Must be thread-safe.
/// </summary>
public interface IWebSocketHead
{
    /// <summary>As it is registered, such as <c>mqtt</c>; compared in any case. No two heads of a path have the same.</summary>
    string SubProtocol { get; }

    /// <summary>Where it is served.</summary>
    IReadOnlyList<string> Paths { get; }

    /// <summary>Through which listeners it is there, when devices and services have their own.</summary>
    Zone ServedTo { get; }

    /// <summary>What <see cref="Peer.Protocol"/> says of its peers, such as <c>mqtt-ws</c>.</summary>
    string PeerProtocol { get; }

    /// <summary>Serves one connection; completes when it has ended, never with an exception. The socket is closed after it.</summary>
    /// <param name="transport">
    /// The bytes. Its reads throw <see cref="NonBinaryMessageException"/> after a message that is not binary, and whatever the transport
    /// calls it when the peer is gone. Every flush and every write of memory is one WebSocket message.
    /// </param>
    /// <param name="certificate">What the client showed in its TLS handshake; null when nothing.</param>
    /// <param name="lease">The place among the unauthenticated that the listener took, and gives back when the socket is closed; null where the listener takes none.</param>
    /// <param name="zone">Whom the listener serves through which it came; within <see cref="ServedTo"/> at least in part.</param>
    /// <param name="abort">Cuts the connection at once; may be called from any thread and more than once.</param>
    /// <param name="closed">Cancelled when the connection is gone.</param>
    Task RunAsync(
        IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease? lease, Zone zone, Action abort, CancellationToken closed);
}
