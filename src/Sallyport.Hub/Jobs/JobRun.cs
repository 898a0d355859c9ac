using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>
/// Carries out one job: begins it, chooses its devices, acts on each, and closes what is not done when its window is over or somebody cancelled it.
/// Where it is, is on disk and nowhere else: it may be dropped between any two steps, and another one goes on.
/// </summary>
/// <remarks>Used by one task; only <see cref="End"/> and <see cref="IsWaiting"/> are for others.</remarks>
internal sealed class JobRun : IDisposable
{
    // After a step that could not be done (a full disk, a trail that cannot be written): nobody tells when it can.
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly JobParts _parts;
    private readonly long _sequence;
    private readonly CancellationTokenSource _ended = new();
    private volatile bool _isWaiting;

    public JobRun(JobParts parts, long sequence)
    {
        _parts = parts;
        _sequence = sequence;
    }

    /// <summary>It does nothing but wait for devices to come.</summary>
    public bool IsWaiting => _isWaiting;

    private IJobStore Jobs => _parts.Metadata.Jobs;

    /// <summary>The job's record says that it is over: stop acting on it. Returns at once; also when it is over already.</summary>
    public void End()
    {
        try
        {
            _ended.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // It has just come to its end by itself.
        }
    }

    public void Dispose() => _ended.Dispose();

