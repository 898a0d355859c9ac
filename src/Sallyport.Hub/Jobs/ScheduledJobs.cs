using System.Collections.Concurrent;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>
/// Jobs (IoT Hub developer guide, "Schedule jobs on multiple devices"): a change of twins or a call of a method, for all devices that a condition is true
/// of when the job begins, within a window of time. This file makes, shows and cancels them; the other carries them out.
/// </summary>
/// <remarks>
/// A job is on disk and nowhere else, so it survives the hub. Its devices are chosen first and then acted on, in batches. A twin is changed once, whenever the hub
/// dies; a method that was being called then is called again: at least once. It acts in the name of who made it, with the rights that they hold at that moment.
/// Thread-safe; refuses with <see cref="HubException"/>.
/// </remarks>
public sealed partial class ScheduledJobs
{
    private readonly IMetadata _metadata;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly JobParts _parts;

    // Those that are carried out now; of the one loop, but others end them.
    private readonly ConcurrentDictionary<long, JobRun> _runs = new();
    // Somebody made a job: one note of it is enough.
    private readonly Channel<bool> _made = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    public ScheduledJobs(
        IMetadata metadata, Policies policies, KnownTags tags, TwinQueries queries, DeviceTwins twins, DirectMethods methods, ConnectedDevices connected,
        IAuditTrail audit, JobOptions options, TimeProvider time, ILogger<ScheduledJobs> logger)
    {
        _metadata = metadata;
        _audit = audit;
        _time = time;
        _logger = logger;
        Options = options;
        _parts = new JobParts(metadata, queries, twins, methods, connected, new JobCreator(policies, tags, time), audit, options, time, logger);
    }

    public JobOptions Options { get; }

