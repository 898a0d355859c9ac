using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Devices;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// Ends the connections of a device and its modules when its tags change and what let them in, a certificate authority or a policy, is limited to
/// other tags. Thread-safe.
/// </summary>
/// <remarks>A device that connects meanwhile is asked for once more by its head after it has attached its link: either that or this catches it.</remarks>
public sealed class TagLimitedLinks
{
    private readonly ConnectedDevices _connected;
    private readonly CertificateAuthorities _authorities;
    private readonly IMetadata _metadata;

    public TagLimitedLinks(KnownTags tags, ConnectedDevices connected, CertificateAuthorities authorities, IMetadata metadata)
    {
        _connected = connected;
        _authorities = authorities;
        _metadata = metadata;
        tags.Changed += LookAt;
    }

    private void LookAt(string deviceId)
    {
        LookAt(Identity.Of(deviceId));
        foreach (var module in _metadata.Read(tx => _metadata.Identities.ListModules(tx, deviceId)))
            LookAt(Identity.Of(deviceId, module.ModuleId));
    }

    private void LookAt(Identity identity)
    {
        if (_connected.Find(identity) is { } link && !Covers(link.Principal, identity.DeviceId))
            _connected.Close(identity, HubErrors.Unauthorized, "the tags of the device were changed, and what let it in is limited to others");
    }

    private bool Covers(Principal principal, string deviceId) =>
        principal.Scope.CoversDevice(deviceId)
        && (principal.Certificate?.Authority is not { } name || _authorities.Current.Find(name)?.Devices.CoversDevice(deviceId) is true);
}
