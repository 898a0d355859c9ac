using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Heads;
using Sallyport.Hub.Access;

namespace Sallyport.Up;

/// <summary>
/// Health for supervisors, without credentials because it says nothing but yes or no; metrics for those who may see how the hub
/// is used.
/// </summary>
internal static class MonitoringRoutes
{
    /// <param name="isReady">Whether the hub would take telemetry.</param>
    public static void Map(IEndpointRouteBuilder routes, Func<bool> isReady)
    {
        routes.MapGet("/health/live", (HttpContext context) => AnswerAsync(context, StatusCodes.Status200OK, "live\n")).Requires(Rights.None);
        routes.MapGet("/health/ready", (HttpContext context) => isReady()
            ? AnswerAsync(context, StatusCodes.Status200OK, "ready\n")
            : AnswerAsync(context, StatusCodes.Status503ServiceUnavailable, "not ready\n")).Requires(Rights.None);
        routes.MapPrometheusScrapingEndpoint("/metrics").Requires(Rights.AuditRead);
    }

    private static Task AnswerAsync(HttpContext context, int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text, context.RequestAborted);
    }
}
