using System.Globalization;

namespace Sallyport.Up;

/// <summary>How many files and sockets this process may have open: a bound on its connections. The runtime has raised it to the hard limit.</summary>
internal static class OpenFiles
{
    /// <summary>Below this a fleet finds no room, and whoever runs the hub should know before it comes.</summary>
    public const long Few = 16_384;

    /// <returns>Null when there is no limit, or it cannot be told.</returns>
    public static long? Limit()
    {
        const string path = "/proc/self/limits";
        if (!File.Exists(path))
            return null;

        // Max open files            1048576              1048576              files
        var line = File.ReadLines(path).FirstOrDefault(line => line.StartsWith("Max open files", StringComparison.Ordinal));
        var soft = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries).ElementAtOrDefault(3);
        return long.TryParse(soft, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
    }
}
