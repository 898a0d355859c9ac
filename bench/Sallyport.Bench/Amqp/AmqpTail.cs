using System.Globalization;

namespace Sallyport.Bench.Amqp;

/// <summary>
/// What readers cost those who send: the same MQTT telemetry in open loop alone, with a reader of each partition at the tail, and with as many
/// that read everything from the start.
/// </summary>
internal static class AmqpTail
{
    private const int PayloadBytes = 256;
    private const string Latest = "amqp.annotation.x-opt-offset > '@latest'";
    private const string Earliest = "amqp.annotation.x-opt-offset > '-1'";

    /// <param name="replayPerSecond">What one replaying reader takes; 0 for as much as comes.</param>
    public static async Task Run(
        string program, string directory, int perSecond, int connections, int replayPerSecond, int backlog, int rounds, TimeSpan duration, TextWriter output)
    {
        var data = Path.Combine(directory, "hub");
        using (var hub = AmqpBench.Hub(program, data))
        {
            await hub.Register(connections);
            using var senders = new AmqpSenders(hub, 16, PayloadBytes);
            senders.Fill(backlog);
        }

        List<Row> alone = [], tail = [], replay = [];
        for (var round = 0; round < rounds; round++)
        {
            using var hub = AmqpBench.Hub(program, data);
            using var generator = new Generator(hub.Port, connections, window: 256, PayloadBytes, hub.HostName, hub.Token);
            generator.Steady(perSecond, TimeSpan.FromSeconds(5), TimeSpan.Zero);
            With(hub, Latest, 0, TimeSpan.FromSeconds(2));
            With(hub, Earliest, replayPerSecond, TimeSpan.FromSeconds(2));

            alone.Add(Measured(hub, () => generator.Steady(perSecond, TimeSpan.Zero, duration)));
            tail.Add(With(hub, Latest, 0, duration));
            replay.Add(With(hub, Earliest, replayPerSecond, duration));

            Row With(Server hub, string selector, int readPerSecond, TimeSpan duration)
            {
                using var readers = new AmqpReaders(hub, [.. Enumerable.Range(0, AmqpBench.Partitions)], selector, readPerSecond);
                using var over = new CancellationTokenSource();
                var reading = Task.Factory.StartNew(() => readers.Run(over.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
                generator.Steady(perSecond, TimeSpan.FromSeconds(0.5), TimeSpan.Zero);
                var before = readers.Events;
                var row = Measured(hub, () => generator.Steady(perSecond, TimeSpan.Zero, duration));
                var read = readers.Events - before;
                over.Cancel();
                reading.Wait();
                var ages = readers.AgesMs.Order().ToArray();
                return row with { ReadPerSecond = read / duration.TotalSeconds, AgeMs = ages.Length == 0 ? 0 : ages[ages.Length / 2], OldestMs = ages.Length == 0 ? 0 : ages[(int)(ages.Length * 0.99)] };
            }
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"MQTT telemetry at {perSecond:#,0}/s over {connections} TLS connections in open loop, {AmqpBench.Partitions} AMQP readers, one for each partition, {rounds} rounds of {duration.TotalSeconds:0} s:"));
        Print("alone", alone);
        Print("at the tail", tail);
        Print(replayPerSecond == 0 ? "replaying" : $"replaying {replayPerSecond:#,0}/s each", replay);

        void Print(string name, List<Row> rows) => output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {name,-24} {Compare.Spread(rows.Select(row => row.CpuMicroseconds), "0.0")} us server CPU/msg ({Compare.Spread(rows.Zip(alone, (row, a) => 100 * ((row.CpuMicroseconds / a.CpuMicroseconds) - 1)), "+0;-0")} %), p50 {Compare.Spread(rows.Select(row => row.P50))} us, p99 {Compare.Spread(rows.Select(row => row.P99))} us ({Compare.Spread(rows.Zip(alone, (row, a) => row.P99 / a.P99), "0.00")} x), sent late p99 {Compare.Spread(rows.Select(row => row.LateP99))} us; {Compare.Spread(rows.Select(row => row.PerSecond))} msg/s in, {Compare.Spread(rows.Select(row => row.ReadPerSecond))} events/s out, age p50 {Compare.Spread(rows.Select(row => row.AgeMs))} ms, p99 {Compare.Spread(rows.Select(row => row.OldestMs))} ms"));
    }

    private static Row Measured(Server hub, Func<Load> run)
    {
        var cpu = Accounting.CpuSeconds(hub.Pid);
        var load = run();
        cpu = Accounting.CpuSeconds(hub.Pid) - cpu;
        return new Row(load.MessagesPerSecond, cpu * 1e6 / load.Messages, load.Percentile(0.5), load.Percentile(0.99), load.Lateness(0.99), 0, 0, 0);
    }

    private readonly record struct Row(double PerSecond, double CpuMicroseconds, double P50, double P99, double LateP99, double ReadPerSecond, double AgeMs, double OldestMs);
}
