namespace Sallyport.Cli;

/// <summary>What a verb reads and writes; a test gives its own. Results go to <see cref="Out"/>, everything said to a person to <see cref="Error"/>.</summary>
internal sealed record Terminal(TextReader In, TextWriter Out, TextWriter Error)
{
    private const int MinWidth = 80;

    /// <summary>Reads an environment variable; null when it is not set.</summary>
    public Func<string, string?> Variable { get; init; } = Environment.GetEnvironmentVariable;

    /// <summary>How wide a line may be, in characters; null when nobody looks at it (a file, a pipe).</summary>
    public int? Width { get; init; }

    /// <summary>This process's.</summary>
    public static Terminal OfProcess() => new(Console.In, Console.Out, Console.Error) { Width = Console.IsOutputRedirected ? null : Math.Max(Console.WindowWidth, MinWidth) };

    /// <summary>A line of <see cref="In"/>; null at its end. The console itself cannot be cancelled: then its line is waited for no longer.</summary>
    public Task<string?> ReadLineAsync(CancellationToken cancel) => Task.Run(In.ReadLine, cancel).WaitAsync(cancel);

    /// <summary>All that is left of <see cref="In"/>.</summary>
    public Task<string> ReadAllAsync(CancellationToken cancel) => Task.Run(In.ReadToEnd, cancel).WaitAsync(cancel);
}

/// <summary>A verb failed (exit 1). The message is one sentence that says what to do.</summary>
internal sealed class FailedException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A verb was called wrongly (exit 2). The message is one sentence that says what to do.</summary>
internal sealed class WrongUsageException(string message) : Exception(message);
