using System.Text;

namespace Sallyport.Tests.Executable.Cli;

/// <summary>What a verb that goes on has written, line by line. Thread-safe.</summary>
internal sealed class LineWriter : TextWriter
{
    private readonly Lock _lock = new();
    private readonly List<string> _lines = [];
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public override Encoding Encoding => Encoding.UTF8;

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lock)
                return [.. _lines];
        }
    }

    public override void Write(char value) => throw new NotSupportedException("verbs that go on write whole lines");

    public override void WriteLine(string? value)
    {
        lock (_lock)
        {
            _lines.Add(value ?? "");
            _more.SetResult();
            _more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    public override Task WriteLineAsync(string? value)
    {
        WriteLine(value);
        return Task.CompletedTask;
    }

    /// <summary>Completes when there are so many lines.</summary>
    public async Task LinesAsync(int count)
    {
        while (true)
        {
            Task more;
            lock (_lock)
            {
                if (_lines.Count >= count)
                    return;
                more = _more.Task;
            }

            await more.WaitAsync(TestContext.Current.CancellationToken);
        }
    }
}
