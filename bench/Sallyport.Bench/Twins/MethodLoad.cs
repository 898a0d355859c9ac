using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;

namespace Sallyport.Bench.Twins;

/// <summary>Direct methods: a service calls over HTTPS in open loop, devices answer over MQTT with TLS.</summary>
internal static class MethodLoad
{
    private static readonly byte[] Body = Encoding.UTF8.GetBytes("""{"methodName":"blink","payload":{"times":3},"responseTimeoutInSeconds":30}""");

    public static async Task Run(string program, string directory, int devices, int perSecond, int rounds, TimeSpan duration, TextWriter output)
    {
        using var hub = Server.Hub(program, Path.Combine(directory, "hub"));
        await hub.Register(devices);
        using var fleet = new TwinFleet(hub, [.. Enumerable.Range(0, devices)]);
        using var enough = new CancellationTokenSource();
        var answering = Task.Factory.StartNew(() => fleet.Steady(TwinWork.Get, 0, enough.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Call(hub, devices, perSecond, TimeSpan.FromSeconds(10));
        List<double> p50 = [], p99 = [], cpus = [], allocated = [];
        for (var round = 0; round < rounds; round++)
        {
            var (cpu, heap) = (Accounting.CpuSeconds(hub.Pid), await hub.AllocatedBytes());
            var times = await Call(hub, devices, perSecond, duration);
            cpus.Add((Accounting.CpuSeconds(hub.Pid) - cpu) * 1e6 / times.Length);
            allocated.Add((await hub.AllocatedBytes() - heap) / times.Length);
            p50.Add(times[times.Length / 2] / 1000.0);
            p99.Add(times[(int)(times.Length * 0.99)] / 1000.0);
        }

        await enough.CancelAsync();
        await answering;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"methods at {perSecond}/s over {devices} devices: p50 {Compare.Spread(p50, "0.00")} ms, p99 {Compare.Spread(p99, "0.00")} ms, {Compare.Spread(cpus, "0")} us server CPU each, {Compare.Spread(allocated)} B allocated each; {fleet.Methods} answered"));
    }

    // Open loop, as Footprint's reads.
    private static async Task<long[]> Call(Server hub, int devices, int perSecond, TimeSpan duration)
    {
        var times = await Task.Factory.StartNew(
            () =>
            {
                var interval = Stopwatch.Frequency / perSecond;
                using var clock = new KernelClock(1_000_000_000L / perSecond);
                var due = clock.Start;
                List<Task<long>> calls = [];
                for (var count = (int)(perSecond * duration.TotalSeconds); calls.Count < count;)
                {
                    for (var ticks = clock.Wait(); ticks > 0 && calls.Count < count; ticks--)
                        calls.Add(CallOne(hub, calls.Count * 7 % devices, due += interval));
                }

                return Task.WhenAll(calls);
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
        Array.Sort(times);
        return times;
    }

    private static async Task<long> CallOne(Server hub, int device, long due)
    {
        using var body = new ByteArrayContent(Body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        using var answer = await hub.Rest!.PostAsync(new Uri($"twins/{Generator.DeviceId(device)}/methods?api-version=2021-04-12", UriKind.Relative), body);
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode && text.Contains("done", StringComparison.Ordinal)
            ? (long)Stopwatch.GetElapsedTime(due).TotalMicroseconds
            : throw new IOException($"a method: {(int)answer.StatusCode} {text}");
    }
}
