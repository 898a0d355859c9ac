using System.Globalization;

namespace Sallyport.Up;

/// <summary>Finds who listens on a TCP port, for the message that says so. Linux; looks only at what this user may see.</summary>
internal static class PortOwner
{
    private const string Listening = "0A";

    /// <returns>The process id; null when it cannot be found out.</returns>
    public static int? ProcessIdOf(int port)
    {
        try
        {
            var sockets = Inodes("/proc/net/tcp", port).Concat(Inodes("/proc/net/tcp6", port)).Select(inode => $"socket:[{inode}]").ToHashSet();
            return sockets.Count == 0 ? null : Directory.EnumerateDirectories("/proc")
                .Select(directory => int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out var id) ? id : (int?)null)
                .FirstOrDefault(id => id is not null && Holds(id.Value, sockets));
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static IEnumerable<string> Inodes(string table, int port)
    {
        if (!File.Exists(table))
            yield break;

        var suffix = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        foreach (var line in File.ReadLines(table).Skip(1))
        {
            // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
            var fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length > 9 && fields[3] == Listening && fields[1].EndsWith(suffix, StringComparison.Ordinal))
                yield return fields[9];
        }
    }

    private static bool Holds(int processId, HashSet<string> sockets)
    {
        try
        {
            return Directory.EnumerateFiles($"/proc/{processId}/fd").Any(descriptor => new FileInfo(descriptor).LinkTarget is { } target && sockets.Contains(target));
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException)
        {
            // Another user's, or gone meanwhile.
            return false;
        }
    }
}
