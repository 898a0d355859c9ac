using System.Runtime.InteropServices;

namespace Sallyport.Up;

/// <summary>SIGTERM and SIGINT ask to stop; the second of them ends the process at once, with 128 + its number. Make one per process.</summary>
internal sealed class Signals : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration[] _registrations;
    private int _count;

    public Signals() =>
        _registrations = [PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle), PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle)];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <summary>The first signal's name.</summary>
    public string? Received { get; private set; }

    public void Dispose()
    {
        foreach (var registration in _registrations)
            registration.Dispose();
        _stop.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _count) > 1)
            ExitNow(context.Signal == PosixSignal.SIGTERM ? 143 : 130);

        Received = context.Signal.ToString();
        _stop.Cancel();
    }

    // Environment.Exit runs handlers and waits for what still runs: it may be what hangs.
    [DllImport("libc", EntryPoint = "_exit")]
    private static extern void ExitNow(int status);
}
