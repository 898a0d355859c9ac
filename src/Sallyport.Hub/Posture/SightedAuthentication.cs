using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Posture;

/// <summary>Notes what devices were let in with. Thread-safe.</summary>
public sealed class SightedDevices(IDeviceAuthentication inner, Sightings sightings) : IDeviceAuthentication
{
    /// <inheritdoc/>
    public async ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        var admission = await inner.AuthenticateAsync(identity, hostName, credential, peer, cancel).ConfigureAwait(false);
        if (admission.Principal is { } principal)
            sightings.Admitted(principal, identity.ToString());
        return admission;
    }
}

/// <summary>Notes what services were let in with. Thread-safe.</summary>
public sealed class SightedServices(IServiceAuthentication inner, Sightings sightings) : IServiceAuthentication
{
    /// <inheritdoc/>
    public async ValueTask<Admission> AuthenticateAsync(
        string? authorization, string hostName, string resource, Rights needed, Peer peer, CancellationToken cancel)
    {
        var admission = await inner.AuthenticateAsync(authorization, hostName, resource, needed, peer, cancel).ConfigureAwait(false);
        if (admission.Principal is { } principal)
            sightings.Admitted(principal, device: null);
        return admission;
    }

    /// <inheritdoc/>
    public ValueTask<Admission> AuthenticateAsync(PresentedCertificate certificate, string hostName, Rights needed, Peer peer, CancellationToken cancel) =>
        inner.AuthenticateAsync(certificate, hostName, needed, peer, cancel);
}
