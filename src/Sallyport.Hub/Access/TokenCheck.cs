using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>What every bearer of a token has to pass, in one order, whoever it is.</summary>
internal static class TokenCheck
{
    /// <summary>Reads the token and asks whether it was made for this hub, spoken to by one of its names.</summary>
    /// <returns>The refusal; null when <paramref name="token"/> was read.</returns>
    public static Admission? Read(string text, string hostName, HubNames names, out SharedAccessSignature? token)
    {
        token = null;
        if (!names.Contains(hostName))
            return Admission.Refuse(HubErrors.IotHubNotFound, "the host name that the client speaks to is not one of this hub (--host)");

        token = SharedAccessSignature.TryParse(text, out var malformed);
        if (token is null)
            return Admission.Refuse(HubErrors.Unauthorized, malformed);

        return names.Contains(token.Host)
            ? null
            : Admission.Refuse(HubErrors.IotHubNotFound, "the token was made for another host (--host)");
    }

    /// <summary>
    /// Asks who made the token, for what, and until when. The signature is always computed, also against keys that nobody has.
    /// </summary>
    /// <param name="keys">Null when there is no such identity or policy.</param>
    /// <param name="unknown">The reason when <paramref name="keys"/> is null.</param>
    /// <returns>The refusal, on the wire always the same; null when the token is good for <paramref name="path"/>.</returns>
    public static Admission? Verify(SharedAccessSignature token, KeyPair? keys, string unknown, string path, DateTimeOffset now)
    {
        var checkedKeys = keys ?? KeyPair.Decoy;
        var isSigned = token.IsSignedWith(checkedKeys.Primary, checkedKeys.Secondary);
        if (keys is null)
            return Admission.Refuse(HubErrors.Unauthorized, unknown);
        if (!isSigned)
            return Admission.Refuse(HubErrors.Unauthorized, "the token was signed with neither the primary nor the secondary key");
        if (!token.Covers(path))
            return Admission.Refuse(HubErrors.Unauthorized, "the token was made for another resource: its sr is not the beginning of what was asked for");

        return token.IsExpired(now)
            ? Admission.Refuse(HubErrors.Unauthorized, $"the token expired at {token.Expires:u}") with { ClockSkew = token.Expires - now }
            : null;
    }
}
