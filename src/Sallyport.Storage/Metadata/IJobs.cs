namespace Sallyport.Storage.Metadata;

/// <summary>Scheduled jobs, and what became of them on each device. Whoever changes rows keeps the counts of the job in the same transaction.</summary>
public interface IJobStore
{
    /// <summary>Adds a job.</summary>
    /// <param name="record">Its sequence is given by the store.</param>
    /// <returns>Its sequence, which grows and is never given twice; null when there is a job of that id.</returns>
    long? Add(MetadataTransaction tx, JobRecord record);

    JobRecord? Find(MetadataTransaction tx, string jobId);

    JobRecord? Find(MetadataTransaction tx, long sequence);

    /// <summary>Replaces what changes of a job: status, ending, times, reason, how far it has chosen, counts. One that is gone is passed over.</summary>
    void Update(MetadataTransaction tx, JobRecord record);

    /// <summary>The newest first.</summary>
    /// <param name="type">Null for all.</param>
    /// <param name="status">Null for all.</param>
    /// <param name="before">Only those with a lower sequence.</param>
    IReadOnlyList<JobRecord> List(MetadataTransaction tx, JobType? type, JobStatus? status, long before, int top);

    /// <summary>Those that are not over, or of which rows are not closed yet; the oldest first. There are few: the hub bounds them.</summary>
    IReadOnlyList<OpenJob> ListOpen(MetadataTransaction tx);

    /// <summary>Those that are over and ended before a time, or of which outcomes are kept; the oldest first.</summary>
    /// <param name="endedBefore">Null for any time.</param>
    /// <param name="withOutcomes">Only those of which rows are kept.</param>
    IReadOnlyList<JobRecord> ListEnded(MetadataTransaction tx, DateTimeOffset? endedBefore, bool withOutcomes, int top);

    /// <summary>How many jobs there are, and how many rows of devices of them. Goes through the jobs.</summary>
    (long Jobs, long Outcomes) Count(MetadataTransaction tx);

    /// <summary>Deletes a job. Its rows must have been deleted before: they may be many.</summary>
    bool Delete(MetadataTransaction tx, long sequence);

    /// <summary>Adds devices to a job, pending; those that are in it already are passed over.</summary>
    /// <returns>How many were added.</returns>
    int AddDevices(MetadataTransaction tx, long job, IReadOnlyList<JobDeviceRecord> records);

    JobDeviceRecord? FindDevice(MetadataTransaction tx, long job, string deviceId, string moduleId);

    /// <summary>Those of a job with a status, behind an identity, in the order of their ids.</summary>
    IReadOnlyList<JobDeviceRecord> ListDevices(MetadataTransaction tx, long job, JobDeviceStatus status, (string DeviceId, string ModuleId) after, int top);

    /// <summary>Replaces status, times, outcome and error of a row. One that is gone is passed over.</summary>
    void PutDevice(MetadataTransaction tx, JobDeviceRecord record);

    /// <summary>Deletes some rows of a job.</summary>
    /// <returns>How many.</returns>
    int DeleteDevices(MetadataTransaction tx, long job, int top);

    /// <summary>Shows rows with their jobs in the order of jobs and ids, until <paramref name="visit"/> answers false.</summary>
    void ScanDevices(MetadataTransaction tx, JobDeviceScan scan, Func<JobDeviceRow, bool> visit);
}

/// <summary>A job without what it does, which may be large.</summary>
public readonly record struct OpenJob(long Sequence, JobStatus Status, DateTimeOffset StartTime);

/// <summary>Which rows a scan goes through; what is null is no limit.</summary>
/// <param name="After">Only those behind this one.</param>
public sealed record JobDeviceScan((long Job, string DeviceId, string ModuleId) After, string? JobId, string? DeviceId);

/// <summary>A row with what is said of its job.</summary>
public readonly record struct JobDeviceRow(string JobId, JobType Type, JobDeviceRecord Device);

/// <summary>A scheduled job. Holds no secret.</summary>
public sealed record JobRecord
{
    public long Sequence { get; init; }

    /// <summary>1 to 64 ASCII letters, digits and dashes; case-sensitive.</summary>
    public required string JobId { get; init; }

    public required JobType Type { get; init; }
    public JobStatus Status { get; init; }

    /// <summary>As it was given.</summary>
    public required string QueryCondition { get; init; }

    /// <summary>What is to be done, as it was given: UTF-8 JSON, the value of <c>updateTwin</c> or <c>cloudToDeviceMethod</c>.</summary>
    public required byte[] Act { get; init; }

