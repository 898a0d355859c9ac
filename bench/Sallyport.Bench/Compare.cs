using System.Globalization;

namespace Sallyport.Bench;

/// <summary>The shapes of load; they rank designs differently, so both are always quoted.</summary>
/// <param name="RatePerSecond">0 for closed loop.</param>
internal sealed record Shape(string Name, int Connections, int Window, int RatePerSecond)
{
    public static readonly Shape[] All =
    [
        new("fleet", 1000, 1, 0),
        new("burst", 50, 20, 0),
        new("paced", 1000, 4, 2000),
    ];
}

/// <summary>Runs hub and probe alternately under the same load and prints medians with range.</summary>
internal static class Compare
{
    private const int PayloadBytes = 256;

    public static async Task Run(string program, string directory, IReadOnlyList<Shape> shapes, int rounds, TimeSpan duration, TextWriter output)
    {
        var data = Path.Combine(directory, "hub");
        using (var hub = Server.Hub(program, data))
            await hub.Register(shapes.Max(shape => shape.Connections));

        foreach (var shape in shapes)
        {
            List<Row> hubRows = [], probeRows = [];
            List<(double PerSecond, int Median)> syncs = [];
            for (var round = 0; round < rounds; round++)
            {
                syncs.Add(Accounting.DiskSyncs(directory));
                using (var probe = Server.Probe(directory))
                    probeRows.Add(One(probe, shape, duration));
                using (var hub = Server.Hub(program, data))
                    hubRows.Add(One(hub, shape, duration));
            }

            output.WriteLine($"{shape.Name}: {shape.Connections} connections x {shape.Window} in flight{(shape.RatePerSecond > 0 ? $", {shape.RatePerSecond} msg/s" : "")}, {PayloadBytes} B, {rounds} alternating rounds of {duration.TotalSeconds:0} s");
            output.WriteLine($"  disk      {Spread(syncs.Select(sync => sync.PerSecond))} syncs/s of 16 KiB, p50 {Spread(syncs.Select(sync => (double)sync.Median))} us");
            Print("probe", probeRows);
            Print("hub", hubRows);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"  hub/probe CPU {Median(hubRows.Zip(probeRows, (h, p) => h.CpuMicroseconds / p.CpuMicroseconds)):0.00}, msg/s {Median(hubRows.Zip(probeRows, (h, p) => h.PerSecond / p.PerSecond)):0.00}; hub p50 - sync p50 = {Median(hubRows.Zip(syncs, (h, s) => h.P50 - s.Median)):0} us"));
        }

        void Print(string name, List<Row> rows) => output.WriteLine(
            $"  {name,-9} {Spread(rows.Select(row => row.PerSecond))} msg/s, {Spread(rows.Select(row => row.CpuMicroseconds), "0.0")} us server CPU/msg, p50 {Spread(rows.Select(row => row.P50))} us, p99 {Spread(rows.Select(row => row.P99))} us");
    }

    public static Row One(Server server, Shape shape, TimeSpan duration)
    {
        using var generator = new Generator(server.Port, shape.Connections, shape.Window, PayloadBytes, server.HostName, server.Token);
        var warmUp = TimeSpan.FromSeconds(10);
        if (shape.RatePerSecond > 0)
            generator.Steady(shape.RatePerSecond, warmUp, TimeSpan.Zero);
        else
            generator.Saturate(warmUp, TimeSpan.Zero);

        var before = Accounting.CpuSeconds(server.Pid);
        var load = shape.RatePerSecond > 0
            ? generator.Steady(shape.RatePerSecond, TimeSpan.Zero, duration)
            : generator.Continue(duration);
        var cpu = Accounting.CpuSeconds(server.Pid) - before;
        return new Row(load.MessagesPerSecond, cpu * 1e6 / load.Messages, load.Percentile(0.5), load.Percentile(0.99));
    }

    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }

    public static string Spread(IEnumerable<double> values, string format = "#,0")
    {
        var sorted = values.Order().ToArray();
        string Text(double value) => value.ToString(format, CultureInfo.InvariantCulture);
        return $"{Text(sorted[sorted.Length / 2])} ({Text(sorted[0])}..{Text(sorted[^1])})";
    }

    internal readonly record struct Row(double PerSecond, double CpuMicroseconds, double P50, double P99);
}
