using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Jobs;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>
/// Azure IoT Hub's REST of scheduled jobs, <c>/jobs/v2</c>. Any <c>api-version</c>, or none, is taken. What became of each device is a query of
/// <c>devices.jobs</c> (<see cref="QueryRoutes"/>).
/// </summary>
internal sealed class JobRoutes(ScheduledJobs jobs, IMetadata metadata, TimeProvider time)
{
    private const int DefaultRows = 100;
    private const int MaxRows = 1000;
    private const long MaxPageBytes = 4L << 20;

    // IoT Hub's words that no job here has; SDKs let one ask for them.
    private static readonly string[] OtherTypes =
    [
        "unknown", "export", "import", "backup", "readDeviceProperties", "writeDeviceProperties", "updateDeviceConfiguration", "rebootDevice", "factoryResetDevice", "firmwareUpdate",
    ];

    private static readonly string[] OtherStates = ["unknown", "enqueued"];

    public void Map(IEndpointRouteBuilder routes)
    {
        // Not {id}: that is a device's, and who is limited to some devices is let in by it.
        routes.MapPut("/jobs/v2/{jobId}", CreateAsync).Requires(Rights.JobManage).KeepsToScope()
            .Describe("Makes a job that changes twins or calls methods of all devices that a condition is true of.", HttpJson.Wire.JobRequest, HttpJson.Wire.JobJson);
        routes.MapGet("/jobs/v2/{jobId}", ShowAsync).Requires(Rights.JobManage).KeepsToScope()
            .Describe("Shows a job and how far it is.", answer: HttpJson.Wire.JobJson);
        routes.MapPost("/jobs/v2/{jobId}/cancel", CancelAsync).Requires(Rights.JobManage).KeepsToScope()
            .Describe("Cancels a job; what it did stays done.", answer: HttpJson.Wire.JobJson);
        routes.MapGet("/jobs/v2/query", ListAsync).Requires(Rights.JobManage).KeepsToScope()
            .Describe("Lists jobs, the newest first, a page a request: jobType, jobStatus.", answer: HttpJson.Wire.ListJobJson);
    }

    private async Task CreateAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.JobRequest);
        var job = await jobs.CreateAsync(context.Actor(), JobDraft.Of(context.RouteId("jobId")!, request, time.GetUtcNow()), context.RequestAborted);
        await AnswerAsync(context, job);
    }

    private Task ShowAsync(HttpContext context)
    {
        var (scope, id) = (context.Caller().Principal!.Scope, context.RouteId("jobId")!);
        try
        {
            return AnswerAsync(context, jobs.Get(scope, id));
        }
        catch (HubException none) when (none.Error == HubErrors.JobNotFound && !scope.LimitsDevices && metadata.Read(tx => metadata.RegistryJobs.Find(tx, id)) is not null)
        {
            // An import or export job: az asks here first, and by this word looks for it where those are.
            return context.WriteJsonAsync(new OtherJobJson(id, "unknown", "unknown"), HttpJson.Wire.OtherJobJson);
        }
    }

    private async Task CancelAsync(HttpContext context) =>
        await AnswerAsync(context, await jobs.CancelAsync(context.Actor(), context.RouteId("jobId")!, context.RequestAborted));

    private Task ListAsync(HttpContext context)
    {
        var rows = Math.Min(QueryRoutes.MaxRowsOf(context) ?? DefaultRows, MaxRows);
        if (rows < 1)
            throw new HubException(HubErrors.ArgumentInvalid, "x-ms-max-item-count: a number from 1");

        context.Response.Headers[QueryRoutes.ItemTypeHeader] = "JobResponse";
        if (IsOneOf(OtherTypes, context, "jobType") || IsOneOf(OtherStates, context, "jobStatus"))
            return context.WriteJsonAsync([], HttpJson.Wire.ListJobJson);

        var (listed, next) = jobs.List(
            context.Caller().Principal!.Scope, Named<JobType>(context, "jobType"), Named<JobStatus>(context, "jobStatus"), BeforeOf(context), rows, MaxPageBytes);
        if (next is { } before)
            context.Response.Headers[QueryRoutes.ContinuationHeader] = before.ToString(CultureInfo.InvariantCulture);
        return context.WriteJsonAsync([.. listed.Select(JobJson.Of)], HttpJson.Wire.ListJobJson);
    }

    private static Task AnswerAsync(HttpContext context, JobRecord job) => context.WriteJsonAsync(JobJson.Of(job), HttpJson.Wire.JobJson);

    private static bool IsOneOf(string[] names, HttpContext context, string name) => names.Contains(context.Request.Query[name].ToString(), StringComparer.OrdinalIgnoreCase);

    // SDKs leave a filter out, or send it empty.
    private static T? Named<T>(HttpContext context, string name)
        where T : struct, Enum
    {
        var text = context.Request.Query[name].ToString();
        return text.Length == 0 ? null
            : HttpJsonBody.TryName<T>(text, out var value) ? value
            : throw new HubException(HubErrors.ArgumentInvalid, $"{name}: one of {string.Join(", ", Enum.GetNames<T>().Select(System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName))}");
    }

    private static long? BeforeOf(HttpContext context)
    {
        var text = context.Request.Headers[QueryRoutes.ContinuationHeader].ToString();
        return text.Length == 0 ? null
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var before) ? before
            : throw new HubException(HubErrors.ArgumentInvalid, "x-ms-continuation: is not what a page of this list gave; send the request without it to begin anew");
    }
}
