using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>
/// What services are told over HTTPS of what became of commands, and of file uploads. It is about all devices, so nobody whose rights are limited to some gets
/// it.
/// </summary>
internal sealed class NoticeRoutes(Feedback feedback, FileNotifications notifications, PrivilegedReads reads)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        Map(routes, feedback, "/messages/serviceBound/feedback", "feedback read", "batch of feedback on commands");
        Map(routes, notifications, "/messages/serviceBound/filenotifications", "file-notification read", "file notification");
    }

    private void Map(IEndpointRouteBuilder routes, IServiceNotices notices, string root, string action, string what)
    {
        routes.MapGet(root, context => ReceiveAsync(context, notices, action)).Requires(Rights.CommandSend).Describe($"Gives the next {what} and locks it; 204 when there is none.");
        routes.MapDelete($"{root}/{{lock}}", async context => Settled(context, await notices.CompleteAsync(context.LockToken()))).Requires(Rights.CommandSend).Describe($"Completes a {what}.");
        routes.MapPost($"{root}/{{lock}}/abandon", async context => Settled(context, await notices.AbandonAsync(context.LockToken()))).Requires(Rights.CommandSend).Describe($"Lets a {what} wait again.");
    }

    private async Task ReceiveAsync(HttpContext context, IServiceNotices notices, string action)
    {
        reads.Note(context.Actor(), action, "");
        if (notices.Receive(holder: null) is not { } locked)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        context.Response.Headers.ETag = $"\"{locked.Token:D}\"";
        context.Response.ContentType = notices.ContentType;
        context.Response.ContentLength = locked.Body.Length;
        await context.Response.Body.WriteAsync(locked.Body, context.RequestAborted);
    }

    private static void Settled(HttpContext context, bool isIts)
    {
        DeviceCommandRoutes.Require(isIts);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
