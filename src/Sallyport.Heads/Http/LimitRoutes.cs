using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>What is left of the limits, who is held back, and the IP filter.</summary>
internal sealed class LimitRoutes(Quotas quotas, FailureBackoff backoff, PreAuthenticationLimits limits, ConnectedDevices connected, IpFilter filter)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/limits", ShowAsync).Requires(Rights.AuditRead)
            .Describe("What the hub has left of its limits, what waits before authentication, and which addresses fail.", answer: HttpJson.Wire.LimitsJson);
        routes.MapGet("/manage/v1/devices/{id}/limits", ShowDeviceAsync).Requires(Rights.AuditRead)
            .Describe("What a device has left of its limits, and which addresses fail with its name.", answer: HttpJson.Wire.DeviceLimitsJson);
        routes.MapGet("/manage/v1/ip-filter", GetFilterAsync).Requires(Rights.AccessManage)
            .Describe("The IP filter rules in their order; the first that fits decides.", answer: HttpJson.Wire.IpFilterJson);
        routes.MapPut("/manage/v1/ip-filter", PutFilterAsync).Requires(Rights.AccessManage)
            .Describe("Replaces the IP filter rules, and cuts the connections that they deny.", HttpJson.Wire.IpFilterJson, HttpJson.Wire.IpFilterJson);
    }

    private Task ShowAsync(HttpContext context)
    {
        var (unauthenticated, bytes) = limits.Current;
        return context.WriteJsonAsync(
            new LimitsJson(
                QuotaJson.Of(quotas.Describe()),
                new AdmissionJson(unauthenticated, bytes, limits.Handshakes.Waiting, limits.Handshakes.Threads),
                [.. backoff.Describe().Select(FailingAddressJson.Of)]),
            HttpJson.Wire.LimitsJson);
    }

    private Task ShowDeviceAsync(HttpContext context)
    {
        return context.WriteJsonAsync(DeviceLimitsJson.Of(context.RouteIdentity(), quotas, backoff, connected), HttpJson.Wire.DeviceLimitsJson);
    }

    private Task GetFilterAsync(HttpContext context) => context.WriteJsonAsync(IpFilterJson.Of(filter.Current), HttpJson.Wire.IpFilterJson);

    private async Task PutFilterAsync(HttpContext context)
    {
        var body = await context.ReadJsonAsync(HttpJson.Wire.IpFilterJson);
        var rules = (body.Rules ?? throw new HubException(HubErrors.ArgumentInvalid, "rules: is missing")).Select(rule => rule.ToRule()).ToList();
        var next = await filter.ReplaceAsync(context.Actor(), rules, body.Version, context.Connection.RemoteIpAddress, body.Force, context.RequestAborted);
        await context.WriteJsonAsync(IpFilterJson.Of(next), HttpJson.Wire.IpFilterJson);
    }

    internal static double Seconds(TimeSpan span) => Math.Round(span.TotalSeconds, 1);
}

/// <param name="Left">Of what may come at once, 0 to 1.</param>
internal sealed record QuotaLevelJson(string Limit, long PerSecond, double Left);

/// <param name="Throttled">How often somebody was held back or answered 429, since the hub began to remember.</param>
internal sealed record QuotaJson(IReadOnlyList<QuotaLevelJson> Levels, long Throttled, DateTime? LastThrottled)
{
    public static QuotaJson Of(QuotaStanding standing) => new(
        [.. standing.Levels.Select(level => new QuotaLevelJson(level.Limit, level.PerSecond, level.Left))], standing.Throttled, standing.LastThrottled?.UtcDateTime);
}

/// <param name="Unauthenticated">Connections that have not authenticated, those that wait included.</param>
/// <param name="UnauthenticatedBytes">What they have sent.</param>
/// <param name="HandshakesWaiting">Those that wait for their TLS handshake.</param>
/// <param name="Handshakes">How many are computed at a time.</param>
internal sealed record AdmissionJson(int Unauthenticated, long UnauthenticatedBytes, int HandshakesWaiting, int Handshakes);

/// <param name="RefusedForSeconds">0: it is not refused.</param>
/// <param name="Refused">Sockets closed before TLS.</param>
internal sealed record FailingAddressJson(string Address, double Failures, double RefusedForSeconds, long Refused, bool HasDevices)
{
    public static FailingAddressJson Of(FailingAddress failing) =>
        new(failing.Address.ToString(), failing.Failures, LimitRoutes.Seconds(failing.RefusedFor), failing.Refused, failing.HasDevices);
}

/// <param name="FailingAddresses">At most 100, the worst first.</param>
internal sealed record LimitsJson(QuotaJson Hub, AdmissionJson Admission, IReadOnlyList<FailingAddressJson> FailingAddresses);

/// <param name="TakeOverDelaySeconds">How long who connects with its name now waits, because it takes itself over again and again.</param>
/// <param name="FailingAddresses">From where credentials for it are refused.</param>
internal sealed record DeviceLimitsJson(string DeviceId, QuotaJson Device, double TakeOverDelaySeconds, IReadOnlyList<FailingAddressJson> FailingAddresses)
{
    public static DeviceLimitsJson Of(Identity identity, Quotas quotas, FailureBackoff backoff, ConnectedDevices connected) => new(
        identity.ToString(), QuotaJson.Of(quotas.Describe(identity)), LimitRoutes.Seconds(connected.TakeOverDelay(identity)),
        [.. backoff.Describe(identity).Select(FailingAddressJson.Of)]);
}

/// <param name="Action"><c>allow</c> or <c>deny</c>.</param>
/// <param name="Network">An address, or a network such as <c>192.0.2.0/24</c> or <c>2001:db8::/32</c>.</param>
internal sealed record IpFilterRuleJson(string? Name, string? Action, string? Network)
{
    public IpFilterRule ToRule()
    {
        if (Action is not ("allow" or "deny"))
            throw new HubException(HubErrors.ArgumentInvalid, "action: allow or deny");

        IPNetwork network;
        if (IPAddress.TryParse(Network, out var address))
            network = new IPNetwork(address, address.AddressFamily is System.Net.Sockets.AddressFamily.InterNetworkV6 ? 128 : 32);
        else if (!IPNetwork.TryParse(Network, out network))
            throw new HubException(HubErrors.ArgumentInvalid, "network: an address, or a network such as 192.0.2.0/24");
        if (network.BaseAddress.IsIPv4MappedToIPv6)
            throw new HubException(HubErrors.ArgumentInvalid, "network: write IPv4 as IPv4");

        return new IpFilterRule(Name ?? throw new HubException(HubErrors.ArgumentInvalid, "name: is missing"), network, Action == "allow");
    }
}

/// <param name="Version">Of the rules that a change was made from; a change of others is refused (412). Null in a request: whatever they are.</param>
/// <param name="Force">In a request: also when the rules lock out who sends them.</param>
internal sealed record IpFilterJson(IReadOnlyList<IpFilterRuleJson>? Rules, string? Version, bool Force = false)
{
    public static IpFilterJson Of(IpFilterRules rules) => new(
        [.. rules.Rules.Select(rule => new IpFilterRuleJson(rule.Name, rule.Allows ? "allow" : "deny", rule.Network.ToString()))], rules.Version);
}
