using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <content>
/// A child that comes through its gateway: the gateway's hub shows a token of its own (<c>edge/$edgeHub</c>) and speaks for what is in its scope, which
/// it has authenticated itself. Whether it is in its scope is the registry's word, never the gateway's.
/// </content>
public sealed partial class DeviceAuthenticator
{
    /// <summary>Whose token it is when it is that of a gateway and not of the one who connects; else null.</summary>
    private static Identity? GatewayOf(Identity identity, in SharedAccessSignature token)
    {
        if (token.Covers(DevicePath.Of(identity)))
            return null;

        foreach (var shown in DevicePath.Read(token.Path))
        {
            if (shown.ModuleId == EdgeScope.HubModule)
                return shown;
        }

        return null;
    }

    private Admission AuthenticateThrough(Identity gateway, Identity identity, in SharedAccessSignature token, string? authChain)
    {
        var credentials = identities.Find(gateway);
        var keys = credentials is { Authentication: IdentityAuthentication.Sas } ? credentials.Keys : null;
        if (tokens.Verify(token, keys, $"the token is that of a gateway, {gateway}, which is not registered or has no keys", DevicePath.Of(gateway)) is { } refusal)
            return refusal;
        if (tokens.VerifyReset(token, gateway, credentials!.GenerationId) is { } reset)
            return reset;
        if (!credentials.Enabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, $"its gateway {gateway.DeviceId} is disabled");

        // The gateway has proved its key, and may know which devices there are.
        if (identities.Find(identity) is not { } child)
            return Admission.Refuse(identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound, $"{NotRegistered(identity)}; the token was that of {gateway}");
        if (!child.Enabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, $"the device is disabled; the token was that of {gateway}");

        var chain = identities.WithParents(identity.DeviceId);
        var above = chain.TakeWhile(device => device.DeviceId != gateway.DeviceId).Count();
        if (above == chain.Count || !chain[above].IotEdge || (above == 0 && !identity.IsModule))
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"{identity} is not in the scope of {gateway.DeviceId}, whose token was shown");
        if (chain.Take(above + 1).FirstOrDefault(device => !device.Enabled) is { } disabled)
            return Admission.Refuse(HubErrors.DeviceNotFound, $"its gateway {disabled.DeviceId} is disabled");

        string[] known = [.. identity.IsModule ? [identity.ToString()] : (string[])[], .. chain.Select(device => device.DeviceId)];
        if (authChain is not null && !IsTrue(authChain, known, gateway.DeviceId))
            return Admission.Refuse(HubErrors.UnauthorizedAccess, $"the auth-chain that {gateway} gave is not how it is: {string.Join(';', known)}");

        string[] gateways = [.. chain.Skip(identity.IsModule ? 0 : 1).Take(above + (identity.IsModule ? 1 : 0)).Select(device => device.DeviceId)];
        var principal = new Principal(PrincipalKind.Module, gateway.ToString(), Rights.DeviceConnect, token.AcceptedUntil, AuthMethod.ModuleSas, token.Fingerprint.ToString()) { Gateways = gateways };
        return new Admission(principal, null, $"through {gateway} ({string.Join(';', known)})") { GenerationId = child.GenerationId };
    }

    // It may end at the gateway that speaks or say what is above that as well.
    private static bool IsTrue(string claimed, string[] known, string gateway)
    {
        var parts = claimed.Split(';');
        return parts.Length <= known.Length && parts.AsSpan().SequenceEqual(known.AsSpan(0, parts.Length)) && parts.Contains(gateway, StringComparer.Ordinal);
    }
}
