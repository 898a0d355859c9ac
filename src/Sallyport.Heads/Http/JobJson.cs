using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>A job as IoT Hub's <c>JobResponse</c>.</summary>
/// <param name="UpdateTwin">As it was given.</param>
/// <param name="CloudToDeviceMethod">As it was given.</param>
/// <param name="FailureReason">Why the job as a whole failed.</param>
/// <param name="StatusMessage">How far it is, in words.</param>
internal sealed record JobJson(
    string JobId, string QueryCondition, string CreatedTime, string StartTime,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? EndTime,
    long MaxExecutionTimeInSeconds, string Type,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? UpdateTwin,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? CloudToDeviceMethod,
    string Status,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? FailureReason,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? StatusMessage,
    JobStatisticsJson DeviceJobStatistics)
{
    public static JobJson Of(JobRecord job)
    {
        var act = JsonElement.Parse(job.Act);
        var isTwin = job.Type is JobType.ScheduleUpdateTwin;
        return new JobJson(
            job.JobId, job.QueryCondition, Time(job.CreatedTime), Time(job.StartTime), job.EndTime is { } end ? Time(end) : null, (long)job.MaxExecutionTime.TotalSeconds,
            Name(job.Type), isTwin ? act : null, isTwin ? null : act, Name(job.Status), job.FailureReason, MessageOf(job),
            new JobStatisticsJson(job.Devices, job.Failed, job.Succeeded, job.Running, job.Pending));
    }

    private static string? MessageOf(JobRecord job) =>
        job.Status is JobStatus.Running && !job.IsChosen ? $"choosing devices: {job.Devices} so far"
        : job.Canceled > 0 ? $"{job.Canceled} of {job.Devices} devices were cancelled"
        : null;

    private static string Time(DateTimeOffset time) => TwinTime.Text(time.UtcDateTime);

    private static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}

/// <param name="DeviceCount">Chosen so far; those that were cancelled are in none of the others.</param>
internal sealed record JobStatisticsJson(int DeviceCount, int FailedCount, int SucceededCount, int RunningCount, int PendingCount);

/// <summary>A job that is none of these, as IoT Hub says it.</summary>
internal sealed record OtherJobJson(string JobId, string Type, string Status);
