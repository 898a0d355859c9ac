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
            callers.HangUpAll();
            using var isIn = new CancellationTokenSource();
            var clock = Stopwatch.StartNew();
            var storm = Task.Factory.StartNew(
                () =>
                {
                    callers.CallAll();
                    while (callers.LetIn < devices && clock.Elapsed < TimeSpan.FromMinutes(2))
                        callers.Turn(timeoutMs: 100);
                    isIn.Cancel();
                    return clock.Elapsed;
                },
                CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            var during = generator.Steady(perSecond, TimeSpan.Zero, TimeSpan.FromMinutes(2), isIn.Token);
            var took = await storm;
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{(round == 0 ? "first connect" : "reconnect")}: {callers.LetIn} of {devices} in after {took.TotalSeconds:0.0} s ({callers.LetIn / took.TotalSeconds:0}/s), {callers.Closed} closed and tried again, resident {Accounting.ResidentKiB(hub.Pid) / 1024} MiB"));
            Print("meanwhile", during);
        }

        void Print(string name, Load load) => output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-10} {load.MessagesPerSecond:0} msg/s, p50 {load.Percentile(0.5)} us, p99 {load.Percentile(0.99)} us, generator and storm {load.GeneratorCpuSeconds / load.Seconds:0.00} cores"));
    }
}
