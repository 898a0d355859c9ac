using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Commands that were given up: look at them, send them again, delete them. Ours: Azure IoT Hub has no such view.</summary>
internal sealed class DeadCommandRoutes(CommandQueues commands, IAuditTrail audit)
{
    private const int DefaultTop = 100;
    private const int MaxTop = 1000;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/dead-commands", ListAsync).Requires(Rights.CommandSend).KeepsToScope()
            .Describe("Lists commands that were given up, the oldest first, with why: after (a number), top 1 to 1000.", answer: HttpJson.Wire.ListCommandJson);
        routes.MapGet("/manage/v1/devices/{id}/dead-commands", ListAsync).Requires(Rights.CommandSend)
            .Describe("Lists commands of a device and its modules that were given up, with why: after (a number), top 1 to 1000.", answer: HttpJson.Wire.ListCommandJson);
        routes.MapPost("/manage/v1/devices/{id}/dead-commands/{number}/replay", ReplayAsync).Requires(Rights.CommandSend)
            .Describe("Sends a command that was given up again, as if it were new.", answer: HttpJson.Wire.CommandSentJson);
        routes.MapDelete("/manage/v1/devices/{id}/dead-commands/{number}", DeleteAsync).Requires(Rights.CommandSend)
            .Describe("Deletes a command that was given up.");
    }

    private Task ListAsync(HttpContext context)
    {
        var deviceId = context.RouteId("id") is null ? null : context.RouteIdentity().DeviceId;
        var (after, top) = (Number(context, "after", 0, long.MaxValue, 0), (int)Number(context, "top", 1, MaxTop, DefaultTop));
        var scope = context.Caller().Principal!.Scope;
        var listed = commands.ListDead(deviceId, after, top).Where(dead => scope.CoversDevice(dead.Command.DeviceId));
        return context.WriteJsonAsync([.. listed.Select(dead => CommandJson.Of(dead))], HttpJson.Wire.ListCommandJson);
    }

    private async Task ReplayAsync(HttpContext context)
    {
        var sequence = await commands.ReplayAsync(context.Actor(), audit, context.RouteIdentity().DeviceId, NumberOf(context), context.RequestAborted);
        await context.WriteJsonAsync(new CommandSentJson(sequence, null), HttpJson.Wire.CommandSentJson);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await commands.DeleteDeadAsync(context.Actor(), audit, context.RouteIdentity().DeviceId, NumberOf(context), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static long NumberOf(HttpContext context) =>
        long.TryParse(context.RouteId("number"), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw new HubException(HubErrors.NotFound, "a dead command has a number");

    private static long Number(HttpContext context, string name, long min, long max, long otherwise)
    {
        if (!context.Request.Query.TryGetValue(name, out var text))
            return otherwise;
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max
            ? number
            : throw new HubException(HubErrors.ArgumentInvalid, $"{name}: {min} to {max}");
    }
}
