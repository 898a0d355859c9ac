using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Access;

/// <summary>Authenticates back ends and operators by the token of a policy that holds the rights they need. Thread-safe. Every refusal is in the audit trail.</summary>
public sealed class ServiceAuthenticator(HubNames names, Policies policies, IAuditTrail audit, TimeProvider time) : IServiceAuthentication
{
    /// <inheritdoc/>
    public ValueTask<Admission> AuthenticateAsync(
        string? authorization, string hostName, string resource, Rights needed, Peer peer, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        var (policyName, fingerprint) = ("", "");
        var admission = string.IsNullOrEmpty(authorization)
            ? Admission.Refuse(HubErrors.Unauthorized, "there is no Authorization header")
            : Authenticate(authorization, hostName, resource, needed, ref policyName, ref fingerprint);

        AccessMeter.Count(admission, "service");
        if (!admission.IsAdmitted)
            audit.Note(Refusals.Entry(policyName, fingerprint, admission, peer));
        return new ValueTask<Admission>(admission);
    }

    private Admission Authenticate(
        string authorization, string hostName, string resource, Rights needed, ref string policyName, ref string fingerprint)
    {
        if (TokenCheck.Read(authorization, hostName, names, out var token) is { } unreadable)
            return unreadable;

        fingerprint = token!.Fingerprint;
        if (token.PolicyName is null)
            return Admission.Refuse(HubErrors.Unauthorized, "the token names no policy (skn)");

        policyName = $"policy {token.PolicyName}";
        var policy = policies.FindCredentials(token.PolicyName);
        if (TokenCheck.Verify(token, policy?.Keys, "there is no such policy", resource, time.GetUtcNow()) is { } refusal)
            return refusal;
        if ((needed & ~policy!.Rights) is not Rights.None and var missing)
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the policy {policy.Name} does not hold {RightsText.Format(missing)}");

        return new Admission(
            new Principal(PrincipalKind.Policy, policy.Name, policy.Rights, token.AcceptedUntil, AuthMethod.HubSas, fingerprint) { Withdrawn = policy.Withdrawal.Token },
            null,
            "");
    }
}
