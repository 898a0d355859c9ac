using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>
/// Authenticates back ends and operators by the token of a policy or an operator that holds the rights they need, or by an operator's certificate.
/// Thread-safe. Every refusal is in the audit trail.
/// </summary>
public sealed class ServiceAuthenticator(
    TokenCheck tokens, Policies policies, CertificateAuthorities authorities, IAuditTrail audit, Attempts attempts, TimeProvider time) : IServiceAuthentication
{
    /// <inheritdoc/>
    public ValueTask<Admission> AuthenticateAsync(
        string? authorization, string hostName, string resource, Rights needed, Peer peer, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        SharedAccessSignature? token = null;
        var admission = string.IsNullOrEmpty(authorization)
            ? Admission.Refuse(HubErrors.Unauthorized, "there is no Authorization header")
            : Authenticate(authorization, hostName, resource, needed, out token);

        AccessMeter.Count(admission, "service");
        if (!admission.IsAdmitted)
        {
            var fingerprint = token?.Fingerprint.ToString() ?? "";
            var subject = token?.PolicyName is { } policyName ? KnownSubjects.OfPolicy(policyName) : "";
            audit.Note(Refusals.Entry(subject, fingerprint, admission, peer));
            attempts.Note(Attempt.Of(subject, peer, admission) with { Fingerprint = fingerprint, AcceptedUntil = token?.AcceptedUntil });
        }

        return new ValueTask<Admission>(admission);
    }

    /// <inheritdoc/>
    public ValueTask<Admission> AuthenticateAsync(PresentedCertificate certificate, string hostName, Rights needed, Peer peer, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var admission = Authenticate(certificate.Leaf, hostName, needed, out var name);

        AccessMeter.Count(admission, "service");
        if (!admission.IsAdmitted)
        {
            var (subject, fingerprint) = (name is null ? "" : KnownSubjects.OfPolicy(name), CertificateUse.FingerprintOf(certificate.Leaf));
            audit.Note(Refusals.Entry(subject, fingerprint, admission, peer));
            attempts.Note(Attempt.Of(subject, peer, admission) with
            {
                Fingerprint = fingerprint, AcceptedUntil = LeafRules.NotAfter(certificate.Leaf), Certificates = certificate.Describe(),
            });
        }

        return new ValueTask<Admission>(admission);
    }

    /// <param name="name">Of the operator whose it is; null when it is nobody's.</param>
    private Admission Authenticate(X509Certificate2 certificate, string hostName, Rights needed, out string? name)
    {
        name = null;
        if (tokens.CheckHostName(hostName) is { } elsewhere)
            return elsewhere;
        if (policies.FindOperatorBy(certificate) is not { } found)
            return Admission.Refuse(HubErrors.Unauthorized, "there is no token, and the certificate shown is no operator's");

        name = found.Name;
        var now = time.GetUtcNow();
        if (FaultOf(certificate, now) is { } fault)
            return Admission.Refuse(HubErrors.Unauthorized, fault);
        if (policies.RefuseEnded(found) is { } ended)
            return ended;
        if ((needed & ~found.Rights) is not Rights.None and var missing)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"{found.Name} does not hold {RightsText.Format(missing)}");

        policies.Used(found, needed);
        return new Admission(found.PrincipalOf(certificate, LeafRules.NotAfter(certificate)), null, "");
    }

    private string? FaultOf(X509Certificate2 certificate, DateTimeOffset now)
    {
        try
        {
            return LeafRules.Fault(certificate, now) ?? OperatorCertificate.DeviceFault(certificate, authorities.Current, now);
        }
        catch (CryptographicException)
        {
            return "the certificate is malformed";
        }
    }

    private Admission Authenticate(
        string authorization, string hostName, string resource, Rights needed, out SharedAccessSignature? token)
    {
        if (tokens.Read(authorization, hostName, out token) is { } unreadable)
            return unreadable;
        if (!token!.Value.NamesPolicy)
            return Admission.Refuse(HubErrors.Unauthorized, "the token names no policy (skn)");

        var policy = policies.FindCredentials(token.Value);
        if (tokens.Verify(token.Value, policy?.Keys, "there is no such policy", resource) is { } refusal)
            return refusal;
        if (policies.RefuseEnded(policy!) is { } ended)
            return ended;
        if (token.Value.IsForEventHubs && (needed & ~Rights.TelemetryRead) is not Rights.None)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, PolicyCredentials.OnlyReads);
        if ((needed & ~policy!.Rights) is not Rights.None and var missing)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the policy {policy.Name} does not hold {RightsText.Format(missing)}");

        policies.Used(policy, needed);
        return new Admission(policy.PrincipalOf(token.Value, policy.RightsBy(token.Value)), null, "");
    }
}
