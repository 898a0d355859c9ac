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

    /// <summary>Nobody's credential is better renewed more seldom.</summary>
    public static readonly TimeSpan LongestOperatorLife = TimeSpan.FromDays(30);

    public static bool IsOperator(string name) => name.StartsWith(OperatorPrefix, StringComparison.Ordinal);

    /// <summary>All operators in the order of their names, which begin with <see cref="OperatorPrefix"/>; also those whose credential has ended.</summary>
    public IReadOnlyList<PolicyRecord> ListOperators() => List(operators: true);

    /// <exception cref="HubException">404: there is no such operator.</exception>
    public PolicyRecord FindOperator(string name) =>
        _byName.GetValueOrDefault(OperatorPrefix + name)?.Record ?? throw new HubException(HubErrors.NotFound, $"there is no operator {name}");

    /// <summary>Makes an operator with a new key.</summary>
    /// <param name="life">From now; 5 min to <see cref="LongestOperatorLife"/>.</param>
    /// <exception cref="HubException">400: a name, the rights or the life are not valid, or there are <see cref="MaxOperators"/> already; 401: the actor does not hold the rights; 409: the name is taken; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> CreateOperatorAsync(Actor actor, string name, Rights rights, Scope scope, TimeSpan life, CancellationToken cancel) =>
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

                return Limited(NewRecord(OperatorPrefix + name, rights, _time), scope) with { Expires = EndOf(life) };
            },
            cancel);

    /// <summary>Gives an operator a new key and a new end; what the old key signed is refused from then on.</summary>
    /// <exception cref="HubException">404: there is no such operator; 400: the life is not valid; 401: it holds rights that the actor does not hold; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> RenewOperatorAsync(Actor actor, string name, TimeSpan life, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "operator renew",
            OperatorPrefix + name,
            () =>
            {
                var record = FindOperator(name);
                RequireHeld(actor, record);
                return record with { PrimaryKey = KeyPair.NewKey(), SecondaryKey = KeyPair.NewKey(), Generation = record.Generation + 1, Expires = EndOf(life) };
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
    /// <returns>Nothing, when there is nobody of that name, or its credential has ended.</returns>
    public (Rights Rights, Scope Scope) HeldBy(string principal)
    {
        var name = principal.StartsWith("policy:", StringComparison.Ordinal) ? principal["policy:".Length..] : principal;
        return FindCredentials(name) is { } held && held.Expires > _time.GetUtcNow() ? (held.Rights, held.Scope) : (Rights.None, Scope.Everything);
    }

    private DateTimeOffset EndOf(TimeSpan life) =>
        life >= TimeSpan.FromMinutes(5) && life <= LongestOperatorLife
            ? _time.GetUtcNow() + life
            : throw Invalid($"an operator's credential lasts 5 minutes to {LongestOperatorLife.TotalDays:0} days");
}