    /// <summary>As in the audit trail: <c>policy:service</c>.</summary>
    public required string Creator { get; init; }

    /// <summary>What the creator held when it made the job; a bit set whose numbers are frozen (<c>Hub/Access/Rights</c>).</summary>
    public required long CreatorRights { get; init; }

    /// <summary>What the creator was limited to then, as in <see cref="PolicyRecord.DevicePrefixes"/>.</summary>
    public string CreatorPrefixes { get; init; } = "";

    /// <summary>As in <see cref="PolicyRecord.DeviceTags"/>.</summary>
    public string CreatorTags { get; init; } = "";

    /// <summary>Fingerprint of the credential that made it.</summary>
    public required string Credential { get; init; }

    /// <summary>Of the request that made it.</summary>
    public required string CorrelationId { get; init; }

    public required DateTimeOffset CreatedTime { get; init; }
    public required DateTimeOffset StartTime { get; init; }

    /// <summary>How long its window is, from <see cref="StartTime"/> on; in whole seconds.</summary>
    public required TimeSpan MaxExecutionTime { get; init; }

    public DateTimeOffset? EndTime { get; init; }

    /// <summary>Why the job as a whole failed; null while it did not.</summary>
    public string? FailureReason { get; init; }

    /// <summary>Why rows that are not done are to be closed.</summary>
    public JobEnding Ending { get; init; }

    /// <summary>How far its devices were chosen: only behind this one are others. Empty at the beginning.</summary>
    public string ChosenDeviceId { get; init; } = "";

    /// <inheritdoc cref="ChosenDeviceId"/>
    public string ChosenModuleId { get; init; } = "";

    /// <summary>All its devices are chosen.</summary>
    public bool IsChosen { get; init; }

    public int Devices { get; init; }
    public int Pending { get; init; }
    public int Running { get; init; }
    public int Succeeded { get; init; }
    public int Failed { get; init; }
    public int Canceled { get; init; }

    /// <summary>Rows of devices that are kept.</summary>
    public int Outcomes { get; init; }

    public override string ToString() => JobId;
}

/// <summary>What a job does. Numbers are stored: frozen.</summary>
public enum JobType : byte
{
    ScheduleUpdateTwin = 0,
    ScheduleDeviceMethod = 1,
}

/// <summary>Numbers are stored: frozen. Those up to <see cref="Running"/> are not over.</summary>
public enum JobStatus : byte
{
    /// <summary>Its time has not come.</summary>
    Scheduled = 0,

    /// <summary>Its time has come, others are before it.</summary>
    Queued = 1,
    Running = 2,
    Completed = 3,
    Failed = 4,
    Cancelled = 5,
}

/// <summary>Why what is not done of a job is to be closed. Numbers are stored: frozen.</summary>
public enum JobEnding : byte
{
    None = 0,

    /// <summary>Its window is over.</summary>
    TimeIsOver = 1,
    Cancelled = 2,
    Failed = 3,
}

/// <summary>What became of a job on one device. Numbers are stored: frozen.</summary>
public enum JobDeviceStatus : byte
{
    Pending = 0,

    /// <summary>A method is being called; after a restart it is pending again.</summary>
    Running = 1,
    Completed = 2,
    Failed = 3,
    Canceled = 4,
}

/// <summary>A device or module of a job.</summary>
public sealed record JobDeviceRecord
{
    public required long Job { get; init; }
    public required string DeviceId { get; init; }

    /// <summary>Empty for a device.</summary>
    public string ModuleId { get; init; } = "";

    /// <summary>Of the identity when it was chosen.</summary>
    public required string GenerationId { get; init; }

    public JobDeviceStatus Status { get; init; }
    public required DateTimeOffset CreatedTime { get; init; }
    public required DateTimeOffset UpdatedTime { get; init; }
    public DateTimeOffset? StartTime { get; init; }
    public DateTimeOffset? EndTime { get; init; }

    /// <summary>What the device answered to a method; null for no answer.</summary>
    public int? ResponseStatus { get; init; }

    /// <summary>UTF-8 JSON; null when there was no answer or it is too large to be kept.</summary>
    public byte[]? ResponsePayload { get; init; }

    /// <summary>The name of an error; null for none.</summary>
    public string? ErrorCode { get; init; }

    public string? ErrorDescription { get; init; }

    public override string ToString() => ModuleId.Length == 0 ? DeviceId : $"{DeviceId}/{ModuleId}";
}
