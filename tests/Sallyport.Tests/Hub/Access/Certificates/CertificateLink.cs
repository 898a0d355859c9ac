using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Access.Certificates;

/// <summary>A link that says how it was ended.</summary>
internal sealed class CertificateLink(Identity identity, Principal principal) : IDeviceLink
{
    public Identity Identity { get; } = identity;

    public Peer Peer => new(null, "mqtt");

    public Principal Principal { get; } = principal;

    public HubError? ClosedWith { get; private set; }

    public void Close(HubError error, string reason) => ClosedWith ??= error;
}
