using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Physical;

/// <summary>
/// Where a proof that a device's key lives in hardware (a TPM, a secure element) is asked for: when an identity gets its credential, and when it
/// connects. <c>docs/decisions/key-attestation.md</c> says how one joins. Thread-safe.
/// </summary>
public interface IKeyAttestation
{
    /// <summary>Asked within the transaction that creates an identity or changes it: decides from what it is given, and waits for nothing.</summary>
    /// <returns>Why it may not be registered so, in words without a secret; null when it may.</returns>
    string? ObjectsTo(IdentityRecord proposed);

    /// <summary>Asked for an identity whose credential is good, before it is let in.</summary>
    /// <returns>Why it is not let in, in words without a secret; null when it is.</returns>
    ValueTask<string?> ObjectsToAsync(Identity identity, Principal principal, DeviceCredential credential, CancellationToken cancel);
}

/// <summary>Asks for no proof: a good credential is enough.</summary>
public sealed class NoKeyAttestation : IKeyAttestation
{
    public string? ObjectsTo(IdentityRecord proposed) => null;

    public ValueTask<string?> ObjectsToAsync(Identity identity, Principal principal, DeviceCredential credential, CancellationToken cancel) => new((string?)null);
}

/// <summary>Lets in whom authentication lets in and attestation does not object to. Thread-safe.</summary>
public sealed class AttestedDevices(IDeviceAuthentication inner, IKeyAttestation attestation, IAuditTrail audit, Attempts attempts) : IDeviceAuthentication
{
    /// <inheritdoc/>
    public async ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        var admission = await inner.AuthenticateAsync(identity, hostName, credential, peer, cancel).ConfigureAwait(false);
        if (admission.Principal is not { } principal || await attestation.ObjectsToAsync(identity, principal, credential, cancel).ConfigureAwait(false) is not { } objection)
            return admission;

        var refusal = Admission.Refuse(HubErrors.Unauthorized, objection);
        audit.Note(Refusals.Entry(identity.ToString(), principal.CredentialFingerprint, refusal, peer));
        attempts.Note(Attempt.Of(identity, peer, refusal) with { Fingerprint = principal.CredentialFingerprint });
        return refusal;
    }
}
