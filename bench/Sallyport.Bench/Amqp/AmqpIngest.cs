using System.Diagnostics;
using System.Globalization;

namespace Sallyport.Bench.Amqp;

/// <summary>Telemetry over a few connections that send as much as they may; each message is synced before it is settled.</summary>
internal static class AmqpIngest
{
    private const int PayloadBytes = 256;

    public static async Task Run(string program, string directory, int connections, int rounds, TimeSpan duration, TextWriter output)
    {
        var data = Path.Combine(directory, "hub");
        using (var hub = AmqpBench.Hub(program, data))
            await hub.Register(connections);

        List<Row> rows = [];
        List<double> syncs = [];
        var credit = 0u;
        for (var round = 0; round < rounds; round++)
        {
            syncs.Add(Accounting.DiskSyncs(directory).PerSecond);
            using var hub = AmqpBench.Hub(program, data);
            using var senders = new AmqpSenders(hub, connections, PayloadBytes);
            senders.Run(TimeSpan.FromSeconds(10));

            var (allocated, commits, syncing) = (await hub.AllocatedBytes(), await hub.Commits(), await hub.CommitSeconds());
            var (cpu, own) = (Accounting.CpuSeconds(hub.Pid), Native.ThreadCpuSeconds());
            var (settled, dispositions) = (senders.Settled, senders.Dispositions);
            var clock = Stopwatch.StartNew();
            senders.Run(duration);
            var seconds = clock.Elapsed.TotalSeconds;
            (cpu, own) = (Accounting.CpuSeconds(hub.Pid) - cpu, Native.ThreadCpuSeconds() - own);
            (allocated, commits, syncing) = (await hub.AllocatedBytes() - allocated, await hub.Commits() - commits, await hub.CommitSeconds() - syncing);
            (settled, dispositions) = (senders.Settled - settled, senders.Dispositions - dispositions);
            credit = Math.Max(credit, senders.LargestCredit);
            rows.Add(new Row(settled / seconds, cpu * 1e6 / settled, allocated / settled, cpu / seconds, own / seconds, settled / (double)dispositions, commits / seconds, syncing / seconds));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"ingest of {PayloadBytes}-byte messages over {connections} TLS connections, credit {credit}, synced before they are settled, {rounds} rounds of {duration.TotalSeconds:0} s after 10 s:"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {Compare.Spread(rows.Select(row => row.PerSecond))} msg/s, {Compare.Spread(rows.Select(row => row.CpuMicroseconds), "0.00")} us server CPU/msg, {Compare.Spread(rows.Select(row => row.Allocated), "0.0")} B allocated/msg, {Compare.Spread(rows.Select(row => row.PerDisposition), "0")} messages a disposition; server {Compare.Spread(rows.Select(row => row.ServerCores), "0.00")} cores, senders {Compare.Spread(rows.Select(row => row.SenderCores), "0.00")}; {Compare.Spread(rows.Select(row => row.CommitsPerSecond))} commits/s, writing and syncing {Compare.Spread(rows.Select(row => 100 * row.Committing), "0")} % of the time; disk {Compare.Spread(syncs)} syncs/s of 16 KiB"));
    }

    private readonly record struct Row(double PerSecond, double CpuMicroseconds, double Allocated, double ServerCores, double SenderCores, double PerDisposition, double CommitsPerSecond, double Committing);
}
