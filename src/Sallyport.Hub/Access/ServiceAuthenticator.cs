using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>Authenticates back ends and operators by the token of a policy or an operator that holds the rights they need. Thread-safe. Every refusal is in the audit trail.</summary>
public sealed class ServiceAuthenticator(TokenCheck tokens, Policies policies, IAuditTrail audit, Attempts attempts) : IServiceAuthentication
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