    /// <summary>Does all that is left of the job. What fails for a while (a full disk, an audit trail that cannot be written, too many queries) is tried again.</summary>
    /// <param name="stop">The hub ends: it is left where it is.</param>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            while (!await TryRunAsync(stop).ConfigureAwait(false))
                await Task.Delay(Pause, _parts.Time, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return;
        }
    }

    private async Task<bool> TryRunAsync(CancellationToken stop)
    {
        try
        {
            await DoAsync(stop).ConfigureAwait(false);
            return true;
        }
        catch (Exception delay) when (delay is MetadataWriteException { IsPermanent: false }
            || (delay is HubException busy && (busy.Error == HubErrors.Throttled || busy.Error == HubErrors.ServiceUnavailable)))
        {
            _parts.Logger.JobDelayed(delay, Read().JobId, Pause);
            return false;
        }
        catch (HubException refusal)
        {
            await FailAsync($"what it is to do cannot be done: {refusal.Message}").ConfigureAwait(false);
            return false;
        }
        catch (Exception mistake) when (mistake is not (MetadataWriteException or OperationCanceledException))
        {
            // Ours. It must cost this job and not the hub, which would find it again at each start.
            _parts.Logger.JobBroken(mistake, _sequence);
            await FailAsync("the hub failed; its log says how").ConfigureAwait(false);
            return false;
        }
    }

    private async Task DoAsync(CancellationToken stop)
    {
        var job = Read();
        if (job is { Status: <= JobStatus.Running, Ending: JobEnding.None })
        {
            try
            {
                if (await ActAsync(job, stop).ConfigureAwait(false))
                    return;
            }
            catch (JobFailedException failed)
            {
                await FailAsync(failed.Message).ConfigureAwait(false);
            }
        }

        await CloseAsync(stop).ConfigureAwait(false);
    }

    /// <returns>True: it is done. False: there is something to close.</returns>
    private async Task<bool> ActAsync(JobRecord job, CancellationToken stop)
    {
        var left = job.StartTime + job.MaxExecutionTime - _parts.Now;
        using var window = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero, _parts.Time);
        using var any = CancellationTokenSource.CreateLinkedTokenSource(stop, window.Token, _ended.Token);
        try
        {
            any.Token.ThrowIfCancellationRequested();
            if (job.Status is not JobStatus.Running)
                job = await BeginAsync(job, any.Token).ConfigureAwait(false);
            if (await ChooseAsync(job, any.Token).ConfigureAwait(false)
                && await ActOnEachAsync(job, any.Token).ConfigureAwait(false)
                && await CompleteAsync().ConfigureAwait(false))
            {
                return true;
            }
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested && any.IsCancellationRequested)
        {
            // The window is over, or the record says that it is: see below.
        }

        stop.ThrowIfCancellationRequested();
        await WriteAsync(rows =>
        {
            if (rows.Job is { Ending: JobEnding.None, Status: <= JobStatus.Running })
                rows.Job = rows.Job with { Status = JobStatus.Running, Ending = JobEnding.TimeIsOver };
            return true;
        }).ConfigureAwait(false);
        return false;
    }

    private async Task<JobRecord> BeginAsync(JobRecord job, CancellationToken cancel)
    {
        await _parts.Audit.RequireAsync(_parts.Require(job).Actor.Done("job start", job.JobId), cancel).ConfigureAwait(false);
        return await WriteAsync(rows =>
        {
            if (rows.Job is { Status: < JobStatus.Running })
                rows.Job = rows.Job with { Status = JobStatus.Running };
            return rows.Job;
        }).ConfigureAwait(false);
    }

    private Task<bool> ActOnEachAsync(JobRecord job, CancellationToken cancel) => job.Type is JobType.ScheduleUpdateTwin
        ? new TwinActs(_parts, job).RunAsync(cancel)
        : new MethodActs(_parts, job, waits => _isWaiting = waits).RunAsync(cancel);

    // First all of them are chosen, a page a write: what the job changes, or who comes later, makes no difference to whom it is for.
    // False: the job has ended.
    private async Task<bool> ChooseAsync(JobRecord job, CancellationToken cancel)
    {
        var target = JobDraft.Target(job.QueryCondition);
        while (!job.IsChosen)
        {
            var creator = _parts.Require(job);
            var (chosen, next) = await _parts.Queries.ChooseAsync(
                creator.Actor.Scope, target, (job.ChosenDeviceId, job.ChosenModuleId), _parts.Options.ChosenPerWrite, cancel).ConfigureAwait(false);
            var now = _parts.Now;
            List<JobDeviceRecord> devices = [.. chosen.Where(one => creator.Then.CoversDevice(one.DeviceId)).Select(one => new JobDeviceRecord
            {
                Job = _sequence, DeviceId = one.DeviceId, ModuleId = one.ModuleId, GenerationId = one.GenerationId, CreatedTime = now, UpdatedTime = now,
            })];
            if (job.Devices + devices.Count > _parts.Options.MaxDevices)
                throw new JobFailedException($"it is for more than {_parts.Options.MaxDevices} devices");
            if (devices.Count > 0 && _parts.Metadata.Read(Jobs.Count).Outcomes + devices.Count > _parts.Options.MaxOutcomes)
                throw new JobFailedException($"the hub keeps the outcomes of {_parts.Options.MaxOutcomes} devices of jobs, as many as it may");

            job = await WriteAsync((rows, tx) =>
            {
                if (rows.IsActing)
                {
                    var added = Jobs.AddDevices(tx, _sequence, devices);
                    rows.Job = rows.Job with
                    {
                        Devices = rows.Job.Devices + added, Pending = rows.Job.Pending + added, Outcomes = rows.Job.Outcomes + added,
                        ChosenDeviceId = next?.DeviceId ?? "", ChosenModuleId = next?.ModuleId ?? "", IsChosen = next is null,
                    };
                }

                return rows.Job;
            }).ConfigureAwait(false);
            if (job is not { Status: JobStatus.Running, Ending: JobEnding.None })
                return false;
        }

        return true;
    }

    /// <returns>False: somebody ended it first.</returns>
    private async Task<bool> CompleteAsync()
    {
        var job = await WriteAsync(rows =>
        {
            if (!rows.IsActing)
                return null;

            rows.Job = Ended(rows.Job);
            return rows.Job;
        }).ConfigureAwait(false);
        if (job is null)
            return false;

        Tell(job);
        return true;
    }

    private async Task FailAsync(string reason) =>
        await WriteAsync(rows =>
        {
            if (rows.Job is { Ending: JobEnding.None, Status: <= JobStatus.Running })
                rows.Job = rows.Job with { Status = JobStatus.Failed, Ending = JobEnding.Failed, FailureReason = reason, EndTime = _parts.Now };
            return true;
        }).ConfigureAwait(false);

    private async Task CloseAsync(CancellationToken stop)
    {
        while (true)
        {
            stop.ThrowIfCancellationRequested();
            var (job, closed, isLast) = await WriteAsync((rows, tx) =>
            {
                List<JobDeviceRecord> open = [];
                foreach (var status in (ReadOnlySpan<JobDeviceStatus>)[JobDeviceStatus.Running, JobDeviceStatus.Pending])
                    open.AddRange(Jobs.ListDevices(tx, _sequence, status, ("", ""), _parts.Options.ChosenPerWrite - open.Count));
                foreach (var row in open)
                    Close(rows, tx, row);
                if (open.Count < _parts.Options.ChosenPerWrite)
                {
                    rows.Job = rows.Job.Ending is JobEnding.TimeIsOver ? Ended(rows.Job) : rows.Job with { Ending = JobEnding.None };
                    return (rows.Job, open.Count, true);
                }

                return (rows.Job, open.Count, false);
            }).ConfigureAwait(false);
            JobMeter.Done(job.Status is JobStatus.Cancelled ? JobDeviceStatus.Canceled : JobDeviceStatus.Failed, closed);
            if (!isLast)
                continue;

            Tell(job);
            return;
        }
    }

    private void Close(JobRows rows, MetadataTransaction tx, JobDeviceRecord row)
    {
        if (rows.Job.Ending is JobEnding.Cancelled)
        {
            rows.Put(row, JobDeviceStatus.Canceled);
            return;
        }

        if (rows.Job.Ending is JobEnding.Failed)
        {
            rows.Fail(row, "JobFailed", $"the job failed before its turn: {rows.Job.FailureReason}");
            return;
        }

        var identity = JobRows.IdentityOf(row);
        var isThere = _parts.Metadata.Twins.Find(tx, row.DeviceId, identity.ModuleId) is { } twin && twin.GenerationId == row.GenerationId;
        var window = $"the job's time ({rows.Job.MaxExecutionTime.TotalSeconds:0} s) was over";
        if (!isThere)
            rows.Fail(row, (identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound).Name, $"there is no such {(identity.IsModule ? "module" : "device")} any more");
        else if (row.Status is JobDeviceStatus.Running)
            rows.Fail(row, HubErrors.GatewayTimeout.Name, $"it was called, and did not answer before {window}; it may have run the method");
        else if (rows.Job.Type is JobType.ScheduleDeviceMethod && _parts.Connected.Find(identity) is not { TakesMethods: true })
            rows.Fail(row, HubErrors.DeviceNotOnline.Name, $"it was not connected, or did not take methods, until {window}");
        else
            rows.Fail(row, "JobTimedOut", $"{window} before its turn came");
    }

    private JobRecord Ended(JobRecord job)
    {
        var isFailed = !job.IsChosen || (job.Devices > 0 && job.Succeeded == 0);
        return job with
        {
            Status = isFailed ? JobStatus.Failed : JobStatus.Completed,
            Ending = JobEnding.None,
            EndTime = _parts.Now,
            FailureReason = !job.IsChosen ? "its time was over before its devices were chosen" : isFailed ? "it succeeded on no device" : null,
        };
    }

    private void Tell(JobRecord job)
    {
        var actor = Actor.Later(job.Creator, job.Credential, Access.Rights.None, Access.Scope.Everything, job.CorrelationId, $"job {job.JobId}");
        var counts = $"{job.JobId} {job.Status.ToString().ToLowerInvariant()}: {job.Succeeded} of {job.Devices} succeeded, {job.Failed} failed, {job.Canceled} canceled";
        _parts.Audit.Note(job.FailureReason is null ? actor.Done("job end", counts) : actor.Refused("job end", counts, job.FailureReason));
        _parts.Logger.JobEnded(job.JobId, job.Status.ToString(), job.Succeeded, job.Devices, job.Failed, job.Canceled);
        JobMeter.Ended(job.Status);
    }

    private JobRecord Read() => _parts.Metadata.Read(tx => Jobs.Find(tx, _sequence)) ?? throw new InvalidOperationException("a job was deleted while it was carried out");

    private ValueTask<T> WriteAsync<T>(Func<JobRows, T> act) => WriteAsync((rows, _) => act(rows));

    private ValueTask<T> WriteAsync<T>(Func<JobRows, MetadataTransaction, T> act) => _parts.Metadata.WriteAsync(tx =>
    {
        var rows = new JobRows(Jobs, tx, _sequence, _parts.Now);
        var result = act(rows, tx);
        rows.Store();
        return result;
    });
}
