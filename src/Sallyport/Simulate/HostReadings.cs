using System.Buffers;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Sallyport.Simulate;

/// <summary>
/// This machine's own figures, read from Linux's <c>/proc</c> and <c>/sys</c> (proc(5)): load, memory, temperatures, disk and network.
/// What a machine does not have (a virtual one has no thermometer) is left out.
/// </summary>
/// <param name="root">Where <c>proc</c> and <c>sys</c> are; tests give a copy.</param>
internal sealed class HostReadings(string root, TimeSpan interval, TimeProvider time) : IReadings
{
    public async IAsyncEnumerable<Reading> AllAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(interval, time);
        var before = CpuTimes();
        do
        {
            var now = CpuTimes();
            var at = time.GetUtcNow();
            yield return new Reading(at, Read(at, before, now));
            before = now;
        }
        while (await timer.WaitForNextTickAsync(cancel));
    }

    private byte[] Read(DateTimeOffset at, (long Busy, long All) before, (long Busy, long All) now)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteString("time", at.UtcDateTime);
        json.WriteString("host", Environment.MachineName);
        WriteLoad(json);
        if (now.All > before.All)
            json.WriteNumber("cpuPercent", Math.Round(100.0 * (now.Busy - before.Busy) / (now.All - before.All), 1));
        WriteMemory(json);
        WriteTemperatures(json);
        WriteDisk(json);
        WriteNetwork(json);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>Jiffies since boot: of all fields of the first line of <c>/proc/stat</c>, idle and iowait are not busy.</summary>
    private (long Busy, long All) CpuTimes()
    {
        var fields = Lines("proc/stat").FirstOrDefault()?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        // Guest time is in user time already.
        var times = fields.Skip(1).Take(8).Select(Number).ToArray();
        return times.Length < 5 ? (0, 0) : (times.Sum() - times[3] - times[4], times.Sum());
    }

    private void WriteLoad(Utf8JsonWriter json)
    {
        if (Lines("proc/loadavg").FirstOrDefault()?.Split(' ') is not [var one, var five, var fifteen, ..])
            return;

        json.WriteNumber("load1", double.Parse(one, CultureInfo.InvariantCulture));
        json.WriteNumber("load5", double.Parse(five, CultureInfo.InvariantCulture));
        json.WriteNumber("load15", double.Parse(fifteen, CultureInfo.InvariantCulture));
    }

    private void WriteMemory(Utf8JsonWriter json)
    {
        foreach (var line in Lines("proc/meminfo"))
        {
            if (line.Split([':', ' '], StringSplitOptions.RemoveEmptyEntries) is not [var name, var kibibytes, ..])
                continue;

            var key = name switch { "MemTotal" => "memoryTotalBytes", "MemAvailable" => "memoryAvailableBytes", _ => null };
            if (key is not null)
                json.WriteNumber(key, Number(kibibytes) * 1024);
        }
    }

    private void WriteTemperatures(Utf8JsonWriter json)
    {
        var zones = Path.Combine(root, "sys/class/thermal");
        if (!Directory.Exists(zones))
            return;

        var found = Directory.GetDirectories(zones, "thermal_zone*").Order(StringComparer.Ordinal)
            .Select(zone => (Name: Path.GetFileName(zone), Millidegrees: FirstLine(Path.Combine(zone, "temp"))))
            .Where(zone => zone.Millidegrees is not null).ToList();
        if (found.Count == 0)
            return;

        json.WriteStartObject("temperatureCelsius");
        foreach (var (name, millidegrees) in found)
            json.WriteNumber(name, Number(millidegrees!) / 1000.0);
        json.WriteEndObject();
    }

    private void WriteDisk(Utf8JsonWriter json)
    {
        var disk = new DriveInfo(root);
        json.WriteNumber("diskTotalBytes", disk.TotalSize);
        json.WriteNumber("diskFreeBytes", disk.AvailableFreeSpace);
    }

    /// <summary>All interfaces but loopback: after the name, field 1 is bytes received and field 9 bytes sent.</summary>
    private void WriteNetwork(Utf8JsonWriter json)
    {
        long received = 0, sent = 0;
        foreach (var line in Lines("proc/net/dev").Skip(2))
        {
            if (line.Split([':', ' '], StringSplitOptions.RemoveEmptyEntries) is not [not "lo", var bytesReceived, _, _, _, _, _, _, _, var bytesSent, ..])
                continue;

            received += Number(bytesReceived);
            sent += Number(bytesSent);
        }

        json.WriteNumber("networkReceivedBytes", received);
        json.WriteNumber("networkSentBytes", sent);
    }

    private static long Number(string text) => long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private string[] Lines(string path)
    {
        var full = Path.Combine(root, path);
        return File.Exists(full) ? File.ReadAllLines(full) : [];
    }

    /// <summary>A sensor may be listed and not answer.</summary>
    private static string? FirstLine(string path)
    {
        try
        {
            return File.ReadLines(path).FirstOrDefault();
        }
        catch (IOException)
        {
            return null;
        }
    }
}
