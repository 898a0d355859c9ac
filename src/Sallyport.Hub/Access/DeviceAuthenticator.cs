using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// Authenticates devices and modules against the registry: by a token of their own key, or of a policy with
/// <see cref="Rights.DeviceConnect"/>, or by a certificate. Thread-safe. Every refusal is in the audit trail with its exact reason; on the wire one who
/// has not proved a key learns nothing else (an unknown device looks like a wrong signature).
/// </summary>
/// <remarks>
/// An identity that is changed while it connects: a head that has attached its link asks once more, and closes when refused.
/// The change is on disk before links are closed, so either this second answer or that close catches the link.
/// </remarks>
public sealed partial class DeviceAuthenticator(TokenCheck tokens, IdentityCache identities, Policies policies, CertificateAuthorities authorities, IAuditTrail audit, Attempts attempts, TimeProvider time) : IDeviceAuthentication
{
    /// <inheritdoc/>
    public ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        SharedAccessSignature? token = null;
        var admission = string.IsNullOrEmpty(credential.Token)
            ? AuthenticateByCertificate(identity, hostName, credential.Certificate)
            : Authenticate(identity, hostName, credential.Token, credential.AuthChain, out token);

        AccessMeter.Count(admission, "device");
        if (!admission.IsAdmitted)
        {
            var shown = string.IsNullOrEmpty(credential.Token) ? credential.Certificate : null;
            var fingerprint = token?.Fingerprint.ToString() ?? (shown is null ? "" : CertificateUse.FingerprintOf(shown.Leaf));
            audit.Note(Refusals.Entry(identity.ToString(), fingerprint, admission, peer));
            attempts.Note(Attempt.Of(identity, peer, admission) with
            {
                Fingerprint = fingerprint, AcceptedUntil = token?.AcceptedUntil, Certificates = credential.Certificate?.Describe() ?? "",
            });
        }

        return new ValueTask<Admission>(admission);
    }

    private Admission Authenticate(Identity identity, string hostName, string text, string? authChain, out SharedAccessSignature? token)
    {
        if (tokens.Read(text, hostName, out token) is { } unreadable)
            return unreadable;

        if (token!.Value.NamesPolicy)
            return AuthenticateByPolicy(identity, token.Value);

        return GatewayOf(identity, token.Value) is { } gateway
            ? AuthenticateThrough(gateway, identity, token.Value, authChain)
            : AuthenticateByOwnKey(identity, token.Value);
    }

    private Admission AuthenticateByOwnKey(Identity identity, in SharedAccessSignature token)
    {
        var credentials = identities.Find(identity);
        var keys = credentials is { Authentication: IdentityAuthentication.Sas } ? credentials.Keys : null;
        var unknown = credentials is null ? NotRegistered(identity) : $"a token was shown, but the identity is registered for {Named(credentials.Authentication)}";
        if (tokens.Verify(token, keys, unknown, DevicePath.Of(identity)) is { } refusal)
            return refusal;
        if (tokens.VerifyReset(token, identity, credentials!.GenerationId) is { } reset)
            return reset;
        if (!credentials.Enabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, "the device is disabled");

        var (kind, method) = identity.IsModule ? (PrincipalKind.Module, AuthMethod.ModuleSas) : (PrincipalKind.Device, AuthMethod.DeviceSas);
        return Admit(new Principal(kind, identity.ToString(), Rights.DeviceConnect, token.AcceptedUntil, method, token.Fingerprint.ToString()), credentials);
    }

    private Admission AuthenticateByPolicy(Identity identity, in SharedAccessSignature token)
    {
        var policy = policies.FindCredentials(token);
        if (tokens.Verify(token, policy?.Keys, "there is no such policy", DevicePath.Of(identity)) is { } refusal)
            return refusal;
        if (policies.RefuseEnded(policy!) is { } ended)
            return ended;
        if (token.IsForEventHubs)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, PolicyCredentials.OnlyReads);
        if ((policy!.Rights & Rights.DeviceConnect) == 0)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the policy {policy.Name} does not hold DeviceConnect");
        if (!policy.Scope.CoversDevice(identity.DeviceId))
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the policy {policy.Name} is limited to other devices");

        // The bearer has proved a policy's key, and may know which devices there are.
        if (identities.Find(identity) is not { } credentials)
            return Admission.Refuse(identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound, NotRegistered(identity));
        if (credentials.Authentication is not IdentityAuthentication.Sas)
            return Admission.Refuse(HubErrors.Unauthorized, $"a token was shown, but the identity is registered for {Named(credentials.Authentication)}");
        if (!credentials.Enabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, "the device is disabled");

        policies.Used(policy, Rights.DeviceConnect);
        return Admit(policy.PrincipalOf(token, Rights.DeviceConnect), credentials);
    }

    private Admission AuthenticateByCertificate(Identity identity, string hostName, PresentedCertificate? shown)
    {
        if (shown is null)
            return Admission.Refuse(HubErrors.Unauthorized, "neither a token nor a certificate was shown");
        if (tokens.CheckHostName(hostName) is { } elsewhere)
            return elsewhere;

        var credentials = identities.Find(identity);
        var verdict = CertificateCheck.Decide(identity, credentials, shown, authorities.Current, time.GetUtcNow());
        if (credentials is null)
            return Admission.Refuse(HubErrors.Unauthorized, NotRegistered(identity));
        if (credentials.Authentication is not (IdentityAuthentication.SelfSigned or IdentityAuthentication.CertificateAuthority))
            return Admission.Refuse(HubErrors.Unauthorized, $"a certificate and no token was shown, but the identity is registered for {Named(credentials.Authentication)}");
        if (policies.FindOperatorBy(shown.Leaf) is { } person)
            return Admission.Refuse(HubErrors.Unauthorized, $"the certificate is that of {person.Name}, and an operator's is no device's");
        if (verdict.Fault is not null)
            return Admission.Refuse(HubErrors.Unauthorized, verdict.Fault);
        if (!credentials.Enabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, "the device is disabled");

        var (kind, method) = identity.IsModule ? (PrincipalKind.Module, AuthMethod.ModuleCertificate) : (PrincipalKind.Device, AuthMethod.DeviceCertificate);
        return Admit(new Principal(kind, identity.ToString(), Rights.DeviceConnect, verdict.NotAfter, method, CertificateUse.FingerprintOf(shown.Leaf)) { Certificate = verdict.Use }, credentials);
    }

    private static Admission Admit(Principal principal, IdentityCredentials credentials) =>
        new(principal, null, "") { GenerationId = credentials.GenerationId };

    private static string NotRegistered(Identity identity) =>
        identity.IsModule ? "there is no such module, or no such device" : "there is no such device";

    private static string Named(IdentityAuthentication authentication) => authentication switch
    {
        IdentityAuthentication.Sas => "keys",
        IdentityAuthentication.SelfSigned => "self-signed certificates",
        IdentityAuthentication.CertificateAuthority => "certificates of a certificate authority",
        _ => "no authentication of its own",
    };
}
