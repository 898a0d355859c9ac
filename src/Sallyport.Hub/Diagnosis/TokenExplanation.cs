using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Diagnosis;

/// <summary>What a token is and why it opens what it opens. Holds no key and no usable token.</summary>
public sealed record TokenExplanation
{
    /// <summary>In one sentence: whether it is good, and if not, why not and what to do.</summary>
    public required string Verdict { get; init; }

    /// <summary>What is wrong with its text; null when it could be read, and only then the rest is there.</summary>
    public string? Problem { get; init; }

    /// <summary>At which character of the text, counted from 1.</summary>
    public int? ProblemAt { get; init; }

    /// <summary>The token without its signature.</summary>
    public string? Masked { get; init; }

    public string? Fingerprint { get; init; }
    public string? Host { get; init; }
    public bool? IsThisHub { get; init; }

    /// <summary>What it covers: a path, decoded; empty for everything on the host.</summary>
    public string? Resource { get; init; }

    /// <summary>Whose it says it is: <c>d1</c>, <c>d1/m1</c>, <c>policy service</c>; empty when it names nobody.</summary>
    public string? Subject { get; init; }

    /// <summary><c>primary</c>, <c>secondary</c>, <c>neither</c>; null when the subject does not exist or has no keys.</summary>
    public string? SignedWith { get; init; }

    /// <summary>
    /// How the key was read: <c>decoded</c> from its base64, or, for Event Hubs (<c>sr</c> has a scheme), its <c>text</c>. Null when <see cref="SignedWith"/> is no key.
    /// </summary>
    public string? KeyRead { get; init; }

    /// <summary>How else the signature came about, where that could be found: another's key, a key that was not decoded.</summary>
    public string? SignedInstead { get; init; }

    public DateTimeOffset? Expires { get; init; }

    /// <summary><see cref="Expires"/> and the clock skew.</summary>
    public DateTimeOffset? AcceptedUntil { get; init; }

    /// <summary>From now to <see cref="Expires"/>, in seconds; negative when it has expired.</summary>
    public long? SecondsLeft { get; init; }

    public bool? IsRevoked { get; init; }
    public IReadOnlyList<TokenVerdict> Opens { get; init; } = [];
}

/// <param name="What">For example <c>connect as d1</c>.</param>
/// <param name="Reason">Why not; empty when it does.</param>
public sealed record TokenVerdict(string What, bool IsOpen, string Reason);

