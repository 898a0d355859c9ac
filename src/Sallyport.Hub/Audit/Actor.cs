using Sallyport.Hub.Access;

namespace Sallyport.Hub.Audit;

/// <summary>Who does a management act, as the audit trail writes it. Immutable; holds no secret.</summary>
/// <param name="Principal">For example <c>policy:iothubowner</c>.</param>
/// <param name="Rights">What it holds: it sees and grants no more.</param>
/// <param name="CorrelationId">Of the request; the same in the answer, the log and the trail.</param>
/// <param name="Peer">Address and port, or <c>local</c>.</param>
public sealed record Actor(string Principal, string CredentialFingerprint, Rights Rights, string CorrelationId, string Peer)
{
    // The reason of what was done: a shared policy says which key was used, not who used it.
    private const string SharedCredential = "shared credential";

    /// <summary>What its rights are limited to.</summary>
    public Scope Scope { get; init; } = Scope.Everything;

    private bool IsShared { get; init; }

    /// <summary>The actor behind an admitted request.</summary>
    public static Actor Of(Principal principal, string correlationId, Peer peer) =>
        new($"{KindOf(principal.Kind)}:{principal.Name}", principal.CredentialFingerprint, principal.Rights, correlationId, peer.Address?.ToString() ?? "local")
        {
            Scope = principal.Scope,
            IsShared = principal.Kind is PrincipalKind.Policy,
        };

    /// <summary>Somebody in whose name the hub acts later, with what it holds then.</summary>
    /// <param name="principal">As an actor has it.</param>
    /// <param name="by">What acts in its name, in the place of an address: <c>job j1</c>.</param>
    internal static Actor Later(string principal, string credentialFingerprint, Rights rights, Scope scope, string correlationId, string by) =>
        new(principal, credentialFingerprint, rights, correlationId, by) { Scope = scope, IsShared = principal.StartsWith("policy:", StringComparison.Ordinal) };

    /// <summary>The entry of an act that is about to be done; it must be durable before the act takes effect.</summary>
    public AuditEntry Done(string action, string target) =>
        new(Principal, CredentialFingerprint, action, target, "done", IsShared ? SharedCredential : "", CorrelationId, Peer);

    /// <summary>The entry of an act that was not done.</summary>
    public AuditEntry Refused(string action, string target, string reason) =>
        new(Principal, CredentialFingerprint, action, target, "refused", IsShared ? $"{reason} ({SharedCredential})" : reason, CorrelationId, Peer);

    private static string KindOf(PrincipalKind kind) => kind switch
    {
        PrincipalKind.Device => "device",
        PrincipalKind.Module => "module",
        PrincipalKind.Operator => "operator",
        _ => "policy",
    };
}
