using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>
/// Quarantine of devices. Whoever may disable a device may also put it away; taking it back into the fold needs the right to manage access
/// too, so that a provisioning service that was taken over cannot wash a stolen device clean.
/// </summary>
internal sealed class QuarantineRoutes(Quarantine quarantine)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/quarantine", ListAsync).Requires(Rights.RegistryRead)
            .Describe("Lists devices in quarantine in the order of their ids: after, top 1 to 1000.", answer: HttpJson.Wire.ListQuarantineJson);
        routes.MapGet("/manage/v1/devices/{id}/quarantine", GetAsync).Requires(Rights.RegistryRead)
            .Describe("Says whether a device is in quarantine, since when, by whom and why.", answer: HttpJson.Wire.QuarantineJson);
        routes.MapPut("/manage/v1/devices/{id}/quarantine", PlaceAsync).Requires(Rights.RegistryWrite)
            .Describe("Puts a device into quarantine, with its modules.", HttpJson.Wire.QuarantineRequestJson, HttpJson.Wire.QuarantineJson);
        routes.MapDelete("/manage/v1/devices/{id}/quarantine", ReleaseAsync).Requires(Rights.RegistryWrite | Rights.AccessManage)
            .Describe("Releases a device from quarantine; reason.");
    }

    private Task ListAsync(HttpContext context)
    {
        var after = context.Request.Query["after"].ToString();
        var listed = quarantine.List(after.Length == 0 ? null : after, RegistryRoutes.TopOf(context));
        return context.WriteJsonAsync([.. listed.Select(record => QuarantineJson.Of(record.DeviceId, record))], HttpJson.Wire.ListQuarantineJson);
    }

    private Task GetAsync(HttpContext context)
    {
        var deviceId = context.RouteIdentity().DeviceId;
        return quarantine.Knows(deviceId)
            ? context.WriteJsonAsync(QuarantineJson.Of(deviceId, quarantine.Find(deviceId)), HttpJson.Wire.QuarantineJson)
            : throw new HubException(HubErrors.DeviceNotFound, $"there is no device {deviceId}");
    }

    private async Task PlaceAsync(HttpContext context)
    {
        var deviceId = context.RouteIdentity().DeviceId;
        var request = await context.ReadJsonAsync(HttpJson.Wire.QuarantineRequestJson);
        var record = await quarantine.PlaceAsync(context.Actor(), deviceId, request.Reason ?? "", context.RequestAborted);
        await context.WriteJsonAsync(QuarantineJson.Of(deviceId, record), HttpJson.Wire.QuarantineJson);
    }

    private async Task ReleaseAsync(HttpContext context)
    {
        await quarantine.ReleaseAsync(context.Actor(), context.RouteIdentity().DeviceId, context.Request.Query["reason"].ToString(), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}

/// <param name="Since">Null, as what follows, when it is not in quarantine.</param>
/// <param name="PlacedBy">Who, as in the audit trail, or the rule: <c>rule:tamper</c>, <c>rule:clone</c>.</param>
internal sealed record QuarantineJson(string DeviceId, bool InQuarantine, DateTime? Since, string? PlacedBy, string? Reason)
{
    public static QuarantineJson Of(string deviceId, QuarantineRecord? record) =>
        new(deviceId, record is not null, record?.Since.UtcDateTime, record?.PlacedBy, record?.Reason);
}

/// <param name="Reason">At most 512 characters.</param>
internal sealed record QuarantineRequestJson(string? Reason);
