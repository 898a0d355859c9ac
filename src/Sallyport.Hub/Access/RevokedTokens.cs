using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// The tokens that are refused although their key is good and their end not reached: revoked one by one, or all that end until some
/// time (reset). On disk, and all of them in memory. A row goes when the token would be refused anyway. Thread-safe.
/// </summary>
/// <remarks>It helps against a token that leaked, not against a key that leaked: whoever has the key makes another token.</remarks>
public sealed class RevokedTokens : IDisposable
{
    /// <summary>Revoked tokens that are kept; at the bound revoking is refused until some have ended.</summary>
    public const int MaxTokens = 10_000;

    /// <summary>Resets that are kept; at the bound resetting is refused until some have ended.</summary>
    public const int MaxResets = 10_000;

    private readonly IMetadata _metadata;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _oneChange = new(1, 1);

    // Replaced whole, by the one that holds _oneChange.
    private volatile Dictionary<TokenFingerprint, RevokedTokenRecord> _tokens = [];
    private volatile Dictionary<Identity, TokenResetRecord> _resets = [];

    /// <summary>Reads what is stored.</summary>
    public RevokedTokens(IMetadata metadata, IAuditTrail audit, TimeProvider time)
    {
        _metadata = metadata;
        _audit = audit;
        _time = time;
        Remember();
    }

    /// <summary>Told after each change, when it is in force, on the thread of who made it: to end what the tokens opened.</summary>
    public event Action? Changed;

    /// <summary>All that are revoked, in the order in which they were.</summary>
    public IReadOnlyList<RevokedTokenRecord> Tokens => [.. _tokens.Values.OrderBy(record => record.RevokedTime)];

    public IReadOnlyList<TokenResetRecord> Resets => [.. _resets.Values.OrderBy(record => record.ResetTime)];

    /// <summary>Whether exactly this token was revoked. Allocates nothing.</summary>
    public bool IsRevoked(in SharedAccessSignature token)
    {
        var tokens = _tokens;
        return tokens.Count > 0 && tokens.ContainsKey(token.Fingerprint);
    }

    /// <summary>As <see cref="IsRevoked(in SharedAccessSignature)"/>, of a fingerprint as it is shown.</summary>
    public bool IsRevoked(string fingerprint) => TokenFingerprint.TryParse(fingerprint, out var parsed) && _tokens.ContainsKey(parsed);

    /// <summary>Tokens of the identity's own keys that end until then are refused; null when there was no reset.</summary>
    public DateTimeOffset? RefusedUntil(Identity identity, string generationId)
    {
        var resets = _resets;
        return resets.Count > 0 && resets.TryGetValue(identity, out var reset) && reset.GenerationId == generationId ? reset.RefusedUntil : null;
    }

    /// <summary>Once no change is under way.</summary>
    public void Dispose() => _oneChange.Dispose();

    /// <summary>Records, stores, puts into force.</summary>
    /// <param name="tokens">To revoke.</param>
    /// <param name="reset">To reset; null: none.</param>
    /// <exception cref="HubException">400: there are as many as may be; 503: the audit trail cannot be written.</exception>
    internal async ValueTask AddAsync(
        Actor actor, string action, string target, IReadOnlyList<RevokedTokenRecord> tokens, TokenResetRecord? reset, CancellationToken cancel)
    {
        await _oneChange.WaitAsync(cancel);
        try
        {
            if (tokens.Count(token => !IsRevoked(token.Fingerprint)) + _tokens.Count > MaxTokens)
                throw new HubException(HubErrors.ArgumentInvalid, $"{MaxTokens} tokens are revoked already, as many as may be: renew the key that signed it instead");
            if (reset is not null && _resets.Count >= MaxResets && !_resets.ContainsKey(Identity.Of(reset.DeviceId, reset.ModuleId)))
                throw new HubException(HubErrors.ArgumentInvalid, $"the tokens of {MaxResets} identities are reset already, as many as may be: renew the identity's keys instead");

            await _audit.RequireAsync(actor.Done(action, target), cancel);
            await StoreAsync(actor, action, target, tokens, reset);
            Remember();
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(action, target, refusal.Message));
            throw;
        }
        finally
        {
            _oneChange.Release();
        }

        Changed?.Invoke();
    }

    private async ValueTask StoreAsync(
        Actor actor, string action, string target, IReadOnlyList<RevokedTokenRecord> tokens, TokenResetRecord? reset)
    {
        try
        {
            var now = _time.GetUtcNow();
            await _metadata.WriteAsync(tx =>
            {
                _metadata.Revocations.DeleteEnded(tx, now, now - SharedAccessSignature.ClockSkew);
                foreach (var token in tokens)
                    _metadata.Revocations.PutToken(tx, token);
                if (reset is not null)
                    _metadata.Revocations.PutReset(tx, reset);
                return true;
            });
        }
        catch (Exception failure)
        {
            // The trail says "done" already: take that back.
            _audit.Note(actor.Refused(action, target, $"not stored: {failure.GetType().Name}"));
            throw;
        }
    }

    private void Remember()
    {
        var now = _time.GetUtcNow();
        var (tokens, resets) = _metadata.Read(tx => (_metadata.Revocations.ListTokens(tx), _metadata.Revocations.ListResets(tx)));
        var byFingerprint = new Dictionary<TokenFingerprint, RevokedTokenRecord>(tokens.Count);
        foreach (var record in tokens.Where(record => record.AcceptedUntil is null || record.AcceptedUntil >= now))
        {
            if (TokenFingerprint.TryParse(record.Fingerprint, out var fingerprint))
                byFingerprint[fingerprint] = record;
        }

        _tokens = byFingerprint;
        _resets = resets.Where(reset => reset.RefusedUntil + SharedAccessSignature.ClockSkew >= now)
            .ToDictionary(reset => Identity.Of(reset.DeviceId, reset.ModuleId));
    }
}
