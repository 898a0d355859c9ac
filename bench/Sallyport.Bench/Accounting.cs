using System.Diagnostics;
using Microsoft.Win32.SafeHandles;

namespace Sallyport.Bench;

/// <summary>The operating system's own accounts of a process and of the disk.</summary>
internal static class Accounting
{
    /// <summary>User and system time of a process, in seconds (resolution: 10 ms).</summary>
    public static double CpuSeconds(int pid)
    {
        var stat = File.ReadAllText($"/proc/{pid}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (long.Parse(fields[11]) + long.Parse(fields[12])) / 100.0;
    }

    /// <summary>Resident memory in KiB.</summary>
    public static long ResidentKiB(int pid) =>
        long.Parse(File.ReadLines($"/proc/{pid}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]);

    /// <summary>Writes 16 KiB and syncs, over and over for a second, in a zero-filled file: how fast the disk is this minute.</summary>
    /// <returns>Syncs per second, and the median in microseconds.</returns>
    public static (double PerSecond, int MedianMicroseconds) DiskSyncs(string directory)
    {
        var path = Path.Combine(directory, "sync-probe");
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.ReadWrite, options: FileOptions.DeleteOnClose);
        var block = new byte[16384];
        for (var i = 0; i < 1024; i++)
            RandomAccess.Write(file, block, i * block.Length);
        RandomAccess.FlushToDisk(file);

        List<int> times = [];
        var clock = Stopwatch.StartNew();
        while (clock.ElapsedMilliseconds < 1000)
        {
            var begin = Stopwatch.GetTimestamp();
            RandomAccess.Write(file, block, times.Count % 1024 * block.Length);
            RandomAccess.FlushToDisk(file);
            times.Add((int)Stopwatch.GetElapsedTime(begin).TotalMicroseconds);
        }

        times.Sort();
        return (times.Count / clock.Elapsed.TotalSeconds, times[times.Count / 2]);
    }
}
