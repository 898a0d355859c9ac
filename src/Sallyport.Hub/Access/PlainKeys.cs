using Sallyport.Hub.Audit;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>
/// What becomes of a policy's key that a client sends as its SASL PLAIN password instead of a token that the key signed: it is refused, and the
/// key counts as exposed. Where <c>Access:InsecureSharedKeyOverPlain</c> lets it in, the hub makes the token that the client did not make, so
/// rights, scope, withdrawal and end are those of every token. Thread-safe.
/// </summary>
/// <param name="isAllowed">Whether such a client is let in nevertheless.</param>
public sealed class PlainKeys(Policies policies, HubNames names, TokenOptions options, IAuditTrail audit, TimeProvider time, bool isAllowed)
{
    /// <summary>How long a connection lasts that was opened so, unless <see cref="TokenOptions.MaxLifetime"/> is shorter.</summary>
    public static readonly TimeSpan Life = TimeSpan.FromDays(1);

    /// <summary>Why it is refused, whoever's key it is.</summary>
    internal const string Sentence = "the SASL PLAIN password is a shared key as it is, which everything on its way can read and use for ever: send a token that the key signed (Access:InsecureSharedKeyOverPlain)";

    /// <summary>Told, each time, of a policy whose key was sent as it is, and the key's <see cref="KeyPair.DigestOf"/>; on the thread of the connection.</summary>
    public event Action<string, string>? Exposed;

    /// <summary>Decides about one.</summary>
    /// <returns>A token of the policy, to be checked like any other; null when it is refused.</returns>
    internal string? TokenFor(string policy, string key, Peer peer, out string refusal)
    {
        var known = Policies.IsOperator(policy) ? null : policies.FindCredentials(policy);
        var isKey = (known?.Keys ?? KeyPair.Decoy).Has(key) && known is not null;
        if (!isKey)
        {
            refusal = "the SASL PLAIN password is neither a token nor a key of the policy";
            return null;
        }

        refusal = isAllowed ? "" : Sentence;
        audit.Note(new AuditEntry(
            $"policy:{policy}", "", "policy key-exposed", policy, isAllowed ? "done" : "refused",
            "a key of the policy was sent as it is, over SASL PLAIN: renew it (policy renew-key)", "", peer.Address is null ? "local" : $"{peer.Protocol} {peer.Address}"));
        Exposed?.Invoke(policy, KeyPair.DigestOf(key));
        return isAllowed
            ? SharedAccessSignature.Create(names.Primary, key, time.GetUtcNow() + (options.MaxLifetime < Life ? options.MaxLifetime.Value : Life), policy)
            : null;
    }
}
