using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Messages;

namespace Sallyport.Heads.Http;

/// <summary>
/// A device's commands over HTTPS: it asks for the next one, and completes, rejects or abandons it by the lock token that came as its ETag. In
/// quarantine there is nothing for it.
/// </summary>
internal sealed class DeviceCommandRoutes(CommandQueues commands, ActivityWriteBack activity)
{
    private static readonly string[] Roots = ["/devices/{id}/messages/deviceBound", "/devices/{id}/modules/{moduleId}/messages/deviceBound"];

    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var root in Roots)
        {
            routes.MapGet(root, ReceiveAsync).RequiresDevice().Describe("Gives the device its next command and locks it; 204 when there is none.");
            routes.MapDelete($"{root}/{{lock}}", CompleteAsync).RequiresDevice().Describe("Completes a command, or with ?reject gives it up.");
            routes.MapPost($"{root}/{{lock}}/abandon", AbandonAsync).RequiresDevice().Describe("Lets a command wait again.");
        }
    }

    private async Task ReceiveAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        activity.Seen(identity);
        if (commands.Receive(identity, context.Caller().GenerationId, holder: null, 1) is not [var locked])
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        var properties = new MessageProperties();
        var headers = context.Response.Headers;
        DeviceMessage.Read(locked.Command.Message, properties, out var body);
        var content = body.ToArray();
        HttpMessageProperties.Write(headers, properties);
        headers.ETag = $"\"{locked.Token:D}\"";
        headers["iothub-sequencenumber"] = locked.Command.Sequence.ToString(CultureInfo.InvariantCulture);
        headers["iothub-enqueuedtime"] = locked.Command.EnqueuedTime.UtcDateTime.ToString("O", CultureInfo.InvariantCulture);
        headers["iothub-deliverycount"] = locked.Command.DeliveryCount.ToString(CultureInfo.InvariantCulture);
        context.Response.ContentLength = content.Length;
        await context.Response.Body.WriteAsync(content, context.RequestAborted);
    }

    private async Task CompleteAsync(HttpContext context)
    {
        var (identity, token) = (context.RouteIdentity(), context.LockToken());
        Require(context.Request.Query.ContainsKey("reject") ? await commands.RejectAsync(identity, token) : await commands.CompleteAsync(identity, token));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task AbandonAsync(HttpContext context)
    {
        Require(await commands.AbandonAsync(context.RouteIdentity(), context.LockToken()));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <exception cref="HubException">412: the lock has ended.</exception>
    internal static void Require(bool settled)
    {
        if (!settled)
            throw new HubException(HubErrors.DeviceMessageLockLost, HubErrors.DeviceMessageLockLost.Meaning);
    }
}

internal static class LockTokens
{
    /// <summary>The lock token that the path names.</summary>
    /// <exception cref="HubException">412: it is none that the hub ever gave.</exception>
    public static Guid LockToken(this HttpContext context) =>
        Guid.TryParse(context.RouteId("lock")?.Trim('"'), out var token) ? token : throw new HubException(HubErrors.DeviceMessageLockLost, "that is no lock token of this hub");
}
