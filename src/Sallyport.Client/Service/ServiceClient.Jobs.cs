using System.Globalization;
using System.Runtime.CompilerServices;
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
    public async IAsyncEnumerable<JsonObject> ListJobsAsync(
        string? type = null, string? status = null, int? pageRows = null, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var path = $"jobs/v2/query?jobType={Uri.EscapeDataString(type ?? "")}&jobStatus={Uri.EscapeDataString(status ?? "")}";
        string? continuation = null;
        do
        {
            var after = continuation;
            var (answer, headers) = await ExchangeAsync(
                () =>
                {
                    var request = Request(HttpMethod.Get, path, null, null);
                    if (pageRows is { } rows)
                        request.Headers.TryAddWithoutValidation("x-ms-max-item-count", rows.ToString(CultureInfo.InvariantCulture));
                    if (after is not null)
                        request.Headers.TryAddWithoutValidation(ContinuationHeader, after);
                    return request;
                },
                _timeout, cancel).ConfigureAwait(false);
            continuation = Header(headers, ContinuationHeader);
            foreach (var job in Expect<JsonArray>(answer, path))
                yield return job!.AsObject();
        }
        while (continuation is not null);
    }

    private static string Job(string jobId) => $"jobs/v2/{Uri.EscapeDataString(jobId)}";
}