    /// <summary>Makes a job; on disk when it completes.</summary>
    /// <exception cref="HubException">400, 413: see <see cref="JobDraft.Of"/>. 401: the actor does not hold what the job needs. 409: there is a job of that id. 429: there are as many as may be. 503: the audit trail cannot be written.</exception>
    public async ValueTask<JobRecord> CreateAsync(Actor actor, JobDraft draft, CancellationToken cancel)
    {
        var (prefixes, tags, _) = actor.Scope.Stored();
        var now = _time.GetUtcNow();
        var record = new JobRecord
        {
            JobId = draft.JobId,
            Type = draft.Type,
            Status = draft.Start is null ? JobStatus.Queued : JobStatus.Scheduled,
            QueryCondition = draft.QueryCondition,
            Act = draft.Act,
            Creator = actor.Principal,
            CreatorRights = (long)actor.Rights,
            CreatorPrefixes = prefixes,
            CreatorTags = tags,
            Credential = actor.CredentialFingerprint,
            CorrelationId = actor.CorrelationId,
            CreatedTime = now,
            StartTime = draft.Start ?? now,
            MaxExecutionTime = draft.MaxExecutionTime,
        };
        try
        {
            if ((draft.Needed & ~actor.Rights) is not Rights.None and var missing)
                throw new HubException(HubErrors.UnauthorizedAccess, $"the job needs rights that you do not hold: {RightsText.Format(missing)}");

            // What cannot be done is found on a snapshot, so that the trail says "done" only of what is about to be.
            _metadata.Read(tx => RequireRoom(tx, draft.JobId));
            await _audit.RequireAsync(actor.Done("job create", $"{draft.JobId} {draft.QueryCondition}"), cancel).ConfigureAwait(false);
            var sequence = await _metadata.WriteAsync(
                tx =>
                {
                    RequireRoom(tx, draft.JobId);
                    return _metadata.Jobs.Add(tx, record) ?? throw Exists(draft.JobId);
                },
                CancellationToken.None).ConfigureAwait(false);
            JobMeter.Made(draft.Type);
            _made.Writer.TryWrite(true);
            return record with { Sequence = sequence };
        }
        catch (Exception e)
        {
            JobMeter.Refused(draft.Type);
            _audit.Note(actor.Refused("job create", draft.JobId, e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }
    }

    /// <summary>A job, for somebody whose rights are limited to no less than its creator's were.</summary>
    /// <exception cref="HubException">404: there is none.</exception>
    public JobRecord Get(Scope scope, string jobId) => _metadata.Read(tx => Require(tx, scope, jobId));

    /// <summary>Jobs, the newest first; those of creators who reached more than the scope are left out.</summary>
    /// <param name="type">Null for all.</param>
    /// <param name="status">Null for all.</param>
    /// <param name="before">Only those with a lower sequence; null from the newest.</param>
    /// <param name="top">So many at most.</param>
    /// <param name="maxBytes">So many bytes of what they do at most; one comes in any case.</param>
    /// <returns>Them, and before which sequence to go on; null when there are no more.</returns>
    public (IReadOnlyList<JobRecord> Jobs, long? Next) List(Scope scope, JobType? type, JobStatus? status, long? before, int top, long maxBytes)
    {
        JobMeter.Listed();
        List<JobRecord> listed = [];
        long bytes = 0;
        var last = before ?? long.MaxValue;
        while (true)
        {
            // One by one: what they do may be 128 KB each.
            if (_metadata.Read(tx => _metadata.Jobs.List(tx, type, status, last, 1)) is not [var job])
                return (listed, null);
            bytes += job.Act.Length;
            if (listed.Count == top || (listed.Count > 0 && bytes > maxBytes))
                return (listed, last);

            last = job.Sequence;
            if (IsWithin(scope, job))
                listed.Add(job);
        }
    }

    /// <summary>Cancels a job that is not over. What it did stays done; methods that are being called are not waited for. Of a job that was cancelled it says so again.</summary>
    /// <exception cref="HubException">404: there is none. 400: it has ended. 503: the audit trail cannot be written.</exception>
    public async ValueTask<JobRecord> CancelAsync(Actor actor, string jobId, CancellationToken cancel)
    {
        try
        {
            if (_metadata.Read(tx => RequireOpen(tx, actor.Scope, jobId)) is { Status: JobStatus.Cancelled } already)
                return already;

            await _audit.RequireAsync(actor.Done("job cancel", jobId), cancel).ConfigureAwait(false);
            var cancelled = await _metadata.WriteAsync(
                tx =>
                {
                    var job = RequireOpen(tx, actor.Scope, jobId);
                    if (job.Status is JobStatus.Cancelled)
                        return job;

                    // A job that runs has a runner, who closes what is open.
                    job = job with
                    {
                        Status = JobStatus.Cancelled, EndTime = _time.GetUtcNow(), Ending = job.Status is JobStatus.Running ? JobEnding.Cancelled : JobEnding.None,
                    };
                    _metadata.Jobs.Update(tx, job);
                    return job;
                },
                CancellationToken.None).ConfigureAwait(false);
            if (_runs.TryGetValue(cancelled.Sequence, out var run))
                run.End();
            JobMeter.Cancelled();
            return cancelled;
        }
        catch (Exception e)
        {
            JobMeter.NotCancelled();
            _audit.Note(actor.Refused("job cancel", jobId, e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }
    }

    private JobRecord Require(MetadataTransaction tx, Scope scope, string jobId) =>
        _metadata.Jobs.Find(tx, jobId) is { } job && IsWithin(scope, job) ? job : throw new HubException(HubErrors.JobNotFound, "there is no such job");

    private JobRecord RequireOpen(MetadataTransaction tx, Scope scope, string jobId)
    {
        var job = Require(tx, scope, jobId);
        return job.Status is not (JobStatus.Completed or JobStatus.Failed) && job.Ending is not JobEnding.TimeIsOver
            ? job
            : throw new HubException(HubErrors.ArgumentInvalid, $"the job {jobId} has ended: there is nothing to cancel");
    }

    // Of consumer groups there are none in jobs.
    private static bool IsWithin(Scope scope, JobRecord job)
    {
        var (prefixes, tags, _) = scope.Stored();
        return !scope.LimitsDevices || Scope.Of(prefixes, tags, "").Covers(JobCreator.ScopeOf(job));
    }

    private bool RequireRoom(MetadataTransaction tx, string jobId)
    {
        if (_metadata.Jobs.Find(tx, jobId) is not null)
            throw Exists(jobId);
        if (_metadata.Jobs.ListOpen(tx).Count >= Options.MaxOpen)
            throw new HubException(HubErrors.MaxActiveJobCountExceeded, $"{Options.MaxOpen} jobs are scheduled, queued or running, as many as may be") { RetryAfter = TimeSpan.FromSeconds(10) };
        return true;
    }

    private static HubException Exists(string jobId) => new(HubErrors.JobAlreadyExists, $"there is a job {jobId} already");
}
