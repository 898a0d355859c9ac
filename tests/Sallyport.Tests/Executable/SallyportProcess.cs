using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Sallyport.Tests.Executable;

/// <summary>The program itself, as a process of its own.</summary>
internal sealed class SallyportProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Process _process;
    private readonly StringBuilder _error = new();
    private readonly TaskCompletionSource _errorEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stopping = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SallyportProcess(TemporaryDirectory home, string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "sallyport.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = home.Path,
        };
        foreach (var inherited in start.Environment.Keys.Where(name => name.StartsWith("SALLYPORT_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(inherited);
        start.Environment["XDG_STATE_HOME"] = home.Path;
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is null)
                _errorEnded.TrySetResult();
            else
                _error.AppendLine(line.Data);
            if (line.Data?.Contains("Stopping on", StringComparison.Ordinal) == true)
                _stopping.TrySetResult();
        };
        _process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    /// <summary>Completes when it has said that it stops.</summary>
    public Task Stopping => _stopping.Task.WaitAsync(Patience);

    /// <summary>Everything on standard error; whole once it has ended.</summary>
    public string Error => _error.ToString();

    /// <param name="home">State is kept in it, so that nothing of the machine is touched.</param>
    public static SallyportProcess Start(TemporaryDirectory home, params string[] arguments) => new(home, arguments);

    /// <summary>Runs it to its end. What does not end (a hub that should not have started) is killed, and fails the test.</summary>
    public static async Task<(int ExitCode, string Out, string Error)> RunAsync(TemporaryDirectory home, params string[] arguments)
    {
        await using var process = Start(home, arguments);
        var output = await process._process.StandardOutput.ReadToEndAsync().WaitAsync(Patience);
        return (await process.ExitAsync(), output, process.Error);
    }

    /// <summary>Starts a hub on free ports and waits until it says that it is ready.</summary>
    public static async Task<SallyportProcess> UpAsync(TemporaryDirectory home, params string[] arguments)
    {
        var process = Start(home, ["up", "--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0", "--host", "localhost", .. arguments]);
        var line = await process._process.StandardOutput.ReadLineAsync();
        Assert.True(line == "ready", $"it said '{line}' and: {process.Error}");
        return process;
    }

    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync();
        await _errorEnded.Task;
        return _process.ExitCode;
    }

    public void Signal(string name)
    {
        using var kill = Process.Start("kill", [$"-{name}", Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }
}
