using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

// Scheduled jobs; what became of them on each device is a query of devices.jobs. They throw what SendAsync throws.
public sealed partial class ServiceClient
{
    /// <summary>Makes a job.</summary>
    /// <param name="job">As in IoT Hub's request: <c>type</c>, <c>queryCondition</c>, <c>updateTwin</c> or <c>cloudToDeviceMethod</c>, …; <c>jobId</c> is filled in.</param>
    public Task<JsonObject> CreateJobAsync(string jobId, JsonObject job, CancellationToken cancel = default)
    {
        var body = job.DeepClone().AsObject();
        body["jobId"] = jobId;
        return PutAsync(Job(jobId), body, null, cancel);
    }

    public Task<JsonObject> GetJobAsync(string jobId, CancellationToken cancel = default) => GetAsync(Job(jobId), cancel);

    /// <summary>Cancels a job that is not over; what it did stays done.</summary>
    public async Task<JsonObject> CancelJobAsync(string jobId, CancellationToken cancel = default) =>
        Expect<JsonObject>(await SendAsync(HttpMethod.Post, $"{Job(jobId)}/cancel", null, null, cancel).ConfigureAwait(false), Job(jobId));

    /// <summary>Jobs, the newest first; asks for page after page as they are taken.</summary>
    /// <param name="type">Only of this type; null for all.</param>
    /// <param name="status">Only in this state; null for all.</param>
    public IAsyncEnumerable<JsonObject> ListJobsAsync(string? type = null, string? status = null, int? pageRows = null, CancellationToken cancel = default) =>
        RowsAsync(HttpMethod.Get, $"jobs/v2/query?jobType={Uri.EscapeDataString(type ?? "")}&jobStatus={Uri.EscapeDataString(status ?? "")}", null, pageRows, cancel);

    private static string Job(string jobId) => $"jobs/v2/{Uri.EscapeDataString(jobId)}";
}
