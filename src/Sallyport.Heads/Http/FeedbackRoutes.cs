using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;

namespace Sallyport.Heads.Http;

/// <summary>
/// Feedback on commands over HTTPS, Azure IoT Hub's: a batch, and its lock token as ETag. It is about all devices, so nobody whose rights are
/// limited to some gets it.
/// </summary>
internal sealed class FeedbackRoutes(Feedback feedback, PrivilegedReads reads)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/messages/serviceBound/feedback", ReceiveAsync).Requires(Rights.CommandSend).Describe("Gives the next batch of feedback on commands and locks it; 204 when there is none.");
        routes.MapDelete("/messages/serviceBound/feedback/{lock}", CompleteAsync).Requires(Rights.CommandSend).Describe("Completes a batch of feedback.");
        routes.MapPost("/messages/serviceBound/feedback/{lock}/abandon", AbandonAsync).Requires(Rights.CommandSend).Describe("Lets a batch of feedback wait again.");
    }

    private async Task ReceiveAsync(HttpContext context)
    {
        reads.Note(context.Actor(), "feedback read", "");
        if (feedback.Receive(holder: null) is not { } locked)
        {
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        context.Response.Headers.ETag = $"\"{locked.Token:D}\"";
        context.Response.ContentType = Feedback.ContentType;
        context.Response.ContentLength = locked.Body.Length;
        await context.Response.Body.WriteAsync(locked.Body, context.RequestAborted);
    }

    private async Task CompleteAsync(HttpContext context)
    {
        DeviceCommandRoutes.Require(await feedback.CompleteAsync(context.LockToken()));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task AbandonAsync(HttpContext context)
    {
        DeviceCommandRoutes.Require(await feedback.AbandonAsync(context.LockToken()));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
