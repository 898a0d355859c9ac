using System.CommandLine;

namespace Sallyport.Cli;

/// <summary>Deleting asks first, unless <c>--yes</c> was said.</summary>
internal static class Confirmation
{
    public static Option<bool> Yes() => Flags.Switch("--yes", "Do not ask", "-y");

    /// <exception cref="FailedException">The answer is not yes, or there is nobody to ask.</exception>
    public static async Task RequireAsync(Terminal terminal, bool yes, string question, CancellationToken cancel)
    {
        if (yes)
            return;

        await terminal.Error.WriteAsync($"{question} [y/N] ".AsMemory(), cancel).ConfigureAwait(false);
        await terminal.Error.FlushAsync(cancel).ConfigureAwait(false);
        var answer = await terminal.ReadLineAsync(cancel).ConfigureAwait(false);
        if (answer is null)
            throw new FailedException("There is nobody to ask: say --yes.");
        if (!string.Equals(answer.Trim(), "y", StringComparison.OrdinalIgnoreCase) && !string.Equals(answer.Trim(), "yes", StringComparison.OrdinalIgnoreCase))
            throw new FailedException("Nothing was deleted.");
    }
}
