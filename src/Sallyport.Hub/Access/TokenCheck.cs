using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <param name="MaxLifetime">
/// A token may end at most so far in the future. Default null, no maximum: Azure IoT Hub has none, and devices there live with tokens of years.
/// </param>
public sealed record TokenOptions(TimeSpan? MaxLifetime = null);

/// <summary>What every bearer of a token has to pass, in one order, whoever it is. Thread-safe; a token that passes costs no allocation.</summary>
public sealed class TokenCheck(HubNames names, RevokedTokens revoked, TokenOptions options, TimeProvider time)
{
    /// <summary>Reads the token and asks whether it was made for this hub, spoken to by one of its names.</summary>
    /// <returns>The refusal; null when <paramref name="token"/> was read.</returns>
    internal Admission? Read(string text, string hostName, out SharedAccessSignature? token)
    {
        token = null;
        if (CheckHostName(hostName) is { } elsewhere)
            return elsewhere;

        token = SharedAccessSignature.TryParse(text, out var malformed);
        return token is { } read ? CheckHost(read) : Admission.Refuse(HubErrors.Unauthorized, malformed);
    }

    /// <summary>Asks whether the client speaks to a name of this hub.</summary>
    /// <returns>The refusal; null when it does.</returns>
    internal Admission? CheckHostName(string hostName) =>
        names.Contains(hostName)
            ? null
            : Admission.Refuse(HubErrors.IotHubNotFound, "the host name that the client speaks to is not one of this hub (--host)");

    /// <summary>Asks whether the token was made for this hub.</summary>
    /// <returns>The refusal; null when it was.</returns>
    internal Admission? CheckHost(in SharedAccessSignature token) =>
        names.Contains(token.ReadHost(stackalloc char[token.ResourceLength]))
            ? null
            : Admission.Refuse(HubErrors.IotHubNotFound, "the token was made for another host (--host)");

    /// <summary>
    /// Asks who made the token, for what, and until when. The signature is always computed, also against keys that nobody has.
    /// </summary>
    /// <param name="keys">Null when there is no such identity or policy.</param>
    /// <param name="unknown">The reason when <paramref name="keys"/> is null.</param>
    /// <returns>The refusal, on the wire always the same; null when the token is good for <paramref name="path"/>.</returns>
    internal Admission? Verify(in SharedAccessSignature token, KeyPair? keys, string unknown, string path)
    {
        var isSigned = (keys ?? KeyPair.Decoy).HasSigned(token);
        if (keys is null)
            return Admission.Refuse(HubErrors.Unauthorized, unknown);
        if (!isSigned)
            return Admission.Refuse(HubErrors.Unauthorized, "the token was signed with neither the primary nor the secondary key");

        return token.Covers(path)
            ? VerifyLife(token)
            : Admission.Refuse(HubErrors.Unauthorized, "the token was made for another resource: its sr is not the beginning of what was asked for");
    }

    /// <summary>Asks whether the token is in force now.</summary>
    /// <returns>The refusal; null when it is.</returns>
    internal Admission? VerifyLife(in SharedAccessSignature token)
    {
        var now = time.GetUtcNow();
        if (token.IsExpired(now))
            return Admission.Refuse(HubErrors.Unauthorized, $"the token expired at {token.Expires:u}") with { ClockSkew = token.Expires - now };
        if (options.MaxLifetime is { } maximum && token.Expires - now > maximum + SharedAccessSignature.ClockSkew)
            return Admission.Refuse(HubErrors.Unauthorized, $"the token lives until {token.Expires:u}, longer than the {maximum.TotalMinutes:0} minutes that this hub allows (Access:MaxTokenLifetimeMinutes)");

        return revoked.IsRevoked(token) ? Admission.Refuse(HubErrors.Unauthorized, "the token was revoked (token revoke)") : null;
    }

    /// <summary>Asks whether the tokens of the identity were reset.</summary>
    /// <returns>The refusal; null when the token does not fall under a reset.</returns>
    internal Admission? VerifyReset(in SharedAccessSignature token, Identity identity, string generationId) =>
        revoked.RefusedUntil(identity, generationId) is { } until && token.Expires <= until
            ? Admission.Refuse(HubErrors.Unauthorized, $"the tokens of this identity were reset: those that end until {until:u} are refused (token reset)")
            : null;
}
