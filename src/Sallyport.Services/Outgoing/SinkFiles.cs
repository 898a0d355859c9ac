namespace Sallyport.Services.Outgoing;

/// <summary>
/// Decides where a file target is: inside <see cref="OutgoingOptions.SinksDirectory"/> or another allowed directory, after
/// every link on the way has been followed. Thread-safe.
/// </summary>
internal sealed class SinkFiles(OutgoingOptions options)
{
    private const int MaxLinks = 40;

    /// <summary>The real path of the file, whose directory exists.</summary>
    /// <param name="path">As in the connection string; relative to the sinks directory.</param>
    /// <exception cref="TargetException">It is outside, or its directory is missing.</exception>
    public string Resolve(string path)
    {
        Directory.CreateDirectory(options.SinksDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var real = Locate(path);
        if (Directory.Exists(real))
            throw new TargetException($"'{path}' is a directory", refused: true);
        if (!Directory.Exists(Path.GetDirectoryName(real)))
            throw new TargetException($"the directory of '{path}' does not exist", refused: true);
        return real;
    }

    /// <summary>The real path, which is inside an allowed directory; whether anything is there is not asked.</summary>
    /// <exception cref="TargetException">It is outside.</exception>
    public string Locate(string path)
    {
        var real = RealPath(Path.Combine(options.SinksDirectory, path));
        return options.FileDirectories.Prepend(options.SinksDirectory).Select(RealPath)
            .Any(directory => real.StartsWith(directory.TrimEnd('/') + "/", StringComparison.Ordinal))
            ? real
            : throw new TargetException($"the file '{path}' is outside the sinks directory and the directories that the process configuration names", refused: true);
    }

    /// <summary>What <c>realpath(3)</c> says, also of files that do not exist yet.</summary>
    private static string RealPath(string path)
    {
        var rest = new Stack<string>();
        var real = "/";
        var links = 0;
        Push(Path.IsPathRooted(path) ? path : Path.Combine(Environment.CurrentDirectory, path));
        while (rest.TryPop(out var name))
        {
            if (name == "..")
            {
                real = Path.GetDirectoryName(real) ?? "/";
                continue;
            }

            var next = Path.Combine(real, name);
            if (new FileInfo(next).LinkTarget is not { } target)
            {
                real = next;
                continue;
            }

            if (++links > MaxLinks)
                throw new TargetException($"'{path}' goes through too many links", refused: true);
            if (Path.IsPathRooted(target))
                real = "/";
            Push(target);
        }

        return real;

        void Push(string more)
        {
            foreach (var part in more.Split('/', StringSplitOptions.RemoveEmptyEntries).Reverse())
            {
                if (part != ".")
                    rest.Push(part);
            }
        }
    }
}
