using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>
/// What services are told of uploads, over HTTPS, as <see cref="FeedbackRoutes"/> of commands. It is about all devices, so nobody whose rights are
/// limited to some gets it.
/// </summary>
internal sealed class FileNotificationRoutes(FileNotifications notifications, PrivilegedReads reads)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        const string Root = "/messages/serviceBound/filenotifications";
        routes.MapGet(Root, ReceiveAsync).Requires(Rights.CommandSend).Describe("Gives the next file notification and locks it; 204 when there is none.");
        routes.MapDelete($"{Root}/{{lock}}", CompleteAsync).Requires(Rights.CommandSend).Describe("Completes a file notification.");
        routes.MapPost($"{Root}/{{lock}}/abandon", AbandonAsync).Requires(Rights.CommandSend).Describe("Lets a file notification wait again.");
    }

    private async Task ReceiveAsync(HttpContext context)
    {
        reads.Note(context.Actor(), "file-notification read", "");
        if (notifications.Receive(holder: null) is not { } locked)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        context.Response.Headers.ETag = $"\"{locked.Token:D}\"";
        context.Response.ContentType = FileNotifications.ContentType;
        context.Response.ContentLength = locked.Body.Length;
        await context.Response.Body.WriteAsync(locked.Body, context.RequestAborted);
    }

    private async Task CompleteAsync(HttpContext context)
    {
        DeviceCommandRoutes.Require(await notifications.CompleteAsync(context.LockToken()));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task AbandonAsync(HttpContext context)
    {
        DeviceCommandRoutes.Require(await notifications.AbandonAsync(context.LockToken()));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
