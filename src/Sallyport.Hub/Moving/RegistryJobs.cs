using System.Security.Cryptography;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Moving;

/// <summary>
/// Jobs that bring identities in from a blob container or write them to one (IoT Hub developer guide, "Import and export device identities"). One at a
/// time; it survives a restart, and runs with the rights of whoever made it. Thread-safe. Refuses with <see cref="HubException"/>.
/// </summary>
/// <remarks>The containers' signatures are sealed in the store while the job runs and gone when it has ended; nothing shows, logs or records them.</remarks>
public sealed class RegistryJobs(
    IMetadata metadata, RegistryImport import, RegistryExport export, IJobContainers containers, Policies policies, IAuditTrail audit, TimeProvider time, ILogger<RegistryJobs> log)
{
    /// <summary>How long a job that has ended is shown. IoT Hub's.</summary>
    public static readonly TimeSpan History = TimeSpan.FromDays(30);

    /// <summary>Jobs that are shown; the oldest ended ones go before.</summary>
    public const int MaxKept = 100;

    private const int MaxBlobNameLength = 1024;

    // After a step that could not be done (a full disk): nobody tells when it can.
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly Channel<bool> _enqueued = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly Lock _gate = new();
    private (string Id, CancellationTokenSource Cancel)? _running; // under the gate

    /// <summary>Begins a job.</summary>
    /// <param name="actor">Holds registry-read; what else the kind needs is asked here.</param>
    /// <exception cref="HubException">400: an address or name is not valid; 401: the actor may not; 403: another job is under way; 503.</exception>
    public async ValueTask<RegistryJobRecord> CreateAsync(Actor actor, RegistryJobRequest request, CancellationToken cancel)
    {
        var id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        var action = request.Kind is RegistryJobKind.Import ? "job import" : "job export";
        var target = $"{id} {request.Settings.InputContainer ?? request.Settings.OutputContainer}";
        try
        {
            Check(actor, request);
            if (metadata.Read(metadata.RegistryJobs.FindActive) is { } active)
                throw Busy(active);
        }
        catch (HubException refusal)
        {
            audit.Note(actor.Refused(action, target, refusal.Message));
            throw;
        }

        await audit.RequireAsync(actor.Done(action, target), cancel).ConfigureAwait(false);
        var record = new RegistryJobRecord
        {
            Id = id,
            Kind = request.Kind,
            Status = RegistryJobStatus.Enqueued,
            Settings = request.Settings.ToJson(),
            Secret = new RegistryJobSecret(request.Input?.AbsoluteUri, request.Output.AbsoluteUri).ToJson(),
            Creator = actor.Principal,
            CreatorRights = (long)actor.Rights,
            CreatedTime = time.GetUtcNow(),
        };
        try
        {
            await metadata.WriteAsync(
                tx =>
                {
                    if (metadata.RegistryJobs.FindActive(tx) is { } other)
                        throw Busy(other);
                    metadata.RegistryJobs.DeleteOld(tx, record.CreatedTime - History, MaxKept - 1);
                    metadata.RegistryJobs.Put(tx, record);
                    return true;
                },
                cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            audit.Note(actor.Refused(action, target, e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }

        _enqueued.Writer.TryWrite(true);
        return record with { Secret = null };
    }

    /// <summary>The newest first, at most <see cref="MaxKept"/>.</summary>
    public IReadOnlyList<RegistryJobRecord> List() =>
        [.. metadata.Read(tx => metadata.RegistryJobs.List(tx, MaxKept)).Where(job => !job.HasEnded || job.EndedTime > time.GetUtcNow() - History)];

    /// <exception cref="HubException">404.</exception>
    public RegistryJobRecord Get(string id) => metadata.Read(tx => metadata.RegistryJobs.Find(tx, id)) is { } job ? job with { Secret = null } : throw NotFound(id);

    /// <summary>Ends a job where it is; what it has done stays. One that has ended already is left as it is.</summary>
    /// <exception cref="HubException">401: it is somebody else's, and the actor does not hold registry-write; 404; 503.</exception>
    public async ValueTask CancelAsync(Actor actor, string id, CancellationToken cancel)
    {
        var job = Get(id);
        if (job.Creator != actor.Principal && !actor.Rights.HasFlag(Rights.RegistryWrite))
        {
            audit.Note(actor.Refused("job cancel", id, "it is somebody else's"));
            throw new HubException(HubErrors.UnauthorizedAccess, "the job is somebody else's: ending it needs the right registry-write");
        }

        await audit.RequireAsync(actor.Done("job cancel", id), cancel).ConfigureAwait(false);
        await metadata.WriteAsync(
            tx =>
            {
                if (metadata.RegistryJobs.Find(tx, id) is { HasEnded: false } active)
                    End(tx, active, RegistryJobStatus.Cancelled, null);
                return true;
            },
            cancel).ConfigureAwait(false);
        lock (_gate)
        {
            if (_running is { } running && running.Id == id)
                running.Cancel.Cancel();
        }
    }

    /// <summary>Does jobs as they come, first the one that was under way when the hub ended. Returns when it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        try
        {
            while (!cancel.IsCancellationRequested)
            {
                if (metadata.Read(metadata.RegistryJobs.FindActive) is not { } job)
                    await _enqueued.Reader.ReadAsync(cancel).ConfigureAwait(false);
                else if (!await TryRunAsync(job, cancel).ConfigureAwait(false))
                    await Task.Delay(Pause, time, cancel).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return;
        }
    }

    // False: how it ended could not be stored, so that it is run again; what it did it finds done.
    private async Task<bool> TryRunAsync(RegistryJobRecord job, CancellationToken stop)
    {
        try
        {
            await RunAsync(job, stop).ConfigureAwait(false);
            return true;
        }
        catch (MetadataWriteException e)
        {
            log.LogWarning(new EventId(4704, "RegistryJobNotStored"), e, "how job {Id} went could not be stored; it is run again", job.Id);
            return false;
        }
    }

    private async Task RunAsync(RegistryJobRecord job, CancellationToken stop)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop);
        lock (_gate)
            _running = (job.Id, ended);
        try
        {
            var creator = new RegistryJobCreator(policies, job);
            var failure = await FailureOfAsync(job, creator, ended.Token).ConfigureAwait(false);
            await metadata.WriteAsync(
                tx =>
                {
                    if (metadata.RegistryJobs.Find(tx, job.Id) is { HasEnded: false } active)
                        End(tx, active, failure is null ? RegistryJobStatus.Completed : RegistryJobStatus.Failed, failure);
                    return true;
                },
                stop).ConfigureAwait(false);
            if (failure is null)
                log.LogInformation(new EventId(4701, "RegistryJobDone"), "{Kind} job {Id} is done", job.Kind, job.Id);
            else
                log.LogWarning(new EventId(4702, "RegistryJobFailed"), "{Kind} job {Id} failed: {Reason}", job.Kind, job.Id, failure);
            audit.Note(new AuditEntry(job.Creator, "", "job end", job.Id, failure is null ? "done" : "refused", failure ?? "", job.Id, "job"));
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            log.LogInformation(new EventId(4703, "RegistryJobCancelled"), "{Kind} job {Id} was cancelled", job.Kind, job.Id);
        }
        finally
        {
            lock (_gate)
                _running = null;
        }
    }

    /// <summary>Why it failed; null when it is done.</summary>
    private async Task<string?> FailureOfAsync(RegistryJobRecord job, RegistryJobCreator creator, CancellationToken cancel)
    {
        try
        {
            await metadata.WriteAsync(
                tx =>
                {
                    if (metadata.RegistryJobs.Find(tx, job.Id) is { HasEnded: false } active)
                        metadata.RegistryJobs.Put(tx, active with { Status = RegistryJobStatus.Running, StartedTime = active.StartedTime ?? time.GetUtcNow() });
                    return true;
                },
                cancel).ConfigureAwait(false);
            if (job.Kind is RegistryJobKind.Import)
                await import.RunAsync(job.Id, creator, cancel).ConfigureAwait(false);
            else
                await export.RunAsync(job.Id, creator, cancel).ConfigureAwait(false);
            return null;
        }
        catch (HubException refusal)
        {
            return refusal.Message;
        }
        catch (IOException e)
        {
            return e.Message;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // It costs the job, never the hub.
            log.LogError(new EventId(4705, "RegistryJobBroke"), e, "job {Id} broke", job.Id);
            return $"the hub failed ({e.GetType().Name}); its log says where";
        }
    }

    private void End(MetadataTransaction tx, RegistryJobRecord active, RegistryJobStatus status, string? failure)
    {
        metadata.RegistryJobs.Put(tx, active with
        {
            Status = status, Failure = failure, EndedTime = time.GetUtcNow(), Secret = null, Progress = status is RegistryJobStatus.Completed ? 100 : active.Progress,
        });
        metadata.RegistryJobs.DeleteErrors(tx, active.Id);
    }

    private void Check(Actor actor, RegistryJobRequest request)
    {
        var needed = request.Kind is RegistryJobKind.Import ? Rights.RegistryWrite
            : request.Settings.ExcludeKeys ? Rights.RegistryRead : Rights.RegistryRead | Rights.RegistrySecrets;
        if (request.Settings.IncludeConfigurations)
            needed |= request.Kind is RegistryJobKind.Import ? MovedConfigurations.ToImport : Rights.ConfigurationManage;
        if ((needed & ~actor.Rights) is not Rights.None and var missing)
            throw new HubException(HubErrors.UnauthorizedAccess, $"the job needs {RightsText.Format(missing)}{(missing.HasFlag(Rights.RegistrySecrets) ? ", or excludeKeysInExport" : "")}");

        if (request.Input is { } input && containers.ProblemOf(input) is { } wrong)
            throw new HubException(HubErrors.ArgumentInvalid, $"inputBlobContainerUri: {wrong}");
        if (containers.ProblemOf(request.Output) is { } wrongOutput)
            throw new HubException(HubErrors.ArgumentInvalid, $"outputBlobContainerUri: {wrongOutput}");
        foreach (var (field, name) in new[] { ("inputBlobName", request.Settings.InputBlob), ("outputBlobName", request.Settings.OutputBlob), ("configurationsBlobName", request.Settings.ConfigurationsBlobName) })
        {
            if (name is { Length: 0 or > MaxBlobNameLength } || name?.Any(char.IsControl) is true)
                throw new HubException(HubErrors.ArgumentInvalid, $"{field}: 1 to {MaxBlobNameLength} characters");
        }
    }

    private static HubException Busy(RegistryJobRecord active) =>
        new(HubErrors.JobQuotaExceeded, $"job {active.Id} is under way; one import or export at a time");

    private static HubException NotFound(string id) => new(HubErrors.JobNotFound, $"there is no import or export job {(id.Length <= 64 ? id : "of this id")}");
}
