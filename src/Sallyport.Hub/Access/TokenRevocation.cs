using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>Whom a reset cuts off.</summary>
/// <param name="RefusedUntil">The identity's own tokens that end until then are refused: also new ones, for a token does not say when it was made.</param>
/// <param name="Fingerprints">Tokens that were seen and end later; they are revoked one by one.</param>
/// <param name="Connected">Whether a live link ends.</param>
public sealed record TokenReset(DateTimeOffset RefusedUntil, IReadOnlyList<string> Fingerprints, bool Connected);

/// <summary>Takes tokens out of force, one or all of an identity, and ends what they opened. Thread-safe. Refuses with <see cref="HubException"/>.</summary>
public sealed class TokenRevocation
{
    /// <summary>Hex digits of a fingerprint that are enough where they name one token that was seen lately.</summary>
    public const int MinFingerprintDigits = 16;

    private readonly RevokedTokens _revoked;
    private readonly IdentityCache _identities;
    private readonly Attempts _attempts;
    private readonly ConnectedDevices _connected;
    private readonly TokenOptions _options;
    private readonly TimeProvider _time;

    public TokenRevocation(
        RevokedTokens revoked, IdentityCache identities, Attempts attempts, ConnectedDevices connected, TokenOptions options, TimeProvider time)
    {
        _revoked = revoked;
        _identities = identities;
        _attempts = attempts;
        _connected = connected;
        _options = options;
        _time = time;
    }

    /// <summary>Revokes one token.</summary>
    /// <param name="given">
    /// The token; or its fingerprint: all 64 digits, or the first <see cref="MinFingerprintDigits"/> and more where attempts in memory
    /// know which token that is.
    /// </param>
    /// <exception cref="HubException">400: it is neither, or names no token or several; 401: a policy's token needs <see cref="Rights.AccessManage"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask<RevokedTokenRecord> RevokeAsync(Actor actor, string given, CancellationToken cancel)
    {
        var record = Find(given.Trim());
        var isDevices = record.Subject.Length > 0 && !record.Subject.StartsWith(KnownSubjects.OfPolicy(""), StringComparison.Ordinal);
        if (!isDevices && (actor.Rights & Rights.AccessManage) == 0)
            throw new HubException(HubErrors.UnauthorizedAccess, "revoking the token of a policy, or of nobody knows whom, needs the right access-manage");

        await _revoked.AddAsync(actor, "token revoke", $"{record.Subject} {record.Fingerprint}".TrimStart(), [record], null, cancel);
        _connected.CloseWhere(
            link => link.Principal.CredentialFingerprint == record.Fingerprint, HubErrors.Unauthorized, "the token was revoked (token revoke)");
        return record;
    }

    /// <summary>What <see cref="ResetAsync"/> would do.</summary>
    /// <param name="maxLifetime">How long the longest token lives that may be about; null: the hub's maximum.</param>
    /// <exception cref="HubException">400: neither the caller nor the hub says how long tokens live; 404: there is no such identity.</exception>
    public TokenReset Preview(Identity identity, TimeSpan? maxLifetime)
    {
        Require(identity);
        var life = maxLifetime ?? _options.MaxLifetime
            ?? throw new HubException(HubErrors.ArgumentInvalid, "the hub has no maximum lifetime of tokens (Access:MaxTokenLifetimeMinutes): say how long the longest token lives that may have leaked (--lifetime)");
        // Whole seconds, as se has them.
        var until = DateTimeOffset.FromUnixTimeSeconds((_time.GetUtcNow() + life).ToUnixTimeSeconds());
        var later = _attempts.Of(identity.ToString())
            .Where(attempt => attempt.AcceptedUntil > until + SharedAccessSignature.ClockSkew && TokenFingerprint.TryParse(attempt.Fingerprint, out _))
            .Select(attempt => attempt.Fingerprint)
            .Distinct()
            .ToList();
        return new TokenReset(until, later, _connected.IsConnected(identity));
    }

