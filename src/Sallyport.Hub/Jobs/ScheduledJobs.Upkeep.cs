using Microsoft.Extensions.Logging;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Jobs;

/// <content>Carries jobs out when their time comes, and forgets those that ended long ago.</content>
public sealed partial class ScheduledJobs
{
    /// <summary>How often it is looked: so much later than it is due a job begins.</summary>
    public static readonly TimeSpan UpkeepInterval = TimeSpan.FromSeconds(1);

    private const int RowsPerDelete = 1000;
    private const int DeletesPerTurn = 10;

    // History has time.
    private const int TurnsPerTidying = 60;

    private readonly ILogger<ScheduledJobs> _logger;

    /// <summary>Carries out jobs until it is cancelled; then it returns, and whoever goes on finds them where they are.</summary>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    public async Task RunAsync(CancellationToken cancel)
    {
        var tasks = new Dictionary<long, Task>();
        using var timer = new PeriodicTimer(UpkeepInterval, _time);
        try
        {
            var tick = timer.WaitForNextTickAsync(cancel).AsTask();
            var made = _made.Reader.ReadAsync(cancel).AsTask();
            for (var (turns, isTidying) = (0, true); ;)
            {
                await EndedAsync(tasks).ConfigureAwait(false);
                try
                {
                    await StartDueAsync(tasks, cancel).ConfigureAwait(false);
                    isTidying = isTidying && await TidyAsync().ConfigureAwait(false);
                }
                catch (MetadataWriteException full) when (!full.IsPermanent)
                {
                    _logger.JobsDelayed(full, UpkeepInterval);
                }

                await Task.WhenAny([tick, made, .. tasks.Values]).ConfigureAwait(false);
                cancel.ThrowIfCancellationRequested();
                if (made.IsCompleted)
                    made = _made.Reader.ReadAsync(cancel).AsTask();
                if (!tick.IsCompleted)
                    continue;

                tick = timer.WaitForNextTickAsync(cancel).AsTask();
                isTidying |= ++turns % TurnsPerTidying == 0;
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // They end as well: each returns.
        }
        finally
        {
            await Task.WhenAll(tasks.Values).ConfigureAwait(false);
            foreach (var run in _runs.Values)
                run.Dispose();
            _runs.Clear();
        }
    }

    /// <summary>Does all that is due now to its end; for tests and benchmarks.</summary>
    internal async Task RunDueAsync(CancellationToken cancel)
    {
        var tasks = new Dictionary<long, Task>();
        await StartDueAsync(tasks, cancel).ConfigureAwait(false);
        while (tasks.Count > 0)
        {
            await Task.WhenAny(tasks.Values).ConfigureAwait(false);
            await EndedAsync(tasks).ConfigureAwait(false);
            if (!cancel.IsCancellationRequested)
                await StartDueAsync(tasks, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>Forgets what is older than it may be, and the oldest of what is more than may be kept; some of it a call.</summary>
    /// <returns>Whether there is more of it.</returns>
    internal async ValueTask<bool> TidyAsync()
    {
        for (var deletes = 0; deletes < DeletesPerTurn; deletes++)
        {
            if (_metadata.Read(Superfluous) is not { } job)
                return false;

            await _metadata.WriteAsync(tx => Forget(tx, job.Sequence, job.IsWhole)).ConfigureAwait(false);
        }

        return true;
    }

    private (long Sequence, bool IsWhole)? Superfluous(MetadataTransaction tx)
    {
        if (_metadata.Jobs.ListEnded(tx, _time.GetUtcNow() - Options.History, withOutcomes: false, 1) is [var old])
            return (old.Sequence, true);

        var (jobs, outcomes) = _metadata.Jobs.Count(tx);
        if (jobs > Options.MaxKept && _metadata.Jobs.ListEnded(tx, null, withOutcomes: false, 1) is [var first])
            return (first.Sequence, true);
        return outcomes > Options.MaxOutcomes * 9 / 10 && _metadata.Jobs.ListEnded(tx, null, withOutcomes: true, 1) is [var largest] ? (largest.Sequence, false) : null;
    }

    private bool Forget(MetadataTransaction tx, long sequence, bool isWhole)
    {
        if (_metadata.Jobs.Find(tx, sequence) is not { } job)
            return false;

        var deleted = _metadata.Jobs.DeleteDevices(tx, sequence, RowsPerDelete);
        if (isWhole && deleted < RowsPerDelete)
            return _metadata.Jobs.Delete(tx, sequence);

        _metadata.Jobs.Update(tx, job with { Outcomes = deleted < RowsPerDelete ? 0 : Math.Max(0, job.Outcomes - deleted) });
        return true;
    }

    private async Task EndedAsync(Dictionary<long, Task> tasks)
    {
        foreach (var (sequence, task) in tasks.Where(task => task.Value.IsCompleted).ToList())
        {
            tasks.Remove(sequence);
            if (_runs.TryRemove(sequence, out var run))
                run.Dispose();
            await task.ConfigureAwait(false);
        }
    }

    private async Task StartDueAsync(Dictionary<long, Task> tasks, CancellationToken cancel)
    {
        var now = _time.GetUtcNow();
        foreach (var job in _metadata.Read(_metadata.Jobs.ListOpen))
        {
            if (tasks.ContainsKey(job.Sequence) || (job.StartTime > now && job.Status is JobStatus.Scheduled))
                continue;

            // Who only waits for devices keeps nobody from running.
            if (_runs.Values.Count(run => !run.IsWaiting) < Options.MaxRunning)
            {
                var run = new JobRun(_parts, job.Sequence);
                _runs[job.Sequence] = run;
                tasks.Add(job.Sequence, Task.Run(() => run.RunAsync(cancel), CancellationToken.None));
            }
            else if (job.Status is JobStatus.Scheduled)
            {
                await _metadata.WriteAsync(tx => Queue(tx, job.Sequence), cancel).ConfigureAwait(false);
            }
        }
    }

    private bool Queue(MetadataTransaction tx, long sequence)
    {
        if (_metadata.Jobs.Find(tx, sequence) is not { Status: JobStatus.Scheduled } job)
            return false;

        _metadata.Jobs.Update(tx, job with { Status = JobStatus.Queued });
        return true;
    }
}
