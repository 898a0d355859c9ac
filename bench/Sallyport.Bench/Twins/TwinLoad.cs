using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Bench.Twins;

/// <summary>Twins over TLS: gets and reports of a fleet, and queries over many twins while it is connected.</summary>
internal static class TwinLoad
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(4);

    /// <summary>What makes ten reported paths indexed: a query that names each.</summary>
    private static readonly string[] Indexed = ["r00", "r01", "r02", "r03", "r04", "r05", "r06", "r07", "r08", "r10"];

    private static readonly (string Name, string Query, string Goal)[] Shapes =
    [
        ("count of all", "SELECT COUNT() AS n FROM devices", "500"),
        ("count, indexed reported, 1 %", "SELECT COUNT() AS n FROM devices WHERE properties.reported.r05 = 7", "50"),
        ("count, tag, 1 %", "SELECT COUNT() AS n FROM devices WHERE tags.site = 'site-7'", "50"),
        ("1,000 ids, tag, 1 %", "SELECT deviceId FROM devices WHERE tags.site = 'site-7'", "50"),
        ("1,000 ids, desired, 1 %", "SELECT deviceId FROM devices WHERE properties.desired.interval = 7", "50"),
        ("1,000 ids, status, 1 %", "SELECT deviceId FROM devices WHERE status = 'disabled'", "50"),
        ("1,000 ids, range of indexed, 1 %", "SELECT deviceId FROM devices WHERE properties.reported.r08 >= 7 AND properties.reported.r08 < 8", "50"),
        ("1,000 twins, tag, 1 %", "SELECT * FROM devices WHERE tags.site = 'site-7'", "50"),
        ("100 twins (a page), tag, 1 %", "SELECT TOP 100 * FROM devices WHERE tags.site = 'site-7'", "50"),
        ("count, last activity", "SELECT COUNT() AS n FROM devices WHERE lastActivityTime > '2020-01-01'", "500"),
        ("groups of a tag", "SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site", "500"),
        ("connected", "SELECT deviceId FROM devices WHERE connectionState = 'Connected'", "50"),
    ];

    // Each is asked once only: the first query that names a path.
    private static readonly string[] Unindexed = ["r11", "r13", "r14", "r16", "r17", "r19"];

    public static async Task Run(string program, string data, string scratch, int devices, int connections, IReadOnlyList<TwinWork> works, int rounds, TimeSpan duration, TextWriter output)
    {
        var clock = Stopwatch.StartNew();
        var bytes = await TwinStore.FillDirectoryAsync(data, devices);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{devices:#,0} twins, {bytes / 1e6:0} MB, after {clock.Elapsed.TotalSeconds:0.0} s"));
        using var hub = Server.Hub(program, data);
        foreach (var path in Indexed)
            await Ask(hub, $"SELECT COUNT() AS n FROM devices WHERE properties.reported.{path} = -1");
        using var fleet = new TwinFleet(hub, Spread(devices, connections));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{connections} connected, after {clock.Elapsed.TotalSeconds:0.0} s; hub {hub.Pid}, resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB"));
        foreach (var work in works)
        {
            fleet.Begin(work);
            fleet.Continue(WarmUp);
            List<double> perSecond = [], cpus = [], p50 = [], p99 = [], allocated = [], perCommit = [], busy = [];
            for (var round = 0; round < rounds; round++)
            {
                var (cpu, heap, before) = (Accounting.CpuSeconds(hub.Pid), await hub.AllocatedBytes(), await hub.MetadataCommits());
                var load = fleet.Continue(duration);
                var after = await hub.MetadataCommits();
                perCommit.Add(load.Messages / Math.Max(1, after.Commits - before.Commits));
                busy.Add((after.Seconds - before.Seconds) / load.Seconds);
                perSecond.Add(load.MessagesPerSecond);
                cpus.Add((Accounting.CpuSeconds(hub.Pid) - cpu) * 1e6 / load.Messages);
                allocated.Add((await hub.AllocatedBytes() - heap) / load.Messages);
                p50.Add(load.Percentile(0.5) / 1000.0);
                p99.Add(load.Percentile(0.99) / 1000.0);
            }

            fleet.Drain();
            var (syncs, sync) = Accounting.DiskSyncs(scratch);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{work}: {Compare.Spread(perSecond)} /s, {Compare.Spread(cpus, "0.0")} us server CPU each, {Compare.Spread(allocated)} B allocated each, p50 {Compare.Spread(p50, "0.0")} ms, p99 {Compare.Spread(p99, "0.0")} ms, {Compare.Spread(perCommit, "0")} a commit, writer busy {Compare.Spread(busy, "0.00")}; disk {syncs:#,0} syncs/s, p50 {sync} us"));
        }
    }

    /// <param name="perSecond">Gets and reports of the fleet meanwhile; 0: it is only connected.</param>
    public static async Task Query(string program, string data, int devices, int connections, int perSecond, int rounds, TextWriter output)
    {
        await TwinStore.FillDirectoryAsync(data, devices);
        using var hub = Server.Hub(program, data);
        using var fleet = new TwinFleet(hub, Spread(devices, connections));
        using var enough = new CancellationTokenSource();
        var working = Task.Factory.StartNew(() => fleet.Steady(TwinWork.Mixed, perSecond, enough.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Ask(hub, "SELECT * FROM devices WHERE deviceId = 'bench-1'"); // The process's first.
        List<double> firsts = [];
        foreach (var path in Unindexed)
            firsts.Add((await Ask(hub, $"SELECT COUNT() AS n FROM devices WHERE properties.reported.{path} = 7")).Ms);
        output.WriteLine($"unindexed reported, 1 %, the first time (goal 500): {Compare.Spread(firsts, "0")} ms");
        foreach (var (name, query, goal) in Shapes)
        {
            var (first, rows, bytes) = await Ask(hub, query);
            List<double> then = [];
            for (var round = 0; round < rounds; round++)
                then.Add((await Ask(hub, query)).Ms);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-34} (goal {goal,3}) first {first,6:0.0} ms; then {Compare.Spread(then, "0.0")} ms; {rows} rows, {bytes} B"));
        }

        await enough.CancelAsync();
        var load = await working;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"meanwhile {load.MessagesPerSecond:#,0} gets and reports/s, p50 {load.Percentile(0.5) / 1000.0:0.0} ms, p99 {load.Percentile(0.99) / 1000.0:0.0} ms, unsent {fleet.Unsent}; hub resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB"));
    }

    private static List<int> Spread(int devices, int connections) =>
        [.. Enumerable.Range(0, connections).Select(i => (int)((long)i * devices / connections)).Select(i => i % TwinStore.Values == 7 ? i + 1 : i)];

    private static async Task<(double Ms, int Rows, int Bytes)> Ask(Server hub, string query)
    {
        var clock = Stopwatch.StartNew();
        using var request = new HttpRequestMessage(HttpMethod.Post, "devices/query?api-version=2021-04-12") { Content = JsonContent.Create(new { query }) };
        request.Headers.Add("x-ms-max-item-count", "1000");
        using var answer = await hub.Rest!.SendAsync(request);
        var bytes = await answer.Content.ReadAsByteArrayAsync();
        var ms = clock.Elapsed.TotalMilliseconds;
        answer.EnsureSuccessStatusCode();
        return (ms, JsonNode.Parse(bytes)!.AsArray().Count, bytes.Length);
    }
}
