namespace Sallyport.Storage.Metadata;

/// <summary>Jobs that import identities from a blob container or export them to one.</summary>
public interface IRegistryJobStore
{
    RegistryJobRecord? Find(MetadataTransaction tx, string id);

    /// <summary>The newest first, without their secrets.</summary>
    IReadOnlyList<RegistryJobRecord> List(MetadataTransaction tx, int top);

    /// <summary>The oldest that has not ended; null when there is none.</summary>
    RegistryJobRecord? FindActive(MetadataTransaction tx);

    /// <summary>Inserts or replaces. What has ended keeps no secret and, once its log is written, no errors: whoever puts it says so with <see cref="DeleteErrors"/>.</summary>
    void Put(MetadataTransaction tx, RegistryJobRecord record);

    /// <summary>Deletes jobs that ended before <paramref name="endedBefore"/>, and the oldest ended ones beyond <paramref name="max"/>, with their errors.</summary>
    void DeleteOld(MetadataTransaction tx, DateTimeOffset endedBefore, int max);

    /// <summary>Adds to what the job could not do; <paramref name="entry"/> grows.</summary>
    void AddError(MetadataTransaction tx, string job, long entry, string text);

    /// <summary>In their order, behind <paramref name="after"/>.</summary>
    IReadOnlyList<(long Entry, string Text)> ListErrors(MetadataTransaction tx, string job, long after, int top);

    void DeleteErrors(MetadataTransaction tx, string job);
}

/// <summary>Numbers are stored: frozen.</summary>
public enum RegistryJobKind : byte
{
    Export = 0,
    Import = 1,
}

/// <summary>Numbers are stored: frozen.</summary>
public enum RegistryJobStatus : byte
{
    Enqueued = 0,
    Running = 1,
    Completed = 2,
    Failed = 3,
    Cancelled = 4,
}

/// <summary>A job as it is stored.</summary>
public sealed record RegistryJobRecord
{
    public required string Id { get; init; }
    public required RegistryJobKind Kind { get; init; }
    public required RegistryJobStatus Status { get; init; }

    /// <summary>JSON without secrets.</summary>
    public required string Settings { get; init; }

    /// <summary>The addresses of the containers with their signatures, encrypted at rest; null once it has ended. Never printed.</summary>
    public string? Secret { get; init; }

    /// <summary>Who made it, as in the audit trail; it runs with no more rights than they held then and hold now.</summary>
    public required string Creator { get; init; }

    public required long CreatorRights { get; init; }
    public required DateTimeOffset CreatedTime { get; init; }
    public DateTimeOffset? StartedTime { get; init; }
    public DateTimeOffset? EndedTime { get; init; }

    /// <summary>Percent.</summary>
    public int Progress { get; init; }

    /// <summary>Of an import: which time it goes through the file.</summary>
    public int Phase { get; init; }

    /// <summary>Of an import: lines whose identities are done.</summary>
    public long Lines { get; init; }

    /// <summary>Of an import: lines of which nothing is left to do, twins included.</summary>
    public long SettledLines { get; init; }

    /// <summary>What it could not do, also what was not kept of it.</summary>
    public long Errors { get; init; }

    /// <summary>Why it failed; null when it did not.</summary>
    public string? Failure { get; init; }

    public bool HasEnded => Status is RegistryJobStatus.Completed or RegistryJobStatus.Failed or RegistryJobStatus.Cancelled;

    public override string ToString() => $"{Kind} {Id}";
}
