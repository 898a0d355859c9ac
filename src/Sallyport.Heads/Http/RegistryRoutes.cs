using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Azure IoT Hub's registry REST: devices, modules, statistics. Any <c>api-version</c>, or none, is taken.</summary>
internal sealed class RegistryRoutes(DeviceRegistry registry, PrivilegedReads reads)
{
    /// <summary>Request: the last id of the page before. Response: the last id of this page, when there are more. Ours: IoT Hub's list ends at 1,000.</summary>
    private const string ContinuationHeader = "x-ms-continuation";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/devices", ListAsync).Requires(Rights.RegistryRead).KeepsToScope()
            .Describe("Lists devices in the order of their ids; top 1 to 1000.", answer: HttpJson.Wire.ListIdentityJson);
        routes.MapGet("/devices/{id}", GetAsync).Requires(Rights.RegistryRead)
            .Describe("Shows a device.", answer: HttpJson.Wire.IdentityJson);
        routes.MapPut("/devices/{id}", PutAsync).Requires(Rights.RegistryWrite)
            .Describe("Creates a device; with If-Match changes it.", HttpJson.Wire.IdentityRequestJson, HttpJson.Wire.IdentityJson);
        routes.MapDelete("/devices/{id}", DeleteAsync).Requires(Rights.RegistryWrite)
            .Describe("Deletes a device and its modules.");
        routes.MapGet("/devices/{id}/modules", ListModulesAsync).Requires(Rights.RegistryRead)
            .Describe("Lists the modules of a device.", answer: HttpJson.Wire.ListIdentityJson);
        routes.MapGet("/devices/{id}/modules/{moduleId}", GetAsync).Requires(Rights.RegistryRead)
            .Describe("Shows a module.", answer: HttpJson.Wire.IdentityJson);
        routes.MapPut("/devices/{id}/modules/{moduleId}", PutAsync).Requires(Rights.RegistryWrite)
            .Describe("Creates a module; with If-Match changes it.", HttpJson.Wire.IdentityRequestJson, HttpJson.Wire.IdentityJson);
        routes.MapDelete("/devices/{id}/modules/{moduleId}", DeleteAsync).Requires(Rights.RegistryWrite)
            .Describe("Deletes a module.");
        routes.MapGet("/statistics/devices", CountDevicesAsync).Requires(Rights.RegistryRead)
            .Describe("Counts devices.", answer: HttpJson.Wire.RegistryStatisticsJson);
        routes.MapGet("/statistics/service", CountConnectedAsync).Requires(Rights.RegistryRead)
            .Describe("Counts devices and modules that are connected.", answer: HttpJson.Wire.ServiceStatisticsJson);
    }

    private async Task GetAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        await Answer(context, await ReadAsync(context, identity.ToString(), () => registry.Get(identity)));
    }

    /// <summary>Who holds the right to see keys gets them with the identity: that is recorded.</summary>
    private async ValueTask<T> ReadAsync<T>(HttpContext context, string target, Func<T> read) =>
        context.Held().HasFlag(Rights.RegistrySecrets) ? await reads.ReadAsync(context.Actor(), "device read-keys", target, read, context.RequestAborted) : read();

    private async Task PutAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var request = await context.ReadJsonAsync(HttpJson.Wire.IdentityRequestJson);
        RequireSame("deviceId", request.DeviceId, identity.DeviceId);
        RequireSame("moduleId", request.ModuleId, identity.ModuleId);

        var condition = ConditionOf(context);
        var change = new IdentityChange(
            identity, condition is null ? PutMode.Create : PutMode.Update, request.ToDraft(), condition ?? EntityTagCondition.Any);
        var state = await registry.ChangeAsync(context.Actor(), change, context.RequestAborted);
        await Answer(context, state!);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        var change = IdentityChange.Delete(context.RouteIdentity(), ConditionOf(context) ?? EntityTagCondition.Any);
        await registry.ChangeAsync(context.Actor(), change, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task ListAsync(HttpContext context)
    {
        var after = context.Request.Headers[ContinuationHeader].ToString();
        var top = TopOf(context);
        var devices = await ReadAsync(context, "*", () => registry.ListDevices(context.Caller().Principal!.Scope, after.Length == 0 ? null : after, top));
        if (devices.Count == top)
            context.Response.Headers[ContinuationHeader] = devices[^1].Record.DeviceId;
        await Answer(context, devices);
    }

    private async Task ListModulesAsync(HttpContext context)
    {
        var device = context.RouteIdentity().DeviceId;
        await Answer(context, await ReadAsync(context, $"{device}/*", () => registry.ListModules(device)));
    }

    private Task CountDevicesAsync(HttpContext context)
    {
        var (total, enabled) = registry.CountDevices();
        return context.WriteJsonAsync(new RegistryStatisticsJson(total, enabled, total - enabled), HttpJson.Wire.RegistryStatisticsJson);
    }

    private Task CountConnectedAsync(HttpContext context) =>
        context.WriteJsonAsync(new ServiceStatisticsJson(registry.ConnectedCount), HttpJson.Wire.ServiceStatisticsJson);

    internal static int TopOf(HttpContext context)
    {
        if (!context.Request.Query.TryGetValue("top", out var text))
            return DeviceRegistry.MaxListed;

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var top) && top is >= 1 and <= DeviceRegistry.MaxListed
            ? top
            : throw new HubException(HubErrors.ArgumentInvalid, $"top: 1 to {DeviceRegistry.MaxListed}");
    }

    private static EntityTagCondition? ConditionOf(HttpContext context) =>
        context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : null;

    private static void RequireSame(string field, string? given, string? inPath)
    {
        if (given is not null && given != inPath)
            throw new HubException(HubErrors.ArgumentInvalid, $"{field}: is not the one in the path");
    }

    // No ETag header: the .NET service SDK would put it, quotes and all, over the body's etag.
    private static Task Answer(HttpContext context, IdentityState state) =>
        context.WriteJsonAsync(IdentityJson.Of(state, context.Held()), HttpJson.Wire.IdentityJson);

    private static Task Answer(HttpContext context, IReadOnlyList<IdentityState> states)
    {
        var held = context.Held();
        return context.WriteJsonAsync([.. states.Select(state => IdentityJson.Of(state, held))], HttpJson.Wire.ListIdentityJson);
    }
}

internal sealed record RegistryStatisticsJson(long TotalDeviceCount, long EnabledDeviceCount, long DisabledDeviceCount);

internal sealed record ServiceStatisticsJson(long ConnectedDeviceCount);
