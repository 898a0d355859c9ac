using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>
/// What IoT Edge's hub asks of those in its scope, as its module <c>$edgeHub</c> and as nobody else: the answers hold their keys. Each reading is in the
/// audit trail.
/// </summary>
internal sealed class ScopeRoutes(DeviceScopes scopes, PrivilegedReads reads)
{
    private const int DefaultPage = 100;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/devices/{id}/modules/{moduleId}/devicesAndModulesInDeviceScope", ListAsync).RequiresDevice()
            .Describe("For the hub of an edge device: itself, its modules, its children and their modules, with keys.", answer: HttpJson.Wire.ScopeResultJson);
        routes.MapGet("/devices/{id}/modules/{moduleId}/deviceAndModuleInDeviceScope", FindAsync).RequiresDevice()
            .Describe("For the hub of an edge device: one of those in its scope.", answer: HttpJson.Wire.ScopeResultJson);
        routes.MapPost("/devices/{id}/modules/{moduleId}/devicesAndModulesInTargetDeviceScope", ListTargetAsync).RequiresDevice()
            .Describe("The same for an edge device below it.", HttpJson.Wire.TargetScopeRequestJson, HttpJson.Wire.ScopeResultJson);
        routes.MapPost("/devices/{id}/modules/{moduleId}/getDeviceAndModuleOnBehalfOf", FindOnBehalfAsync).RequiresDevice()
            .Describe("One of those in the scope of an edge device below it.", HttpJson.Wire.OnBehalfRequestJson, HttpJson.Wire.ScopeResultJson);
    }

    private async Task ListAsync(HttpContext context)
    {
        var gateway = Gateway(context);
        var query = context.Request.Query;
        var top = PageOf(int.TryParse(query["deviceCount"], NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : 0);
        var after = query["continuationToken"].ToString();
        var page = await ReadAsync(context, gateway, () => scopes.List(gateway, gateway, AfterOf(after), top));
        await AnswerAsync(context, page, page.Next is { } next ? LinkTo(gateway, top, next) : null);
    }

    private async Task FindAsync(HttpContext context)
    {
        var gateway = Gateway(context);
        var target = TargetOf(context.Request.Query["targetDeviceId"], context.Request.Query["targetModuleId"]);
        await AnswerAsync(context, await ReadAsync(context, target.ToString(), () => scopes.Find(gateway, gateway, target)), null);
    }

    private async Task ListTargetAsync(HttpContext context)
    {
        var gateway = Gateway(context);
        var request = await context.ReadJsonAsync(HttpJson.Wire.TargetScopeRequestJson);
        var target = OriginOf(request.AuthChain);
        var page = await ReadAsync(context, target, () => scopes.List(gateway, target, AfterOf(request.ContinuationLink), PageOf(request.PageSize)));
        await AnswerAsync(context, page, page.Next);
    }

    private async Task FindOnBehalfAsync(HttpContext context)
    {
        var gateway = Gateway(context);
        var request = await context.ReadJsonAsync(HttpJson.Wire.OnBehalfRequestJson);
        var (origin, target) = (OriginOf(request.AuthChain), TargetOf(request.TargetDeviceId, request.TargetModuleId));
        await AnswerAsync(context, await ReadAsync(context, target.ToString(), () => scopes.Find(gateway, origin, target)), null);
    }

    // Taken as a relative address.
    private static string LinkTo(string gateway, int top, string after) =>
        $"/devices/{Uri.EscapeDataString(gateway)}/modules/%24edgeHub/devicesAndModulesInDeviceScope?deviceCount={top}&continuationToken={Uri.EscapeDataString(after)}&api-version=2018-08-30-preview";

    // A policy with DeviceConnect opens routes of devices, but sees no keys.
    private static string Gateway(HttpContext context)
    {
        var module = context.RouteIdentity();
        var caller = context.Caller().Principal!;
        return module.ModuleId == EdgeScope.HubModule && caller.Kind is PrincipalKind.Module && caller.Name == module.ToString()
            ? module.DeviceId
            : throw new HubException(HubErrors.UnauthorizedAccess, $"only the module {EdgeScope.HubModule} of an edge device is told what is in its scope");
    }

    private ValueTask<ScopePage> ReadAsync(HttpContext context, string target, Func<ScopePage> read) =>
        reads.ReadAsync(context.Actor(), "device read-keys", $"scope of {target}", read, context.RequestAborted);

    private static int PageOf(int asked) => asked is 0 ? DefaultPage : Math.Clamp(asked, 1, DeviceScopes.MaxPage);

    private static string? AfterOf(string? continuation) =>
        string.IsNullOrEmpty(continuation) ? null
        : Identity.IsValidId(continuation) ? continuation
        : throw new HubException(HubErrors.ArgumentInvalid, "the continuation is none of this hub's");

    // The first of the chain is the edge device that the question is about.
    private static string OriginOf(string? authChain) =>
        authChain?.Split(';')[0] is { } first && Identity.TryParse(first, out var origin)
            ? origin.DeviceId
            : throw new HubException(HubErrors.ArgumentInvalid, "authChain: ids of edge devices, separated by ;");

    private static Identity TargetOf(string? device, string? module) =>
        Identity.TryCreate(device, string.IsNullOrEmpty(module) ? null : module, out var target)
            ? target
            : throw new HubException(HubErrors.ArgumentInvalid, "targetDeviceId, targetModuleId: are not valid ids");

    private static Task AnswerAsync(HttpContext context, ScopePage page, string? link) => context.WriteJsonAsync(
        new ScopeResultJson([.. page.Devices.Select(device => IdentityJson.Of(device, AzureRights.All))], [.. page.Modules.Select(module => IdentityJson.Of(module, AzureRights.All))], link),
        HttpJson.Wire.ScopeResultJson);
}

/// <summary>Holds keys: never printed. IoT Edge wants all three members.</summary>
internal sealed record ScopeResultJson(List<IdentityJson> Devices, List<IdentityJson> Modules, string? ContinuationLink)
{
    public override string ToString() => nameof(ScopeResultJson);
}

internal sealed record TargetScopeRequestJson(int PageSize, string? ContinuationLink, string? AuthChain);

internal sealed record OnBehalfRequestJson(string? TargetDeviceId, string? TargetModuleId, string? AuthChain);
