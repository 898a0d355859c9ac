using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <content>
/// Operators: people, each with a credential of their own that ends by itself. They are stored and checked as policies are, under a name
/// that no policy can have, so tokens, rights, scopes and withdrawal are the same.
/// </content>
public sealed partial class Policies
{
    /// <summary>What the name (<c>skn</c>) of an operator's token begins with.</summary>
    public const string OperatorPrefix = "operator:";

    /// <summary>Of a hub. At the bound another one is refused.</summary>
    public const int MaxOperators = 256;

    /// <summary>The default of how long a credential opens anything: a shift.</summary>
    public static readonly TimeSpan DefaultOperatorLife = TimeSpan.FromHours(8);

    // Marks are short hashes, so a few identities may have the same one by chance.
    private const int MaxSameMarks = 100;

    /// <summary>Nobody's credential is better renewed more seldom.</summary>
    public static readonly TimeSpan LongestOperatorLife = TimeSpan.FromDays(30);

    public static bool IsOperator(string name) => name.StartsWith(OperatorPrefix, StringComparison.Ordinal);

    /// <summary>All operators in the order of their names, which begin with <see cref="OperatorPrefix"/>; also those whose credential has ended.</summary>
    public IReadOnlyList<PolicyRecord> ListOperators() => List(operators: true);

    /// <exception cref="HubException">404: there is no such operator.</exception>
    public PolicyRecord FindOperator(string name) =>
        _byName.GetValueOrDefault(OperatorPrefix + name)?.Record ?? throw new HubException(HubErrors.NotFound, $"there is no operator {name}");

    /// <summary>Makes an operator, with a new key or a certificate.</summary>
    /// <param name="life">From now; 5 min to <see cref="LongestOperatorLife"/>. A certificate that ends sooner ends it.</param>
    /// <param name="certificate">Its credential; null: a new key is.</param>
    /// <exception cref="HubException">400: a name, the rights or the life are not valid, or there are <see cref="MaxOperators"/> already; 401: the actor does not hold the rights; 409: the name is taken, or somebody else has the certificate; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> CreateOperatorAsync(Actor actor, string name, Rights rights, Scope scope, TimeSpan life, OperatorCertificate? certificate, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "operator create",
            OperatorPrefix + name,
            () =>
            {
                if (!ValidName().IsMatch(name) || name.Length > Protocol.Sas.SharedAccessSignature.MaxPolicyNameLength - OperatorPrefix.Length)
                    throw Invalid($"an operator's name has 1 to {Protocol.Sas.SharedAccessSignature.MaxPolicyNameLength - OperatorPrefix.Length} ASCII letters, digits, '-', '_' and '.'");
                RequireKnown(rights);
                RequireHeld(actor, rights, scope);
                if (_byName.ContainsKey(OperatorPrefix + name))
                    throw new HubException(HubErrors.Conflict, $"there is an operator {name} already");
                if (ListOperators().Count >= MaxOperators)
                    throw Invalid($"the hub has {MaxOperators} operators, as many as it may; delete one first");

                RequireUnshared(certificate, OperatorPrefix + name);
                return Limited(NewRecord(OperatorPrefix + name, rights, _time), scope) with { Expires = EndOf(life, certificate), CertificateThumbprint = certificate?.Thumbprint };
            },
            cancel);

    /// <summary>Gives an operator a new credential and a new end; the credential of before is refused from then on.</summary>
    /// <param name="certificate">As in <see cref="CreateOperatorAsync"/>.</param>
    /// <exception cref="HubException">404: there is no such operator; 400: the life is not valid; 401: it holds rights that the actor does not hold; 409: somebody else has the certificate; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> RenewOperatorAsync(Actor actor, string name, TimeSpan life, OperatorCertificate? certificate, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "operator renew",
            OperatorPrefix + name,
            () =>
            {
                var record = FindOperator(name);
                RequireHeld(actor, record);
                RequireUnshared(certificate, record.Name);
                return record with
                {
                    PrimaryKey = KeyPair.NewKey(), SecondaryKey = KeyPair.NewKey(), Generation = record.Generation + 1,
                    Expires = EndOf(life, certificate), CertificateThumbprint = certificate?.Thumbprint,
                };
            },
            cancel);

    /// <summary>Takes away what an operator's credential opens, or gives it back; rights, credential and end stay. Sessions that it let in end.</summary>
    /// <exception cref="HubException">404: there is no such operator; 401: it holds rights that the actor does not hold; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> EnableOperatorAsync(Actor actor, string name, bool enabled, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            enabled ? "operator enable" : "operator disable",
            OperatorPrefix + name,
            () =>
            {
                var record = FindOperator(name);
                RequireHeld(actor, record);
                return record with { Disabled = !enabled };
            },
            cancel);

    /// <summary>Deletes an operator; its tokens are refused from then on.</summary>
    /// <exception cref="HubException">404: there is no such operator; 401: it holds rights that the actor does not hold; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteOperatorAsync(Actor actor, string name, CancellationToken cancel) =>
        await ChangeAsync(
            actor,
            "operator delete",
            OperatorPrefix + name,
            () =>
            {
                RequireHeld(actor, FindOperator(name));
                return null;
            },
            cancel);

    /// <summary>What whoever the audit trail calls so (<c>policy:service</c>, <c>operator:alice</c>) may do now.</summary>
    /// <returns>Nothing, when there is nobody of that name, or its credential has ended or is disabled.</returns>
    public (Rights Rights, Scope Scope) HeldBy(string principal)
    {
        var name = principal.StartsWith("policy:", StringComparison.Ordinal) ? principal["policy:".Length..] : principal;
        return FindCredentials(name) is { Disabled: false } held && held.Expires > _time.GetUtcNow() ? (held.Rights, held.Scope) : (Rights.None, Scope.Everything);
    }

    /// <summary>The operator whose credential a certificate is; null when it is nobody's.</summary>
    internal PolicyCredentials? FindOperatorBy(X509Certificate2 certificate)
    {
        var byCertificate = _byCertificate;
        return byCertificate.Count == 0 ? null : byCertificate.GetValueOrDefault(OperatorCertificate.ThumbprintOf(certificate));
    }

    // Whoever holds the certificate would be both.
    private void RequireUnshared(OperatorCertificate? certificate, string name)
    {
        if (certificate is null)
            return;
        if (_byCertificate.TryGetValue(certificate.Thumbprint, out var other) && other.Name != name)
            throw new HubException(HubErrors.Conflict, "another operator has this certificate already, and whoever holds it could be both");

        string[] thumbprints = certificate.Sha1 is null ? [certificate.Thumbprint] : [certificate.Thumbprint, certificate.Sha1];
        var isDevices = _metadata.Read(tx => thumbprints.Any(thumbprint => _metadata.Identities.FindByCredential(tx, thumbprint, MaxSameMarks)
            .Any(identity => KeyPair.AreSame(thumbprint, identity.PrimaryThumbprint) || KeyPair.AreSame(thumbprint, identity.SecondaryThumbprint))));
        if (isDevices)
            throw new HubException(HubErrors.Conflict, "a device is registered with this certificate: a device's is no operator's");
    }

    private DateTimeOffset EndOf(TimeSpan life, OperatorCertificate? certificate) =>
        life >= TimeSpan.FromMinutes(5) && life <= LongestOperatorLife
            ? certificate?.Ends is { } ends && ends < _time.GetUtcNow() + life ? ends : _time.GetUtcNow() + life
            : throw Invalid($"an operator's credential lasts 5 minutes to {LongestOperatorLife.TotalDays:0} days");
}
