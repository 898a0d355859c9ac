using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Bench.Twins;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Bench;

/// <summary>Queries over many twins of 1 KB with 30 paths, in a store on disk, without a socket: what a page or a count takes.</summary>
internal static class Queries
{
    private static readonly (string Name, string Query)[] Shapes =
    [
        ("count of all", "SELECT COUNT() AS n FROM devices"),
        ("count, tag, 1 %", "SELECT COUNT() AS n FROM devices WHERE tags.site = 'site-7'"),
        ("count, reported, 1 %", "SELECT COUNT() AS n FROM devices WHERE properties.reported.r05 = 7"),
        ("count, reported + 0, 1 %", "SELECT COUNT() AS n FROM devices WHERE properties.reported.r06 + 0 = 7 AND properties.reported.$version > 0"),
        ("groups of a tag", "SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site"),
        ("1,000 twins, tag, 1 %", "SELECT * FROM devices WHERE tags.site = 'site-7'"),
        ("1,000 ids, tag, 1 %", "SELECT deviceId FROM devices WHERE tags.site = 'site-7'"),
        ("100 ids (a page), tag, 1 %", "SELECT TOP 100 deviceId FROM devices WHERE tags.site = 'site-7'"),
        ("1,000 ids, desired, 1 %", "SELECT deviceId FROM devices WHERE properties.desired.interval = 7"),
        ("1,000 ids, status, 1 %", "SELECT deviceId FROM devices WHERE status = 'disabled'"),
        ("1,000 ids, range of reported, 1 %", "SELECT deviceId FROM devices WHERE properties.reported.r08 >= 7 AND properties.reported.r08 < 8"),
        ("ids, connected (none is)", "SELECT deviceId FROM devices WHERE connectionState = 'Connected'"),
        ("ids, last activity (none has)", "SELECT deviceId FROM devices WHERE lastActivityTime > '2020-01-01'"),
        ("one device by id", "SELECT * FROM devices WHERE deviceId = 'device-0054321'"),
        ("first 100 twins", "SELECT TOP 100 * FROM devices"),
    ];

    public static async Task Run(string directory, int devices, int rounds, TextWriter output)
    {
        using var secrets = new SecretBox(new KeyRing(MasterKey.Random()));
        await using var metadata = await SqliteMetadata.OpenAsync(Path.Combine(directory, "metadata.db"), secrets, TimeProvider.System, NullLogger.Instance);
        var filled = Stopwatch.StartNew();
        await TwinStore.FillAsync(metadata, devices, place => $"device-{place:0000000}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{devices:#,0} twins in {filled.Elapsed.TotalSeconds:0.0} s; the database has {new FileInfo(Path.Combine(directory, "metadata.db")).Length / 1e6:0} MB"));

        var connected = new ConnectedDevices(new Attempts(_ => true, TimeProvider.System), TimeProvider.System);
        await using var activity = new ActivityWriteBack(metadata, connected, TimeProvider.System, NullLogger<ActivityWriteBack>.Instance);
        using var queries = new TwinQueries(metadata, connected, activity, new Quotas(new QuotaOptions(), TimeProvider.System), new QueryLimits(), TimeProvider.System);
        foreach (var (name, query) in Shapes)
        {
            List<double> ms = [];
            var (first, rows, bytes) = (0.0, 0, 0);
            for (var round = 0; round <= rounds; round++)
            {
                var clock = Stopwatch.StartNew();
                var page = await queries.RunAsync(Scope.Everything, query, 1000, null, CancellationToken.None);
                if (round == 0)
                    (first, rows, bytes) = (clock.Elapsed.TotalMilliseconds, JsonNode.Parse(page.Json.Span)!.AsArray().Count, page.Json.Length);
                else
                    ms.Add(clock.Elapsed.TotalMilliseconds);
            }

            ms.Sort();
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-36} first {first,7:0.0} ms; then {ms[ms.Count / 2],7:0.0} ({ms[0]:0.0}..{ms[^1]:0.0}) ms; {rows} rows, {bytes} B"));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"RSS {Environment.WorkingSet / 1e6:0} MB, managed {GC.GetTotalMemory(true) / 1e6:0} MB"));
    }
}
