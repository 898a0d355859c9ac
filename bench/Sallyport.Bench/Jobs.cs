using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Bench.Twins;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Bench;

/// <summary>A job that changes the twins of many devices: store and audit trail on disk, without a socket; and what an act of somebody else waits meanwhile.</summary>
internal static class Jobs
{
    public static async Task Run(string directory, int devices, long devicesPerSecond, TextWriter output)
    {
        var time = TimeProvider.System;
        var keys = new KeyRing(MasterKey.Random());
        using var secrets = new SecretBox(keys);
        await using var metadata = await SqliteMetadata.OpenAsync(Path.Combine(directory, "metadata.db"), secrets, time, NullLogger.Instance);
        await using var audit = AuditTrail.Open(Path.Combine(directory, "audit"), new AuditKeys("0123456789abcdef", keys), new AuditTrailOptions(), time, NullLogger.Instance);
        await TwinStore.FillAsync(metadata, devices, place => $"device-{place:0000000}");

        var tags = new KnownTags(metadata);
        using var policies = await Policies.OpenAsync(metadata, tags, audit, time, CancellationToken.None);
        var connected = new ConnectedDevices(new Attempts(_ => true, time), time);
        await using var activity = new ActivityWriteBack(metadata, connected, time, NullLogger<ActivityWriteBack>.Instance);
        var quotas = new Quotas(new QuotaOptions(), time);
        var line = new QuarantineLine();
        var twins = new DeviceTwins(metadata, connected, activity, new HubNames(["hub.test"]), line, tags, audit, quotas, time);
        using var methods = new DirectMethods(connected, new IdentityCache(metadata), line, new PrivilegedReads(audit, time), time);
        using var queries = new TwinQueries(metadata, connected, activity, quotas, new QueryLimits(), time);
        var jobs = new ScheduledJobs(
            metadata, policies, tags, queries, twins, methods, connected, audit, new JobOptions { DevicesPerSecond = devicesPerSecond }, time, NullLogger<ScheduledJobs>.Instance);
        var owner = new Actor("policy:iothubowner", "", AzureRights.All, "bench", "local");
        var request = new JobRequest
        {
            Type = "scheduleUpdateTwin", QueryCondition = "*", UpdateTwin = JsonElement.Parse("""{"tags":{"season":"winter"},"properties":{"desired":{"interval":5}}}"""),
        };
        await jobs.CreateAsync(owner, JobDraft.Of("bench", request, time.GetUtcNow()), CancellationToken.None);

        using var stop = new CancellationTokenSource();
        var others = OthersAsync(metadata, stop.Token);
        var clock = Stopwatch.StartNew();
        var running = jobs.RunDueAsync(CancellationToken.None);
        var chosen = TimeSpan.Zero;
        while (!running.IsCompleted)
        {
            // Time is the subject: how far the job has come is looked at this often.
            await Task.WhenAny(running, Task.Delay(50));
            if (chosen == TimeSpan.Zero && jobs.Get(Scope.Everything, "bench").IsChosen)
                chosen = clock.Elapsed;
        }

        await running;
        var all = clock.Elapsed;
        await stop.CancelAsync();
        var waits = await others;
        var job = jobs.Get(Scope.Everything, "bench");
        waits.Sort();
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{job.Status}: {job.Succeeded:#,0} of {job.Devices:#,0} devices in {all.TotalSeconds:0.0} s, {chosen.TotalSeconds:0.0} s of it to choose them; {job.Succeeded / (all - chosen).TotalSeconds:#,0} devices/s changed"));
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"a write of somebody else meanwhile ({waits.Count}): p50 {waits[waits.Count / 2]:0.0} ms, p99 {waits[waits.Count * 99 / 100]:0.0} ms, longest {waits[^1]:0.0} ms"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"RSS {Environment.WorkingSet / 1e6:0} MB, database {new FileInfo(Path.Combine(directory, "metadata.db")).Length / 1e6:0} MB"));
    }

    private static async Task<List<double>> OthersAsync(SqliteMetadata metadata, CancellationToken stop)
    {
        List<double> waits = [];
        while (!stop.IsCancellationRequested)
        {
            var clock = Stopwatch.StartNew();
            await metadata.WriteAsync(
                tx =>
                {
                    metadata.Checkpoints.Put(tx, "bench", "other", 0, waits.Count);
                    return true;
                },
                CancellationToken.None);
            waits.Add(clock.Elapsed.TotalMilliseconds);
            // Time is the subject: somebody who writes a hundred times a second.
            await Task.Delay(10, CancellationToken.None);
        }

        return waits;
    }
}
