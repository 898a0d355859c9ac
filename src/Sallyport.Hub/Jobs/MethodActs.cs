using Sallyport.Hub.Devices;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <summary>
/// Calls a method of a job's devices, some at once. A device that takes no methods now is waited for until the window is over: it stays pending on disk, and is
/// looked at again when it comes. A row is running on disk before its device is called, and what it answered is on disk before the next takes its place; a hub that dies in
/// between calls it again.
/// </summary>
/// <remarks>Run by one task; calls are tasks of their own, of which each writes its own row.</remarks>
/// <param name="waits">Told whether it does nothing but wait for devices to come.</param>
internal sealed class MethodActs(JobParts parts, JobRecord job, Action<bool> waits)
{
    private const int PageRows = 256;

    // Whoever should have been told of and was not: a device that leaves quarantine, an arrival that fell into a gap.
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(30);

    // Whoever was there and could not be called all the same.
    private static readonly TimeSpan CallAgain = TimeSpan.FromSeconds(1);

    private readonly MethodCall _call = JobDraft.ReadCall(job.Act, Identity.Of("any"));
    private readonly Lock _gate = new();
    private readonly HashSet<Task> _calls = [];

    // Under the gate.
    private HashSet<Identity> _arrivals = [];
    private HashSet<Identity> _refusing = [];
    private bool _looksAtAll = true;
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _lookedAtAll;

    private IJobStore Jobs => parts.Metadata.Jobs;

    /// <returns>True: all are done. False: the job has ended.</returns>
    /// <exception cref="JobFailedException">It may not go on.</exception>
    public async Task<bool> RunAsync(CancellationToken cancel)
    {
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        using var free = new SemaphoreSlim(parts.Options.CallsPerJob);
        parts.Connected.LinkChanged += OnLinkChanged;
        try
        {
            await ForgetCallsAsync().ConfigureAwait(false);
            for (var isFirst = true; ; isFirst = false)
            {
                var (all, arrivals, news) = TakeNews();
                if (all)
                    await LookAtAllAsync(checksExistence: isFirst, free, giveUp.Token).ConfigureAwait(false);
                else
                    await LookAtAsync(arrivals, free, giveUp.Token).ConfigureAwait(false);

                await ForgetDoneAsync().ConfigureAwait(false);
                var now = parts.Metadata.Read(tx => Jobs.Find(tx, job.Sequence))!;
                if (now is not { Status: JobStatus.Running, Ending: JobEnding.None })
                    return false;
                if (now is { Pending: 0, Running: 0 })
                    return true;

                waits(now.Running == 0);
                await WaitAsync(news, giveUp.Token).ConfigureAwait(false);
                waits(false);
            }
        }
        finally
        {
            waits(false);
            parts.Connected.LinkChanged -= OnLinkChanged;
            await giveUp.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(Calls()).ConfigureAwait(false);
        }
    }

    // Often, and on the threads of the heads: it only notes who it was.
    private void OnLinkChanged(IDeviceLink link)
    {
        lock (_gate)
        {
            if (_looksAtAll)
                return;
            _arrivals.Add(link.Identity);
            if (_arrivals.Count > parts.Options.MaxArrivals)
                (_looksAtAll, _arrivals) = (true, []);
            _news.TrySetResult();
        }
    }

    private (bool All, HashSet<Identity> Arrivals, Task News) TakeNews()
    {
        lock (_gate)
        {
            var (all, arrivals) = (_looksAtAll, _arrivals);
            (_looksAtAll, _arrivals) = (false, []);
            if (all)
                _lookedAtAll = parts.Time.GetTimestamp();
            if (_news.Task.IsCompleted)
                _news = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return (all, arrivals, _news.Task);
        }
    }

    private async Task WaitAsync(Task news, CancellationToken cancel)
    {
        TimeSpan patience;
        lock (_gate)
            patience = _refusing.Count > 0 ? CallAgain : LookAgain;
        try
        {
            await news.WaitAsync(patience, parts.Time, cancel).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            lock (_gate)
            {
                _arrivals.UnionWith(_refusing);
                _refusing = [];
                _looksAtAll = parts.Time.GetElapsedTime(_lookedAtAll) >= LookAgain;
            }
        }
    }

    // What was being called when the hub died is called again.
    private async Task ForgetCallsAsync() => await parts.Metadata.WriteAsync(tx =>
    {
        var rows = new JobRows(Jobs, tx, job.Sequence, parts.Now);
        foreach (var row in Jobs.ListDevices(tx, job.Sequence, JobDeviceStatus.Running, ("", ""), int.MaxValue))
            rows.Put(row, JobDeviceStatus.Pending);
        rows.Store();
        return true;
    }).ConfigureAwait(false);

    private async Task LookAtAllAsync(bool checksExistence, SemaphoreSlim free, CancellationToken cancel)
    {
        (string, string) after = ("", "");
        IReadOnlyList<JobDeviceRecord> page;
        do
        {
            page = parts.Metadata.Read(tx => Jobs.ListDevices(tx, job.Sequence, JobDeviceStatus.Pending, after, PageRows));
            await LookAtAsync(page, checksExistence, free, cancel).ConfigureAwait(false);
            if (page.Count > 0)
                after = (page[^1].DeviceId, page[^1].ModuleId);
        }
        while (page.Count == PageRows);
    }

    private async Task LookAtAsync(IEnumerable<Identity> arrivals, SemaphoreSlim free, CancellationToken cancel)
    {
        foreach (var some in arrivals.Chunk(PageRows))
        {
            var rows = parts.Metadata.Read(tx => some.Select(one => Jobs.FindDevice(tx, job.Sequence, one.DeviceId, one.ModuleId ?? "")).OfType<JobDeviceRecord>()
                .Where(row => row.Status is JobDeviceStatus.Pending).ToList());
            await LookAtAsync(rows, checksExistence: false, free, cancel).ConfigureAwait(false);
        }
    }

