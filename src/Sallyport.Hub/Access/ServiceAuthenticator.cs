using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>Authenticates back ends and operators by the token of a policy that holds the rights they need. Thread-safe. Every refusal is in the audit trail.</summary>
public sealed class ServiceAuthenticator(HubNames names, Policies policies, IAuditTrail audit, Attempts attempts, TimeProvider time) : IServiceAuthentication
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
            var fingerprint = token?.Fingerprint ?? "";
            var subject = token?.PolicyName is { } policyName ? KnownSubjects.OfPolicy(policyName) : "";
            audit.Note(Refusals.Entry(subject, fingerprint, admission, peer));
            attempts.Note(Attempt.Of(subject, peer, admission) with { Fingerprint = fingerprint, AcceptedUntil = token?.AcceptedUntil });
        }

        return new ValueTask<Admission>(admission);
    }

    private Admission Authenticate(
        string authorization, string hostName, string resource, Rights needed, out SharedAccessSignature? token)
    {
        if (TokenCheck.Read(authorization, hostName, names, out token) is { } unreadable)
            return unreadable;

        if (token!.PolicyName is null)
            return Admission.Refuse(HubErrors.Unauthorized, "the token names no policy (skn)");

        var policy = policies.FindCredentials(token.PolicyName);
        if (TokenCheck.Verify(token, policy?.Keys, "there is no such policy", resource, time.GetUtcNow()) is { } refusal)
            return refusal;
        if ((needed & ~policy!.Rights) is not Rights.None and var missing)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the policy {policy.Name} does not hold {RightsText.Format(missing)}");

        return new Admission(
            new Principal(PrincipalKind.Policy, policy.Name, policy.Rights, token.AcceptedUntil, AuthMethod.HubSas, token.Fingerprint) { Withdrawn = policy.Withdrawal.Token },
            null,
            "");
    }
}
