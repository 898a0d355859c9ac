using System.Diagnostics;
using System.Globalization;

namespace Sallyport.Bench;

/// <summary>What a hub costs before it does anything: start, idle connections, registered devices, single reads.</summary>
internal static class Footprint
{
    public static async Task Run(string program, string directory, int connections, int devices, TextWriter output)
    {
        var data = Path.Combine(directory, "hub");
        List<double> starts = [];
        for (var i = 0; i < 5; i++)
        {
            using var started = Server.Hub(program, data);
            starts.Add(started.StartTime.TotalSeconds);
        }

        output.WriteLine(FormattableString.Invariant($"start to ready: first on an empty directory {starts[0]:0.00} s, then {Compare.Spread(starts.Skip(1), "0.00")} s"));

        using (var hub = Server.Hub(program, data))
        {
            await hub.Register(connections);
            using (new Generator(hub.Port, 50, 1, 256, hub.HostName, hub.Token))
            {
            }

            await Settle(hub);
            var before = Accounting.ResidentKiB(hub.Pid);
            using var idle = new Generator(hub.Port, connections, 1, 256, hub.HostName, hub.Token);
            await Settle(hub);
            var after = Accounting.ResidentKiB(hub.Pid);
            output.WriteLine(FormattableString.Invariant($"idle TLS connections: {connections}, resident {before / 1024.0:0} -> {after / 1024.0:0} MiB, {(after - before) / (double)connections:0.0} KiB each"));
        }

        var registered = Path.Combine(directory, "registered");
        using (var hub = Server.Hub(program, registered))
        {
            var before = Accounting.ResidentKiB(hub.Pid);
            var clock = Stopwatch.StartNew();
            await hub.Register(devices);
            output.WriteLine(FormattableString.Invariant($"registering {devices:#,0} devices, 100 a request: {clock.Elapsed.TotalSeconds:0.0} s, resident {before / 1024.0:0} -> {Accounting.ResidentKiB(hub.Pid) / 1024.0:0} MiB"));
        }

        using (var hub = Server.Hub(program, registered))
        {
            var reads = await Reads(hub, devices, perSecond: 500, TimeSpan.FromSeconds(10));
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"single-identity reads at 500/s: p50 {reads[reads.Length / 2] / 1000.0:0.00} ms, p99 {reads[(int)(reads.Length * 0.99)] / 1000.0:0.00} ms; resident after a restart with {devices:#,0} devices and these reads: {Accounting.ResidentKiB(hub.Pid) / 1024.0:0} MiB"));
        }
    }

    // Resident memory is read when it has stopped moving: time is the subject, no event says that a process has settled.
    public static async Task Settle(Server hub)
    {
        long last;
        do
        {
            last = Accounting.ResidentKiB(hub.Pid);
            await Task.Delay(TimeSpan.FromSeconds(3));
        }
        while (Math.Abs(Accounting.ResidentKiB(hub.Pid) - last) > 1024);
    }

    private static async Task<long[]> Reads(Server hub, int devices, int perSecond, TimeSpan duration)
    {
        var random = new Random(1);
        await Pace(TimeSpan.FromSeconds(10)); // warm-up
        var times = await Pace(duration);
        Array.Sort(times);
        return times;

        // Open loop: each request leaves at its time, whatever the ones before it do. The kernel's clock keeps the pace: the runtime's
        // timers count whole milliseconds.
        Task<long[]> Pace(TimeSpan length) => Task.Factory.StartNew(() =>
        {
            var interval = Stopwatch.Frequency / perSecond;
            using var clock = new KernelClock(1_000_000_000L / perSecond);
            var due = clock.Start;
            List<Task<long>> reads = [];
            for (var count = (int)(perSecond * length.TotalSeconds); reads.Count < count;)
            {
                for (var ticks = clock.Wait(); ticks > 0 && reads.Count < count; ticks--)
                    reads.Add(Read(random.Next(devices), due += interval));
            }

            return Task.WhenAll(reads);
        }, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();

        async Task<long> Read(int device, long due)
        {
            using var answer = await hub.Rest!.GetAsync(new Uri($"devices/{Generator.DeviceId(device)}?api-version=2021-04-12", UriKind.Relative));
            answer.EnsureSuccessStatusCode();
            await answer.Content.ReadAsByteArrayAsync();
            return (long)Stopwatch.GetElapsedTime(due).TotalMicroseconds;
        }
    }
}
