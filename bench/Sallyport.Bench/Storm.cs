using System.Diagnostics;
using System.Globalization;

namespace Sallyport.Bench;

/// <summary>A fleet that comes back at once, while others are connected and send.</summary>
internal static class Storm
{
    private const int GoodConnections = 200;

    public static async Task Run(string program, string directory, int devices, int perSecond, TextWriter output)
    {
        using var hub = Server.Hub(program, Path.Combine(directory, "hub"));
        await hub.Register(GoodConnections + devices);
        using var generator = new Generator(hub.Port, GoodConnections, window: 64, payloadBytes: 256, hub.HostName, hub.Token);
        var packets = Enumerable.Range(GoodConnections, devices).Select(i => Generator.ConnectPacket(Generator.DeviceId(i), hub.HostName, hub.Token!(Generator.DeviceId(i)))).ToArray();
        using var callers = new Callers(hub.Port, devices, i => i, i => packets[i], keepOpen: true);

        var alone = generator.Steady(perSecond, TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(10));
        Print("alone", alone);
        for (var round = 0; round < 2; round++)
        {
            if (round > 0)
            {
                callers.HangUpAll();
                Print("hang-up", generator.Steady(perSecond, TimeSpan.Zero, TimeSpan.FromSeconds(5)));
            }

            using var isIn = new CancellationTokenSource();
            var pauses = await hub.GcPauseSeconds();
            var cpu = Accounting.CpuSeconds(hub.Pid);
            var clock = Stopwatch.StartNew();
            var storm = Task.Factory.StartNew(
                () =>
                {
                    Native.GiveWay();
                    var stormBegan = Native.ThreadCpuSeconds();
                    callers.CallAll();
                    while (callers.LetIn < devices && clock.Elapsed < TimeSpan.FromMinutes(2))
                        callers.Turn(timeoutMs: 100);
                    isIn.Cancel();
                    return (Time: clock.Elapsed, Cores: (Native.ThreadCpuSeconds() - stormBegan) / clock.Elapsed.TotalSeconds);
                },
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            var during = generator.Steady(perSecond, TimeSpan.Zero, TimeSpan.FromMinutes(2), isIn.Token);
            var (took, cores) = await storm;
            var server = (Accounting.CpuSeconds(hub.Pid) - cpu) / took.TotalSeconds;
            pauses = await hub.GcPauseSeconds() - pauses;
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{(round == 0 ? "first connect" : "reconnect")}: {callers.LetIn} of {devices} in after {took.TotalSeconds:0.0} s ({callers.LetIn / took.TotalSeconds:0}/s), {callers.Closed} closed and tried again; storm {cores:0.00} cores, server {server:0.00}, its GC stood still for {1000 * pauses:0} ms; resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB"));
            Print("meanwhile", during);
        }

        void Print(string name, Load load) => output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-10} {load.MessagesPerSecond:0} msg/s, p50 {load.Percentile(0.5)} us, p99 {load.Percentile(0.99)} us, longest {load.Percentile(1)} us, of which sent late p50 {load.Lateness(0.5)} us, p99 {load.Lateness(0.99)} us; generator {load.GeneratorCpuSeconds / load.Seconds:0.00} cores"));
    }
}