    /// <summary>
    /// Refuses every token of the identity that was seen, and every one of its own keys that ends until now + <paramref name="maxLifetime"/>; its live
    /// link ends. Tokens of policies are not concerned.
    /// </summary>
    /// <exception cref="HubException">As <see cref="Preview"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask<TokenReset> ResetAsync(Actor actor, Identity identity, TimeSpan? maxLifetime, CancellationToken cancel)
    {
        var reset = Preview(identity, maxLifetime);
        var now = _time.GetUtcNow();
        var seen = _attempts.Of(identity.ToString());
        var tokens = reset.Fingerprints
            .Select(fingerprint => new RevokedTokenRecord(fingerprint, identity.ToString(), seen.First(attempt => attempt.Fingerprint == fingerprint).AcceptedUntil, now))
            .ToList();
        await _revoked.AddAsync(
            actor, "token reset", identity.ToString(), tokens,
            new TokenResetRecord(identity.DeviceId, identity.ModuleId, Require(identity).GenerationId, reset.RefusedUntil, now), cancel);
        _connected.Close(identity, HubErrors.Unauthorized, "its tokens were reset (token reset)");
        var gateway = identity.ToString();
        _connected.CloseWhere(
            link => link.Principal.Gateways.Count > 0 && link.Principal.Name == gateway, HubErrors.Unauthorized, $"the tokens of its gateway {gateway} were reset (token reset)");
        return reset;
    }

    private IdentityCredentials Require(Identity identity) =>
        _identities.Find(identity) ?? throw new HubException(identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound, $"there is no {identity}");

    private RevokedTokenRecord Find(string given)
    {
        if (given.StartsWith(SharedAccessSignature.Scheme, StringComparison.OrdinalIgnoreCase))
        {
            return SharedAccessSignature.TryParse(given, out var malformed, out var at) is { } token
                ? Record(token.Fingerprint.ToString(), SubjectOf(token), token.AcceptedUntil)
                : throw new HubException(HubErrors.ArgumentInvalid, $"{malformed} (character {at + 1})");
        }

        if (given.Length < MinFingerprintDigits || given.Length > TokenFingerprint.TextLength || !given.All(char.IsAsciiHexDigit))
            throw new HubException(HubErrors.ArgumentInvalid, $"this is neither a token nor {MinFingerprintDigits} to {TokenFingerprint.TextLength} hex digits of a fingerprint");

        var fingerprint = given.ToLowerInvariant();
        var seen = _attempts.WithFingerprint(fingerprint);
        if (seen.Select(attempt => attempt.Fingerprint).Distinct().Take(2).Count() > 1)
            throw new HubException(HubErrors.ArgumentInvalid, "these digits name more than one token: give all 64");
        if (seen.Count > 0)
            return Record(seen[0].Fingerprint, seen[0].Subject, seen[0].AcceptedUntil);

        // Nobody knows its end. With a maximum lifetime it is refused for that later anyway.
        return fingerprint.Length == TokenFingerprint.TextLength
            ? Record(fingerprint, "", _options.MaxLifetime is { } life ? _time.GetUtcNow() + life + (2 * SharedAccessSignature.ClockSkew) : null)
            : throw new HubException(HubErrors.ArgumentInvalid, "no token with these digits was seen lately: give the token, or all 64 digits of its fingerprint");
    }

    private RevokedTokenRecord Record(string fingerprint, string subject, DateTimeOffset? acceptedUntil) =>
        new(fingerprint, subject, acceptedUntil, _time.GetUtcNow());

    /// <summary>Whose it says it is.</summary>
    internal static string SubjectOf(in SharedAccessSignature token)
    {
        if (token.PolicyName is { } policy)
            return KnownSubjects.OfPolicy(policy);

        return token.Path.Split('/') switch
        {
            ["devices", var device] when Identity.TryCreate(device, null, out var identity) => identity.ToString(),
            ["devices", var device, "modules", var module] when Identity.TryCreate(device, module, out var identity) => identity.ToString(),
            _ => "",
        };
    }
}
