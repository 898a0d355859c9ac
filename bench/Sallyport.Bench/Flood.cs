using System.Diagnostics;
using System.Globalization;
using static Sallyport.Bench.Native;

namespace Sallyport.Bench;

/// <summary>Good load in open loop, alone and then while bad logins come from many addresses as fast as a second process can make them.</summary>
internal static class Flood
{
    private const int GoodConnections = 200;
    private const int Addresses = 64;
    private const int CallersPerAddress = 4;

    public static async Task Run(string program, string directory, int perSecond, TimeSpan duration, TextWriter output)
    {
        using var hub = Server.Hub(program, Path.Combine(directory, "hub"));
        await hub.Register(GoodConnections);
        using var generator = new Generator(hub.Port, GoodConnections, window: 64, payloadBytes: 256, hub.HostName, hub.Token);

        var (alone, aloneCpu) = Steady(hub, generator, perSecond, TimeSpan.FromSeconds(10), duration);
        Print("alone", alone, aloneCpu);

        using var bad = Process.Start(new ProcessStartInfo(Environment.ProcessPath!,
            [.. Server.Self(), "knock", "--port", $"{hub.Port}", "--host", hub.HostName, "--seconds", $"{duration.TotalSeconds + 3:0}"]) { RedirectStandardOutput = true })!;
        await bad.StandardOutput.ReadLineAsync(); // It has begun.
        var firstSecond = Accounting.CpuSeconds(hub.Pid);
        var (first, _) = Steady(hub, generator, perSecond, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        firstSecond = Accounting.CpuSeconds(hub.Pid) - firstSecond;
        var badCpu = Accounting.CpuSeconds(bad.Id);
        var (flooded, floodedCpu) = Steady(hub, generator, perSecond, TimeSpan.Zero, duration);
        badCpu = (Accounting.CpuSeconds(bad.Id) - badCpu) / duration.TotalSeconds;
        var counts = await bad.StandardOutput.ReadToEndAsync();
        await bad.WaitForExitAsync();
        generator.Drain(TimeSpan.FromSeconds(10));

        Print("first second", first, firstSecond);
        Print("flooded", flooded, floodedCpu);
        output.Write(counts);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"p99 flooded / alone {flooded.Percentile(0.99) / (double)alone.Percentile(0.99):0.00}; bad logins' CPU {badCpu:0.00} cores; server CPU caused after the first second {floodedCpu - aloneCpu:0.00} cores (goal: at most 0.20); good messages not acknowledged {generator.Unacknowledged}, not sent because the window was full {generator.Unsent}"));

        void Print(string name, Load load, double cpu) => output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name,-13} {load.MessagesPerSecond:0} msg/s, p50 {load.Percentile(0.5)} us, p99 {load.Percentile(0.99)} us, of which sent late p50 {load.Lateness(0.5)} us, p99 {load.Lateness(0.99)} us; server CPU {cpu:0.00} cores, generator {load.GeneratorCpuSeconds / load.Seconds:0.00}"));
    }

    /// <summary>The bad logins, in a process of their own so that their CPU is told apart. Names devices that exist, with tokens of the wrong key.</summary>
    public static void Knock(int port, string hostName, TimeSpan duration, TextWriter output)
    {
        GiveWay();
        var packets = Enumerable.Range(0, GoodConnections)
            .Select(i => Generator.ConnectPacket(Generator.DeviceId(i), hostName, "SharedAccessSignature sr=" + Uri.EscapeDataString($"{hostName}/devices/{Generator.DeviceId(i)}")
                + "&sig=" + Uri.EscapeDataString(Convert.ToBase64String(new byte[32])) + $"&se={DateTimeOffset.UtcNow.AddHours(1).ToUnixTimeSeconds()}"))
            .ToArray();
        using var callers = new Callers(port, Addresses * CallersPerAddress, i => i % Addresses, i => packets[i % packets.Length], keepOpen: false);
        output.WriteLine("begun");
        output.Flush();
        callers.CallAll();
        var clock = Stopwatch.StartNew();
        var (refused, closed, began) = (0L, 0L, TimeSpan.Zero);
        foreach (var until in (TimeSpan[])[TimeSpan.FromSeconds(1), duration])
        {
            while (clock.Elapsed < until)
                callers.Turn(timeoutMs: 100);

            var seconds = (clock.Elapsed - began).TotalSeconds;
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"bad logins from {began.TotalSeconds:0} to {clock.Elapsed.TotalSeconds:0} s: {(callers.Refused - refused) / seconds:0}/s refused by CONNACK, {(callers.Closed - closed) / seconds:0}/s closed before TLS; let in: {callers.LetIn}"));
            (refused, closed, began) = (callers.Refused, callers.Closed, clock.Elapsed);
        }
    }

    private static (Load Load, double Cores) Steady(Server hub, Generator generator, int perSecond, TimeSpan warmUp, TimeSpan duration)
    {
        if (warmUp > TimeSpan.Zero)
            generator.Steady(perSecond, warmUp, TimeSpan.Zero);
        var before = Accounting.CpuSeconds(hub.Pid);
        var load = generator.Steady(perSecond, TimeSpan.Zero, duration);
        return (load, (Accounting.CpuSeconds(hub.Pid) - before) / duration.TotalSeconds);
    }
}
