using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// Commands for operators: send, look at, take in the place of the device, empty the queue. Services send over AMQP, as with Azure IoT Hub.
/// </summary>
internal sealed class CommandRoutes(CommandQueues commands, IAuditTrail audit)
{
    private static readonly string[] Owners = ["/devices/{id}", "/devices/{id}/modules/{moduleId}"];

    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var owner in Owners)
        {
            var root = $"/manage/v1{owner}/commands";
            routes.MapDelete($"{owner}/commands", PurgeAsync).Requires(Rights.CommandSend)
                .Describe("Empties the queue of commands.", answer: HttpJson.Wire.PurgeJson);
            routes.MapPost(root, SendAsync).Requires(Rights.CommandSend).WithMetadata(BodyLimit.Instance)
                .Describe("Sends a command.", HttpJson.Wire.CommandRequestJson, HttpJson.Wire.CommandSentJson);
            routes.MapGet(root, ListAsync).Requires(Rights.CommandSend)
                .Describe("Lists the commands that wait, the oldest first, without their bodies: top 1 to 1000.", answer: HttpJson.Wire.ListCommandJson);
            routes.MapPost($"{root}/receive", ReceiveAsync).Requires(Rights.CommandSend)
                .Describe("Takes the next command in the place of the device and locks it; 204 when there is none.", answer: HttpJson.Wire.CommandJson);
            routes.MapPost($"{root}/{{lock}}/complete", CompleteAsync).Requires(Rights.CommandSend).Describe("Completes a command that was taken.");
            routes.MapPost($"{root}/{{lock}}/abandon", AbandonAsync).Requires(Rights.CommandSend).Describe("Lets a command that was taken wait again.");
            routes.MapPost($"{root}/{{lock}}/reject", RejectAsync).Requires(Rights.CommandSend).Describe("Gives a command up that was taken.");
        }
    }

    private async Task SendAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.CommandRequestJson);
        var messageId = request.MessageId ?? Guid.NewGuid().ToString();
        var draft = (request with { MessageId = messageId }).ToDraft(context.RouteIdentity());
        await audit.RequireAsync(context.Actor().Done("command send", draft.To.ToString()), context.RequestAborted);
        long sequence;
        try
        {
            sequence = await commands.EnqueueAsync(draft, CancellationToken.None);
        }
        catch (HubException refusal)
        {
            audit.Note(context.Actor().Refused("command send", draft.To.ToString(), refusal.Message));
            throw;
        }

        await context.WriteJsonAsync(new CommandSentJson(sequence, messageId), HttpJson.Wire.CommandSentJson);
    }

    private Task ListAsync(HttpContext context)
    {
        var listed = commands.List(context.RouteIdentity(), RegistryRoutes.TopOf(context));
        return context.WriteJsonAsync([.. listed.Select(one => CommandJson.Of(one.Command, one.IsLocked))], HttpJson.Wire.ListCommandJson);
    }

    // What a device would have got: so it is recorded who took it.
    private async Task ReceiveAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var generation = commands.GenerationOf(identity);
        await audit.RequireAsync(context.Actor().Done("command receive", identity.ToString()), context.RequestAborted);
        if (commands.Receive(identity, generation, holder: null, 1) is not [var locked])
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        await context.WriteJsonAsync(CommandJson.Of(locked), HttpJson.Wire.CommandJson);
    }

    private Task CompleteAsync(HttpContext context) => SettleAsync(context, "command complete", commands.CompleteAsync);

    private Task AbandonAsync(HttpContext context) => SettleAsync(context, "command abandon", commands.AbandonAsync);

    private Task RejectAsync(HttpContext context) => SettleAsync(context, "command reject", commands.RejectAsync);

    private async Task SettleAsync(HttpContext context, string action, Func<Protocol.Identities.Identity, Guid, ValueTask<bool>> settle)
    {
        var (identity, token) = (context.RouteIdentity(), context.LockToken());
        await audit.RequireAsync(context.Actor().Done(action, identity.ToString()), context.RequestAborted);
        if (!await settle(identity, token))
        {
            audit.Note(context.Actor().Refused(action, identity.ToString(), HubErrors.DeviceMessageLockLost.Meaning));
            DeviceCommandRoutes.Require(settled: false);
        }

        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task PurgeAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var purged = await commands.PurgeAsync(context.Actor(), audit, identity, context.RequestAborted);
        await context.WriteJsonAsync(new PurgeJson(purged, identity.DeviceId, identity.ModuleId), HttpJson.Wire.PurgeJson);
    }

    private sealed class BodyLimit : IRequestSizeLimitMetadata
    {
        public static readonly BodyLimit Instance = new();

        // 64 KB in base64 or as escaped text, and JSON around it.
        public long? MaxRequestBodySize => 512 * 1024;
    }
}
