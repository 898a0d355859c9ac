using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>Changes rows of a job and keeps its counts, within one write. Owned by that write; <see cref="Store"/> ends it.</summary>
internal sealed class JobRows
{
    private readonly IJobStore _jobs;
    private readonly MetadataTransaction _tx;
    private readonly DateTimeOffset _now;

    /// <param name="sequence">Of a job that exists: what has rows is not deleted.</param>
    public JobRows(IJobStore jobs, MetadataTransaction tx, long sequence, DateTimeOffset now)
    {
        _jobs = jobs;
        _tx = tx;
        _now = now;
        Job = jobs.Find(tx, sequence) ?? throw new InvalidOperationException("a job was deleted while it was carried out");
    }

    public JobRecord Job { get; set; }

    /// <summary>Whether the job is still to be done.</summary>
    public bool IsActing => Job is { Status: JobStatus.Running, Ending: JobEnding.None };

    /// <summary>Gives a row a status, and what belongs to it.</summary>
    public JobDeviceRecord Put(JobDeviceRecord row, JobDeviceStatus status)
    {
        var changed = row with
        {
            Status = status,
            UpdatedTime = _now,
            StartTime = status is JobDeviceStatus.Pending ? null : row.StartTime ?? _now,
            EndTime = status is JobDeviceStatus.Pending or JobDeviceStatus.Running ? null : _now,
        };
        _jobs.PutDevice(_tx, changed);
        Job = Counted(Counted(Job, row.Status, -1), status, 1);
        return changed;
    }

    public void Fail(JobDeviceRecord row, string code, string description) =>
        Put(row with { ErrorCode = code, ErrorDescription = description }, JobDeviceStatus.Failed);

    public void Fail(JobDeviceRecord row, HubException refusal) => Fail(row, refusal.Error.Name, refusal.Message);

    /// <summary>Writes the job with its counts.</summary>
    public JobRecord Store()
    {
        _jobs.Update(_tx, Job);
        return Job;
    }

    public static Identity IdentityOf(JobDeviceRecord row) => Identity.Of(row.DeviceId, row.ModuleId.Length == 0 ? null : row.ModuleId);

    private static JobRecord Counted(JobRecord job, JobDeviceStatus status, int by) => status switch
    {
        JobDeviceStatus.Pending => job with { Pending = job.Pending + by },
        JobDeviceStatus.Running => job with { Running = job.Running + by },
        JobDeviceStatus.Completed => job with { Succeeded = job.Succeeded + by },
        JobDeviceStatus.Failed => job with { Failed = job.Failed + by },
        _ => job with { Canceled = job.Canceled + by },
    };
}