    private async Task LookAtAsync(IReadOnlyList<JobDeviceRecord> rows, bool checksExistence, SemaphoreSlim free, CancellationToken cancel)
    {
        List<JobDeviceRecord> there = [.. rows.Where(row => parts.Connected.Find(JobRows.IdentityOf(row)) is { TakesMethods: true })];
        if (checksExistence)
            there.AddRange(parts.Metadata.Read(tx => rows.Where(row => !there.Contains(row) && !Exists(tx, row)).ToList()));
        for (var taken = 0; taken < there.Count;)
        {
            await free.WaitAsync(cancel).ConfigureAwait(false);
            var places = 1;
            while (taken + places < there.Count && free.Wait(0, CancellationToken.None))
                places++;
            await CallAsync(there.GetRange(taken, places), free, cancel).ConfigureAwait(false);
            taken += places;
        }
    }

    private bool Exists(MetadataTransaction tx, JobDeviceRecord row) =>
        parts.Metadata.Twins.Visit(tx, row.DeviceId, row.ModuleId, (in TwinRow _) => false);

    // Each has its place already, and gives it back.
    private async Task CallAsync(List<JobDeviceRecord> batch, SemaphoreSlim free, CancellationToken cancel)
    {
        List<JobDeviceRecord> running;
        ActingCreator creator;
        try
        {
            await parts.PaceAsync(batch.Count, cancel).ConfigureAwait(false);
            creator = parts.Require(job);
            running = await parts.Metadata.WriteAsync(tx => Begin(tx, creator, batch), cancel).ConfigureAwait(false);
        }
        catch
        {
            free.Release(batch.Count);
            throw;
        }

        if (running.Count < batch.Count)
            free.Release(batch.Count - running.Count);
        lock (_gate)
            _calls.UnionWith(running.Select(row => CallAsync(creator, row, free, cancel)));
    }

    private List<JobDeviceRecord> Begin(MetadataTransaction tx, ActingCreator creator, List<JobDeviceRecord> batch)
    {
        List<JobDeviceRecord> running = [];
        var rows = new JobRows(Jobs, tx, job.Sequence, parts.Now);
        if (!rows.IsActing)
            return running;

        foreach (var row in batch)
        {
            var identity = JobRows.IdentityOf(row);
            if (parts.Metadata.Twins.Find(tx, row.DeviceId, identity.ModuleId)?.GenerationId != row.GenerationId)
                rows.Fail(row, new HubException(identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound, $"there is no such {(identity.IsModule ? "module" : "device")} any more"));
            else if (!creator.Covers(row.DeviceId))
                rows.Fail(row, new HubException(HubErrors.UnauthorizedAccess, "the job's creator is limited to other devices"));
            else
                running.Add(rows.Put(row, JobDeviceStatus.Running));
        }

        rows.Store();
        return running;
    }

    private async Task CallAsync(ActingCreator creator, JobDeviceRecord row, SemaphoreSlim free, CancellationToken cancel)
    {
        try
        {
            await Task.Yield(); // The caller holds the gate.
            var answer = await parts.Methods.InvokeAsync(creator.Actor, _call with { Identity = JobRows.IdentityOf(row) }, cancel).ConfigureAwait(false);
            await EndAsync(row, rows => rows.Put(
                row with { ResponseStatus = answer.Status, ResponsePayload = answer.Payload.Length <= parts.Options.MaxPayloadBytes ? answer.Payload.ToArray() : null },
                JobDeviceStatus.Completed)).ConfigureAwait(false);
            JobMeter.Done(JobDeviceStatus.Completed, 1);
        }
        catch (HubException away) when (away.Error == HubErrors.DeviceNotOnline || away.Error == HubErrors.Throttled || away.Error == HubErrors.ServiceUnavailable)
        {
            // It went in between, reads too slowly, is in quarantine, or the hub has too much to do: nothing was sent, and it waits again.
            await EndAsync(row, rows => rows.Put(row, JobDeviceStatus.Pending)).ConfigureAwait(false);
            lock (_gate)
                _refusing.Add(JobRows.IdentityOf(row));
        }
        catch (HubException refusal)
        {
            await EndAsync(row, rows => rows.Fail(row, refusal)).ConfigureAwait(false);
            JobMeter.Done(JobDeviceStatus.Failed, 1);
        }
        catch (OperationCanceledException)
        {
            // The job or the hub ends: the row stays running, and is closed or called again.
        }
        finally
        {
            free.Release();
            lock (_gate)
                _news.TrySetResult();
        }
    }

    private async Task EndAsync(JobDeviceRecord row, Action<JobRows> put) => await parts.Metadata.WriteAsync(tx =>
    {
        // Closed meanwhile: what was closed stays.
        if (Jobs.FindDevice(tx, job.Sequence, row.DeviceId, row.ModuleId) is not { Status: JobDeviceStatus.Running })
            return false;

        var rows = new JobRows(Jobs, tx, job.Sequence, parts.Now);
        put(rows);
        rows.Store();
        return true;
    }).ConfigureAwait(false);

    private Task[] Calls()
    {
        lock (_gate)
            return [.. _calls];
    }

    /// <exception cref="MetadataWriteException">What came of a call could not be written.</exception>
    private async Task ForgetDoneAsync()
    {
        var done = Calls().Where(call => call.IsCompleted).ToList();
        lock (_gate)
            _calls.ExceptWith(done);
        foreach (var call in done)
            await call.ConfigureAwait(false);
    }
}
