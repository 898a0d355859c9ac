using Sallyport.Hub.Audit;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>
/// Changes the twins of a job's devices, a batch a write: the changes, their events and what is noted of them are in that write together, so that none is
/// lost or doubled whenever the hub dies. Used by one task.
/// </summary>
internal sealed class TwinActs(JobParts parts, JobRecord job)
{
    private readonly TwinChange _change = JobDraft.ReadChange(job.Act);

    private IJobStore Jobs => parts.Metadata.Jobs;

    /// <returns>True: all are done. False: the job has ended.</returns>
    /// <exception cref="JobFailedException">It may not go on.</exception>
    public async Task<bool> RunAsync(CancellationToken cancel)
    {
        (string, string) after = ("", "");
        while (true)
        {
            var batch = parts.Metadata.Read(tx => Jobs.ListDevices(tx, job.Sequence, JobDeviceStatus.Pending, after, parts.Options.DevicesPerWrite));
            if (batch.Count == 0)
                return true;

            await parts.PaceAsync(batch.Count, cancel).ConfigureAwait(false);
            if (!await ChangeAsync(batch, cancel).ConfigureAwait(false))
                return false;
            after = (batch[^1].DeviceId, batch[^1].ModuleId);
        }
    }

    private async Task<bool> ChangeAsync(IReadOnlyList<JobDeviceRecord> batch, CancellationToken cancel)
    {
        var creator = parts.Require(job);
        var actor = creator.Actor;
        var refusals = parts.Metadata.Read(tx => batch.Select(row => RefusalOf(tx, creator, row)).ToArray());

        // What is recorded as done is what is about to be; one write of the trail for the batch.
        List<JobDeviceRecord> allowed = [.. batch.Where((_, i) => refusals[i] is null)];
        await Task.WhenAll(allowed.Select(row => parts.Audit.RequireAsync(actor.Done(ActionOf(row), row.ToString()), cancel).AsTask())).ConfigureAwait(false);
        Outcome? outcome;
        try
        {
            outcome = await parts.Metadata.WriteAsync(tx => Change(tx, actor, batch, refusals), Tell, cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            TakeBack(actor, allowed, $"not stored: {e.GetType().Name}");
            throw;
        }

        if (outcome is null)
        {
            TakeBack(actor, allowed, "the job was cancelled");
            return false;
        }

        parts.Twins.NoteTags(outcome.Changes);
        for (var i = 0; i < batch.Count; i++)
        {
            if (outcome.Refusals[i] is { } refusal)
                parts.Audit.Note(actor.Refused(ActionOf(batch[i]), batch[i].ToString(), refusal.Message));
        }

        JobMeter.Done(JobDeviceStatus.Completed, outcome.Changes.Count);
        JobMeter.Done(JobDeviceStatus.Failed, batch.Count - outcome.Changes.Count);
        return true;
    }

    private HubException? RefusalOf(MetadataTransaction tx, ActingCreator creator, JobDeviceRecord row)
    {
        if (!creator.Covers(row.DeviceId))
            return new HubException(HubErrors.UnauthorizedAccess, "the job's creator is limited to other devices");

        try
        {
            parts.Twins.Check(tx, creator.Actor, JobRows.IdentityOf(row), row.GenerationId, _change);
            return null;
        }
        catch (HubException refusal)
        {
            return refusal;
        }
    }

    // Null: the job has ended meanwhile, and nothing is changed.
    private Outcome? Change(MetadataTransaction tx, Actor actor, IReadOnlyList<JobDeviceRecord> batch, HubException?[] refusals)
    {
        var rows = new JobRows(Jobs, tx, job.Sequence, parts.Now);
        if (!rows.IsActing)
            return null;

        var outcome = new Outcome([], [.. refusals]);
        for (var i = 0; i < batch.Count; i++)
        {
            try
            {
                if (refusals[i] is { } refused)
                    throw refused;

                outcome.Changes.Add(parts.Twins.Change(tx, actor, JobRows.IdentityOf(batch[i]), batch[i].GenerationId, _change));
                rows.Put(batch[i], JobDeviceStatus.Completed);
            }
            catch (HubException refusal)
            {
                outcome.Refusals[i] = refusal;
                rows.Fail(batch[i], refusal);
            }
        }

        rows.Store();
        return outcome;
    }

    private void Tell(Outcome? outcome)
    {
        if (outcome is not null)
            parts.Twins.Tell(outcome.Changes);
    }

    private void TakeBack(Actor actor, List<JobDeviceRecord> rows, string reason) =>
        rows.ForEach(row => parts.Audit.Note(actor.Refused(ActionOf(row), row.ToString(), reason)));

    private static string ActionOf(JobDeviceRecord row) => row.ModuleId.Length == 0 ? "device twin-update" : "module twin-update";

    private sealed record Outcome(List<DeviceTwins.Decision> Changes, HubException?[] Refusals);
}
