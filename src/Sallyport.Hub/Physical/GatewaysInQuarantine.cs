using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Physical;

/// <summary>
/// Lets nobody in through a gateway whose word is not taken: it could say anything in its children's names. They may still come by themselves. Thread-safe.
/// </summary>
public sealed class GatewaysInQuarantine(IDeviceAuthentication inner, QuarantineLine line, IAuditTrail audit, Attempts attempts) : IDeviceAuthentication
{
    /// <inheritdoc/>
    public async ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        var admission = await inner.AuthenticateAsync(identity, hostName, credential, peer, cancel).ConfigureAwait(false);
        if (admission.Principal is not { } principal || principal.Gateways.FirstOrDefault(gateway => gateway != identity.DeviceId && line.Holds(gateway)) is not { } held)
            return admission;

        var refusal = Admission.Refuse(HubErrors.Unauthorized, $"its gateway {held} is in quarantine");
        audit.Note(Refusals.Entry(identity.ToString(), principal.CredentialFingerprint, refusal, peer));
        attempts.Note(Attempt.Of(identity, peer, refusal) with { Fingerprint = principal.CredentialFingerprint });
        return refusal;
    }

    /// <summary>Ends the sessions of others that a gateway has opened, once it is in quarantine.</summary>
    public static void EndSessions(ConnectedDevices connected, string gateway) => connected.CloseWhere(
        link => link.Identity.DeviceId != gateway && link.Principal.Gateways.Contains(gateway), HubErrors.Unauthorized, $"its gateway {gateway} is in quarantine");
}
