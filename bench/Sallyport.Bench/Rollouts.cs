using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Bench.Twins;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Bench;

/// <summary>Automatic configurations over the twins of <see cref="Queries"/>, in a store on disk, without a socket: how fast twins follow, and what it costs others.</summary>
internal static class Rollouts
{
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "bench", "local");

    public static async Task Run(string directory, int devices, int rounds, TextWriter output)
    {
        using var secrets = new SecretBox(new KeyRing(MasterKey.Random()));
        await using var metadata = await SqliteMetadata.OpenAsync(Path.Combine(directory, "metadata.db"), secrets, TimeProvider.System, NullLogger.Instance);
        await TwinStore.FillAsync(metadata, devices, place => $"device-{place:0000000}");

        var time = TimeProvider.System;
        var connected = new ConnectedDevices(new Attempts(_ => true, time), time);
        await using var activity = new ActivityWriteBack(metadata, connected, time, NullLogger<ActivityWriteBack>.Instance);
        var (names, tags, trail, options) = (new HubNames(["bench"]), new KnownTags(metadata), new NoTrail(), new ConfigurationOptions());
        var quotas = new Quotas(new QuotaOptions { RegistryOperationsPerSecond = 0, DeviceRegistryOperationsPerSecond = 0 }, time);
        var twins = new DeviceTwins(metadata, connected, activity, names, new QuarantineLine(), tags, trail, quotas, time);
        var registry = new DeviceRegistry(metadata, connected, activity, new IdentityCache(metadata), tags, trail, names, new RegistryOptions(), quotas, new NoKeyAttestation(), time);
        using var queries = new TwinQueries(metadata, connected, activity, quotas, new QueryLimits(), time);
        using var rollout = new ConfigurationRollout(metadata, twins, registry, _ => (AzureRights.All, Scope.Everything), connected, activity, options, time, NullLogger<ConfigurationRollout>.Instance);
        var configurations = new AutomaticConfigurations(metadata, twins, registry, queries, new QueryLimits(), rollout, _ => (AzureRights.All, Scope.Everything), options, trail, quotas, time);

        // What there is without any: reports of one after the other.
        await Show("report, no configuration", rounds, i => ReportAsync(i));
        await PutAsync("all", "*", 1);
        await Once($"one configuration over {devices:#,0} devices", devices, SettleAsync);
        rollout.NoteConfigurations();
        await Once("looking at all of them again, as after a start", devices, SettleAsync);
        await PutAsync("site", "tags.site = 'site-7'", 2);
        await Once("another one, over 1 % of them", devices / 100, SettleAsync);
        for (var i = 0; i < 8; i++)
            await PutAsync($"none-{i}", $"tags.site = 'none-{i}' OR properties.reported.r05 = {1000 + i}", 3);
        await SettleAsync();

        await Show("tag change that brings a device into reach: until its desired properties are on disk", rounds, async i =>
        {
            await TagAsync(i, i % 2 == 0 ? "site-7" : "other");
            await SettleAsync();
        });
        await Show("the tag change alone", rounds, i => TagAsync(i, i % 2 == 0 ? "x" : "y"));
        await SettleAsync();
        await Show("report, ten configurations that it changes nothing of, with the look at it", rounds, async i =>
        {
            await ReportAsync(i);
            await SettleAsync();
        });
        await Show("show, with its system metrics", 20, async _ => await configurations.GetAsync(Owner, "all", CancellationToken.None));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"RSS {Environment.WorkingSet / 1e6:0} MB, managed {GC.GetTotalMemory(true) / 1e6:0} MB"));

        async Task SettleAsync()
        {
            while (await rollout.TurnAsync(CancellationToken.None))
            {
            }
        }

        async Task PutAsync(string id, string condition, int priority) => await configurations.PutAsync(
            Owner, id, ConfigurationDraft.Read(Encoding.UTF8.GetBytes(
                "{\"content\":{\"deviceContent\":{\"properties.desired.conf." + id + "\":{\"level\":7,\"mode\":\"quiet\"},\"properties.desired.interval\":" + (1000 + priority) + "}},\"targetCondition\":\"" + condition + "\",\"priority\":" + priority + "}")),
            null, CancellationToken.None);

        async Task TagAsync(int i, string site) => await twins.ChangeAsync(
            Owner, Device(i), TwinChange.Read(Encoding.UTF8.GetBytes("{\"tags\":{\"site\":\"" + site + "\"}}"), replaces: false), EntityTagCondition.Any, CancellationToken.None);

        async Task ReportAsync(int i) => await twins.ReportAsync(
            Device(i), "1", TwinReader.Read(Encoding.UTF8.GetBytes($$"""{"r01":{{i}}}"""), TwinLimits.Reported), null, CancellationToken.None);

        Identity Device(int i) => Identity.Of($"device-{(int)(i * 104_729L % devices):0000000}");

        async Task Once(string name, int count, Func<Task> act)
        {
            var (clock, cpu, commits) = (Stopwatch.StartNew(), Environment.CpuUsage.TotalTime, metadata.Commits);
            await act();
            var used = Environment.CpuUsage.TotalTime - cpu;
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {clock.Elapsed.TotalSeconds:0.00} s, {count / clock.Elapsed.TotalSeconds:#,0} devices/s, {used.TotalMicroseconds / count:0} µs of CPU each, {metadata.Commits - commits} commits"));
        }

        async Task Show(string name, int times, Func<int, Task> act)
        {
            List<double> ms = [];
            var cpu = Environment.CpuUsage.TotalTime;
            for (var i = 0; i < times; i++)
            {
                var clock = Stopwatch.StartNew();
                await act(i);
                ms.Add(clock.Elapsed.TotalMilliseconds);
            }

            var used = Environment.CpuUsage.TotalTime - cpu;
            ms.Sort();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}: {ms[ms.Count / 2]:0.00} ms (p99 {ms[ms.Count * 99 / 100]:0.00}), {used.TotalMicroseconds / times:0} µs of CPU each"));
        }
    }

    private sealed class NoTrail : IAuditTrail
    {
        public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel) => ValueTask.CompletedTask;

        public void Note(AuditEntry entry)
        {
            return;
        }
    }
}
