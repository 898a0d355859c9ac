using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Devices;

/// <summary>
/// One identity's live session in a head, not its socket: a pooled or gateway connection carries many.
/// What it takes besides (commands, methods, desired properties) is a file each; whoever does not carry one leaves it as it is here. Thread-safe.
/// </summary>
public partial interface IDeviceLink
{
    Identity Identity { get; }

    /// <summary><c>mqtt</c>, <c>mqtt-ws</c>, …, and the peer's address, for logs and diagnosis.</summary>
    Access.Peer Peer { get; }

    /// <summary>As whom, and by which credential, it was let in.</summary>
    Access.Principal Principal { get; }

    /// <summary>Ends this session only, with the protocol's way of saying so. Returns at once; may be called more than once.</summary>
    void Close(HubError error, string reason);
}