/// <summary>Explains tokens to whoever may read the registry. Thread-safe.</summary>
public sealed class TokenExplainer(
    TokenCheck tokens, IMetadata metadata, IdentityCache identities, Policies policies, RevokedTokens revoked, TimeProvider time)
{
    /// <param name="text">As the client shows it. Never throws, whatever it is.</param>
    public TokenExplanation Explain(string text)
    {
        if (SharedAccessSignature.TryParse(text, out var problem, out var at) is not { } token)
            return new TokenExplanation { Verdict = $"Refused everywhere: {problem}, at character {at + 1}.", Problem = problem, ProblemAt = at + 1 };

        var subject = TokenRevocation.SubjectOf(token);
        var keys = KeysOf(token, subject);
        var signedWith = keys is null ? null : WhichOf(keys, token) ?? "neither";
        var opens = token.NamesPolicy ? OpensByPolicy(token) : [OpensByOwnKey(token, subject)];
        return new TokenExplanation
        {
            Verdict = VerdictOf(opens),
            Masked = token.Masked,
            Fingerprint = token.Fingerprint.ToString(),
            Host = token.Host,
            IsThisHub = tokens.CheckHost(token) is null,
            Resource = token.Path,
            Subject = subject,
            SignedWith = signedWith,
            KeyRead = signedWith is "primary" or "secondary" ? token.IsForEventHubs ? "text" : "decoded" : null,
            SignedInstead = signedWith is "primary" or "secondary" ? null : SignedInstead(token, subject, keys),
            Expires = token.Expires,
            AcceptedUntil = token.AcceptedUntil,
            SecondsLeft = (long)(token.Expires - time.GetUtcNow()).TotalSeconds,
            IsRevoked = revoked.IsRevoked(token),
            Opens = opens,
        };
    }

    private static string VerdictOf(TokenVerdict[] opens)
    {
        if (Array.Find(opens, one => one.IsOpen) is { } open)
            return Array.TrueForAll(opens, one => one.IsOpen) ? "Good." : $"Good, but not for everything: {open.What} is open.";

        return $"Refused: {opens[0].Reason}.";
    }

    private KeyPair? KeysOf(in SharedAccessSignature token, string subject)
    {
        if (token.NamesPolicy)
            return policies.FindCredentials(token)?.Keys;

        return Identity.TryParse(subject, out var identity) && identities.Find(identity) is { Authentication: IdentityAuthentication.Sas } credentials ? credentials.Keys : null;
    }

    private static string? WhichOf(KeyPair keys, in SharedAccessSignature token) =>
        keys.OnlyPrimary.HasSigned(token) ? "primary" : keys.OnlySecondary.HasSigned(token) ? "secondary" : null;

    private TokenVerdict OpensByOwnKey(in SharedAccessSignature token, string subject)
    {
        if (!Identity.TryParse(subject, out var identity))
            return new TokenVerdict("connect", false, "its sr names no device or module, and it names no policy (skn)");

        var what = $"connect as {identity}";
        if (tokens.CheckHost(token) is { } elsewhere)
            return new TokenVerdict(what, false, elsewhere.Reason);

        var credentials = identities.Find(identity);
        var keys = credentials is { Authentication: IdentityAuthentication.Sas } ? credentials.Keys : null;
        var unknown = credentials is null ? $"there is no {identity}" : $"{identity} is registered for certificates or none of its own, not for keys";
        var refusal = tokens.Verify(token, keys, unknown, DevicePath.Of(identity)) ?? tokens.VerifyReset(token, identity, credentials!.GenerationId);
        return refusal is null && !credentials!.Enabled
            ? new TokenVerdict(what, false, "the device is disabled")
            : new TokenVerdict(what, refusal is null, refusal?.Reason ?? "");
    }

    private TokenVerdict[] OpensByPolicy(in SharedAccessSignature token)
    {
        var policy = policies.FindCredentials(token);
        var refusal = tokens.CheckHost(token) ?? tokens.Verify(token, policy?.Keys, $"there is no policy {token.PolicyName}", token.Path);
        var under = token.Path.Length == 0 ? "" : $" under {token.Path}";
        if (policy is null)
            return [new TokenVerdict($"anything{under}", false, refusal!.Reason)];

        var rights = policy.RightsBy(token);
        if (rights is Rights.None)
            return [new TokenVerdict($"{RightsText.Format(Rights.TelemetryRead)}{under}", false, refusal?.Reason ?? $"the policy {policy.Name} does not hold {RightsText.Format(Rights.TelemetryRead)}")];

        var which = policy.Scope.LimitsDevices ? ", for the devices that it is limited to alone" : "";
        return [.. Enum.GetValues<Rights>().Where(right => right is not Rights.None && (rights & right) != 0)
            .Select(right => new TokenVerdict($"{RightsText.Format(right)}{under}{which}", refusal is null, refusal?.Reason ?? ""))];
    }

    /// <summary>Tries what goes wrong most: another's key, the key's text instead of what it decodes to.</summary>
    private string? SignedInstead(in SharedAccessSignature token, string subject, KeyPair? keys)
    {
        if (keys is not null && keys.HasSigned(token, asText: !token.IsForEventHubs))
        {
            return token.IsForEventHubs
                ? "with the decoded right key: Event Hubs clients sign with its text; or leave the scheme out of sr"
                : "with the text of the right key: decode the base64 before signing";
        }

        foreach (var policy in policies.List())
        {
            if (WhichOf(KeyPair.Of(policy.PrimaryKey, policy.SecondaryKey), token) is { } which)
                return $"with the {which} key of policy {policy.Name}: say skn={policy.Name}";
        }

        if (!Identity.TryParse(subject, out var identity))
            return null;

        var deviceId = identity.DeviceId;
        var related = metadata.Read(tx => metadata.Identities.ListModules(tx, deviceId).Append(metadata.Identities.Find(tx, deviceId, null)));
        foreach (var record in related)
        {
            if (record is not null && WhichOf(KeyPair.Of(record.PrimaryKey, record.SecondaryKey), token) is { } which)
                return $"with the {which} key of {record}: that key opens {record} alone";
        }

        return null;
    }
}
