using System.Net;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Access;

public enum PrincipalKind
{
    Device,
    Module,
    Policy,

    /// <summary>A person with a credential of their own.</summary>
    Operator,
}

/// <summary>Who was let in, and for what. Immutable. Holds no secret.</summary>
/// <param name="Name">The device, <c>device/module</c>, policy or operator.</param>
/// <param name="Rights">What it holds.</param>
/// <param name="Expires">When the token ends, or the first certificate of its chain.</param>
/// <param name="AuthMethod">The JSON of <c>iothub-connection-auth-method</c>.</param>
/// <param name="CredentialFingerprint">The SHA-256, in 64 hex digits, of the decoded signature of the token; of a certificate the first 16.</param>
public sealed record Principal(PrincipalKind Kind, string Name, Rights Rights, DateTimeOffset Expires, string AuthMethod, string CredentialFingerprint)
{
    /// <summary>
    /// Cancelled when the policy that let it in is deleted or a key of it is replaced: what lasts longer than a request ends then.
    /// Never for a device's own key: the registry closes its link. Callbacks return at once and do not throw.
    /// </summary>
    public CancellationToken Withdrawn { get; init; }

    /// <summary>
    /// Let in for another: the edge devices through which, from the identity that connects up to the one whose module's credential it was. Empty for
    /// whoever shows a credential of its own or a policy's. A change of one of them ends the link.
    /// </summary>
    public IReadOnlyList<string> Gateways { get; init; } = [];

    /// <summary>What its rights are limited to.</summary>
    public Scope Scope { get; init; } = Scope.Everything;

    /// <summary>By which certificate it was let in; null for a token. An authority that is changed ends what came by it.</summary>
    public CertificateUse? Certificate { get; init; }
}

/// <summary>From where somebody speaks, for refusals, limits and audit.</summary>
/// <param name="Address">The peer's address and port; null inside the process.</param>
/// <param name="Protocol"><c>mqtt</c>, <c>mqtt-ws</c>, <c>https</c>, ….</param>
public readonly record struct Peer(IPEndPoint? Address, string Protocol)
{
    /// <summary>How far its clock is before (positive) or behind (negative) the hub's, where it told the time (HTTP's <c>Date</c>).</summary>
    public TimeSpan? ClockSkew { get; init; }
}

/// <summary>
/// What a device showed: the token as sent (password field, Authorization header) and the certificate of its TLS session. Never printed.
/// </summary>
public readonly record struct DeviceCredential(string? Token, PresentedCertificate? Certificate)
{
    /// <summary>
    /// Of a token that a gateway shows for another: who is below whom, as it says (<c>leaf;edge;top</c>). A claim, held against the registry; null
    /// when it says nothing.
    /// </summary>
    public string? AuthChain { get; init; }

    public override string ToString() => Token is null ? Certificate is null ? "nothing" : "certificate" : "token";
}

/// <summary>Let in (<see cref="Principal"/>), or refused with the wire's terse <see cref="Error"/> and the exact reason for log and audit.</summary>
/// <param name="Reason">In words, without any secret; for the audit trail and diagnosis, not for the wire.</param>
public sealed record Admission(Principal? Principal, HubError? Error, string Reason)
{
    /// <summary>The generation id of the identity let in; stamped on its messages.</summary>
    public string GenerationId { get; init; } = "";

    /// <summary>An expired token with a right signature: the peer's clock is at least so far behind (negative) if it has just made it.</summary>
    public TimeSpan? ClockSkew { get; init; }

    public bool IsAdmitted => Principal is not null;

    public static Admission Refuse(HubError error, string reason) => new(null, error, reason);
}

/// <summary>
/// The one port behind which devices are authenticated: the hub asks its registry; a field gateway will answer from a replica.
/// Thread-safe. Completes synchronously when the identity is cached.
/// </summary>
public interface IDeviceAuthentication
{
    /// <param name="hostName">The host the client says it speaks to, without port.</param>
    ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel);
}

/// <summary>Authenticates those who call REST with a policy's or an operator's token, or an operator's certificate. Thread-safe.</summary>
public interface IServiceAuthentication
{
    /// <summary>Decides whether the bearer of the token may do something on a resource.</summary>
    /// <param name="authorization">The Authorization header as sent; null when absent.</param>
    /// <param name="hostName">The Host header, without port.</param>
    /// <param name="resource">The path asked for, for example <c>devices/d1</c>; the token's <c>sr</c> must be a segment-wise prefix of host and path.</param>
    /// <param name="needed">All of these rights are needed.</param>
    ValueTask<Admission> AuthenticateAsync(string? authorization, string hostName, string resource, Rights needed, Peer peer, CancellationToken cancel);

    /// <summary>Decides whether the operator whose certificate was shown, without a token, may do something.</summary>
    /// <inheritdoc cref="AuthenticateAsync(string?, string, string, Rights, Peer, CancellationToken)" path="/param"/>
    ValueTask<Admission> AuthenticateAsync(PresentedCertificate certificate, string hostName, Rights needed, Peer peer, CancellationToken cancel);
}
