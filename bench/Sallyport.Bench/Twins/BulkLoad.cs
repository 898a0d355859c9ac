using System.Diagnostics;
using System.Globalization;

namespace Sallyport.Bench.Twins;

/// <summary>Many devices made by bulk requests, and the memory of a hub that has them.</summary>
internal static class BulkLoad
{
    public static async Task Run(string program, string directory, int devices, int connections, int connected, TextWriter output)
    {
        using var hub = Server.Hub(program, Path.Combine(directory, "hub"));
        var before = Accounting.ResidentKiB(hub.Pid);
        var cpu = Accounting.CpuSeconds(hub.Pid);
        var clock = Stopwatch.StartNew();
        var next = -1;
        await Task.WhenAll(Enumerable.Range(0, connections).Select(async _ =>
        {
            while (Interlocked.Increment(ref next) * 100 is var first && first < devices)
                await hub.Register(first, Math.Min(100, devices - first));
        }));
        var took = clock.Elapsed.TotalSeconds;
        cpu = Accounting.CpuSeconds(hub.Pid) - cpu;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{devices:#,0} devices, 100 a request over {connections} connections: {took:0.0} s ({devices / took:#,0}/s), {cpu * 1e6 / devices:0} us server CPU each; resident {before / 1024} -> {Accounting.ResidentKiB(hub.Pid) / 1024} MiB"));
        if (connected == 0)
            return;

        using var idle = new Generator(hub.Port, connected, 1, 256, hub.HostName, hub.Token);
        output.WriteLine($"with {connected:#,0} of them connected over TLS: resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB");
        await Footprint.Settle(hub);
        output.WriteLine($"once it has settled: resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB");
    }
}
