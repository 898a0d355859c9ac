using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Sallyport.Hub.Moving;

namespace Sallyport.Cli.Moving;

/// <summary><c>devices.txt</c> on this machine: lines as <see cref="DevicesLine"/> says.</summary>
internal static class DevicesFile
{
    /// <summary>The lines that hold something; <c>Problem</c> says what is wrong with one.</summary>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    public static async IAsyncEnumerable<(JsonObject? Line, string? Problem)> ReadAsync(string path, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var file = Open(path);
        var lines = new BoundedLines(file, DevicesLine.MaxBytes);
        while (await NextAsync(lines, path, cancel).ConfigureAwait(false) is { } line)
        {
            var item = DevicesLine.Parse(line, out var problem);
            if (item is not null || problem is not null)
                yield return (item, problem);
        }
    }

    private static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"{path} cannot be read: {e.Message}", e);
        }
    }

    private static async ValueTask<BoundedLine?> NextAsync(BoundedLines lines, string path, CancellationToken cancel)
    {
        try
        {
            return await lines.ReadAsync(cancel).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            throw new FailedException($"{path} cannot be read on: {e.Message}", e);
        }
    }
}
