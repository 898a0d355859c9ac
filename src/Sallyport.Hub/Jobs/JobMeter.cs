using System.Diagnostics.Metrics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>The meter <c>Sallyport.Jobs</c>. Names are Azure Monitor's where it has one. Thread-safe.</summary>
public static class JobMeter
{
    public const string Name = "Sallyport.Jobs";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> TwinJobs = Meter.CreateCounter<long>("jobs.createTwinUpdateJob.success", "{job}", "Jobs that update twins, made.");
    private static readonly Counter<long> TwinJobsRefused = Meter.CreateCounter<long>("jobs.createTwinUpdateJob.failure", "{job}", "Jobs that update twins, refused.");
    private static readonly Counter<long> MethodJobs = Meter.CreateCounter<long>("jobs.createDirectMethodJob.success", "{job}", "Jobs that call methods, made.");
    private static readonly Counter<long> MethodJobsRefused = Meter.CreateCounter<long>("jobs.createDirectMethodJob.failure", "{job}", "Jobs that call methods, refused.");
    private static readonly Counter<long> Lists = Meter.CreateCounter<long>("jobs.listJobs.success", "{call}", "Pages of the list of jobs.");
    private static readonly Counter<long> Cancels = Meter.CreateCounter<long>("jobs.cancelJob.success", "{job}", "Jobs that were cancelled.");
    private static readonly Counter<long> CancelsRefused = Meter.CreateCounter<long>("jobs.cancelJob.failure", "{job}", "Jobs that could not be cancelled.");
    private static readonly Counter<long> JobsCompleted = Meter.CreateCounter<long>("jobs.completed", "{job}", "Jobs that went through all their devices.");
    private static readonly Counter<long> JobsFailed = Meter.CreateCounter<long>("jobs.failed", "{job}", "Jobs that could not be carried out, or on no device.");
    private static readonly Counter<long> Devices = Meter.CreateCounter<long>("sallyport.jobs.devices", "{device}", "Devices of jobs that are done, by what became of them.");

    internal static void Made(JobType type) => (type is JobType.ScheduleUpdateTwin ? TwinJobs : MethodJobs).Add(1);

    internal static void Refused(JobType type) => (type is JobType.ScheduleUpdateTwin ? TwinJobsRefused : MethodJobsRefused).Add(1);

    internal static void Listed() => Lists.Add(1);

    internal static void Cancelled() => Cancels.Add(1);

    internal static void NotCancelled() => CancelsRefused.Add(1);

    internal static void Ended(JobStatus status)
    {
        if (status is JobStatus.Completed)
            JobsCompleted.Add(1);
        else if (status is JobStatus.Failed)
            JobsFailed.Add(1);
    }

    internal static void Done(JobDeviceStatus status, int devices)
    {
        if (devices > 0)
            Devices.Add(devices, KeyValuePair.Create<string, object?>("outcome", status.ToString()));
    }
}
