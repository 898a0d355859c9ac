using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>What authentication needs of a policy or an operator. Immutable; never printed.</summary>
/// <param name="Expires">From then on it opens nothing.</param>
/// <param name="Use">The same object as long as the policy lives.</param>
/// <param name="Withdrawal">Cancelled when a key is replaced, or it is changed or deleted; swapping the keys keeps it.</param>
internal sealed record PolicyCredentials(string Name, Rights Rights, Scope Scope, DateTimeOffset Expires, KeyPair Keys, CancellationTokenSource Withdrawal, RightUse Use)
{
    /// <summary>It opens nothing for now.</summary>
    public bool Disabled { get; init; }

    /// <summary>Why a token for Event Hubs is refused elsewhere.</summary>
    public const string OnlyReads = "the token was made for the Event Hubs endpoint (its sr has a scheme), where telemetry is read and nothing else done";

    /// <summary>What a token of it may do.</summary>
    public Rights RightsBy(in SharedAccessSignature token) => token.IsForEventHubs ? Rights & Rights.TelemetryRead : Rights;

    /// <summary>Who somebody is who showed a token of it.</summary>
    public Principal PrincipalOf(in SharedAccessSignature token, Rights rights) => new(
        Policies.IsOperator(Name) ? PrincipalKind.Operator : PrincipalKind.Policy,
        Policies.IsOperator(Name) ? Name[Policies.OperatorPrefix.Length..] : Name,
        rights, token.AcceptedUntil < Expires ? token.AcceptedUntil : Expires, AuthMethod.HubSas, token.Fingerprint.ToString())
    {
        Withdrawn = Withdrawal.Token,
        Scope = Scope,
    };

    /// <summary>Who an operator is who showed its certificate.</summary>
    /// <param name="ends">When the certificate ends.</param>
    public Principal PrincipalOf(X509Certificate2 certificate, DateTimeOffset ends) => new(
        PrincipalKind.Operator, Name[Policies.OperatorPrefix.Length..], Rights, ends < Expires ? ends : Expires, AuthMethod.HubCertificate,
        CertificateUse.FingerprintOf(certificate))
    {
        Withdrawn = Withdrawal.Token,
        Scope = Scope,
        Certificate = new CertificateUse(null),
    };

    public override string ToString() => Name;
}
