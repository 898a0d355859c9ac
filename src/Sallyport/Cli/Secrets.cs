namespace Sallyport.Cli;

/// <summary>Secrets come from standard input (<c>-</c>, one line each) or a file (<c>@FILE</c>), never from the command line, which other users of the machine can read.</summary>
internal static class Secrets
{
    public const string ValueName = "-|@FILE";

    /// <param name="flag">For messages.</param>
    /// <param name="source">What the flag was given; null stays null.</param>
    /// <exception cref="WrongUsageException">It is neither <c>-</c> nor <c>@FILE</c>.</exception>
    /// <exception cref="FailedException">There is nothing to read.</exception>
    public static async Task<string?> ReadAsync(string flag, string? source, Terminal terminal, CancellationToken cancel)
    {
        if (source is null)
            return null;
        if (source != "-" && source is not ['@', _, ..])
            throw new WrongUsageException($"{flag} takes - (standard input) or @FILE, not the secret itself: other users of this machine can read command lines.");

        var secret = source == "-" ? await terminal.ReadLineAsync(cancel).ConfigureAwait(false) : await ReadFileAsync(flag, source[1..], cancel).ConfigureAwait(false);
        return string.IsNullOrWhiteSpace(secret)
            ? throw new FailedException($"{flag}: {(source == "-" ? "standard input" : source[1..])} is empty.")
            : secret.Trim();
    }

    /// <exception cref="FailedException">It cannot be read, or has more than <paramref name="bytesMax"/> bytes.</exception>
    public static async Task<byte[]> ReadBytesAsync(string flag, string path, int bytesMax, CancellationToken cancel)
    {
        try
        {
            return new FileInfo(path).Length <= bytesMax
                ? await File.ReadAllBytesAsync(path, cancel).ConfigureAwait(false)
                : throw new FailedException($"{flag}: {path} has more than {bytesMax} bytes, too many.");
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new FailedException($"{flag}: {path} cannot be read ({unreadable.Message.TrimEnd('.')}).", unreadable);
        }
    }

    /// <exception cref="FailedException">It cannot be read.</exception>
    public static async Task<string> ReadFileAsync(string flag, string path, CancellationToken cancel)
    {
        try
        {
            return await File.ReadAllTextAsync(path, cancel).ConfigureAwait(false);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new FailedException($"{flag}: {path} cannot be read ({unreadable.Message.TrimEnd('.')}).", unreadable);
        }
    }
}
