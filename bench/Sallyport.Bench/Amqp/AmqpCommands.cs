using System.Diagnostics;
using System.Globalization;

namespace Sallyport.Bench.Amqp;

/// <summary>Commands to many devices, none of which is connected, over a few connections of services that send as much as they may; each is synced before it is settled.</summary>
internal static class AmqpCommands
{
    private const int PayloadBytes = 256;

    public static async Task Run(string program, string directory, int connections, int devices, int rounds, TimeSpan duration, TextWriter output)
    {
        byte[][] frames = [.. Enumerable.Range(0, devices).Select(i => AmqpFrames.Command(0, $"/devices/{Generator.DeviceId(i)}/messages/devicebound", PayloadBytes))];
        List<(double PerSecond, double CpuMicroseconds, double Allocated, double ServerCores)> rows = [];
        List<double> syncs = [];
        for (var round = 0; round < rounds; round++)
        {
            syncs.Add(Accounting.DiskSyncs(directory).PerSecond);
            using var hub = AmqpBench.Hub(program, Path.Combine(directory, $"hub-{round}")); // The queues are empty at the start of each.
            await hub.Register(devices);
            using var senders = new AmqpSenders(connections, i => AmqpClient.LogInOwner(hub, i), _ => "/messages/devicebound", frames);
            senders.Run(TimeSpan.FromSeconds(5));

            var (allocated, cpu, settled) = (await hub.AllocatedBytes(), Accounting.CpuSeconds(hub.Pid), senders.Settled);
            var clock = Stopwatch.StartNew();
            senders.Run(duration);
            var seconds = clock.Elapsed.TotalSeconds;
            (allocated, cpu, settled) = (await hub.AllocatedBytes() - allocated, Accounting.CpuSeconds(hub.Pid) - cpu, senders.Settled - settled);
            rows.Add((settled / seconds, cpu * 1e6 / settled, allocated / settled, cpu / seconds));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"commands of {PayloadBytes} bytes to {devices:#,0} devices over {connections} TLS connections, synced before they are settled, {rounds} rounds of {duration.TotalSeconds:0} s after 5 s:"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {Compare.Spread(rows.Select(row => row.PerSecond))} commands/s, {Compare.Spread(rows.Select(row => row.CpuMicroseconds), "0.0")} us server CPU/command, {Compare.Spread(rows.Select(row => row.Allocated), "0")} B allocated/command; server {Compare.Spread(rows.Select(row => row.ServerCores), "0.00")} cores; disk {Compare.Spread(syncs)} syncs/s of 16 KiB"));
    }
}
