using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sallyport.Hub.Limits;

/// <summary>
/// Threads of their own for what strangers make the hub compute: TLS handshakes and whatever is read until somebody is let in. The runtime's
/// thread pool, on which those that are connected are served, never has it in its queue, and the operating system prefers the pool's
/// threads. 10,000 devices that come back at once are let in at the rate of what is left over. Thread-safe.
/// </summary>
/// <remarks>
/// A turn is what runs between two waits: it ends where the connection waits for its peer's next bytes, so that who is slow holds nobody up. Who
/// had a turn before goes on before those that wait for their first. Threads are started when the first turn is taken.
/// </remarks>
/// <param name="threads">At least 1.</param>
public sealed class HandshakeThreads(int threads) : IDisposable
{
    // Of 0 to 19: an ordinary thread that wants to run counts for nine of these. Not 19, so that strangers do get in on a busy machine
    // and a lock held by one of these is not held for long.
    private const int Niceness = 10;

    [ThreadStatic]
    private static HandshakeThreads? _owner;

    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _turns = new(0);
    private readonly Queue<Action> _first = new();
    private readonly Queue<Action> _next = new();
    private int _started;
    private int _idle;
    private bool _isDisposed;

    /// <summary>Half of the processors, at least one: a turn is computing and nothing else (about 1 ms), so more at a time would only change places.</summary>
    public static int DefaultThreads => Math.Max(1, Environment.ProcessorCount / 2);

    public int Threads { get; } = threads;

    /// <summary>Connections that wait now. Bounded by <see cref="ConnectionLimitsOptions.MaxConnections"/>: each holds a place there.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
                return _first.Count + _next.Count;
        }
    }

    /// <summary>Nobody would begin at once.</summary>
    public bool AreBusy
    {
        get
        {
            lock (_gate)
                return _started == Threads && _idle <= _first.Count + _next.Count;
        }
    }

    /// <summary>The calling thread is one of these.</summary>
    public bool IsCurrent => _owner == this;

    /// <summary>Await it: what follows, up to the next wait, runs on one of the threads.</summary>
    /// <param name="again">It had a turn before.</param>
    public HandshakeTurn Turn(bool again = false) => new(this, again);

    /// <summary>Await it: whoever is let in goes on in the thread pool, as all others do, before it does anything that may take long. Nothing when the caller is on no such thread.</summary>
    public static HandshakeExit Leave() => default;

    /// <summary>The turns that wait are still taken; those that come later are taken by the thread pool.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isDisposed)
                return;

            _isDisposed = true;
        }

        _turns.Release(Threads);
    }

    internal static bool IsAnyCurrent => _owner is not null;

    internal static void ToPool(Action continuation) =>
        ThreadPool.UnsafeQueueUserWorkItem(static continuation => continuation(), continuation, preferLocal: false);

    internal void Enqueue(Action turn, bool again)
    {
        var isStart = false;
        lock (_gate)
        {
            if (_isDisposed)
            {
                ToPool(turn);
                return;
            }

            (again ? _next : _first).Enqueue(turn);
            if (_idle < _first.Count + _next.Count && _started < Threads)
            {
                _started++;
                isStart = true;
            }
        }

        LimitsMeter.HandshakeWaits(1);
        _turns.Release();
        if (isStart)
            new Thread(Run) { IsBackground = true, Name = "handshakes" }.UnsafeStart();
    }

    private void Run()
    {
        _owner = this;
        YieldToOthers();
        while (true)
        {
            lock (_gate)
                _idle++;
            _turns.Wait();
            Action? turn;
            lock (_gate)
            {
                _idle--;
                if (!_next.TryDequeue(out turn) && !_first.TryDequeue(out turn))
                    return; // Disposed.
            }

            LimitsMeter.HandshakeWaits(-1);
            turn();
        }
    }

    // Elsewhere the threads are as good as others: they are still few.
    private static void YieldToOthers()
    {
        if (OperatingSystem.IsLinux())
            _ = SetPriority(0 /* PRIO_PROCESS; on Linux 0 is the calling thread */, 0, Niceness);
    }

    [DllImport("libc", EntryPoint = "setpriority")]
    private static extern int SetPriority(int which, int who, int nice);
}

/// <summary>A place in the queue of <see cref="HandshakeThreads"/>, taken when it is awaited.</summary>
public readonly record struct HandshakeTurn : ICriticalNotifyCompletion
{
    private readonly HandshakeThreads _threads;
    private readonly bool _again;

    internal HandshakeTurn(HandshakeThreads threads, bool again)
    {
        _threads = threads;
        _again = again;
    }

    public bool IsCompleted => false;

    public HandshakeTurn GetAwaiter() => this;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation) => _threads.Enqueue(continuation, _again);

    public void UnsafeOnCompleted(Action continuation) => _threads.Enqueue(continuation, _again);
}

/// <summary>The way from <see cref="HandshakeThreads"/> back to the thread pool. No task: one that is completed already would not change the thread.</summary>
public readonly record struct HandshakeExit : ICriticalNotifyCompletion
{
    public bool IsCompleted => !HandshakeThreads.IsAnyCurrent;

    public HandshakeExit GetAwaiter() => this;

    public void GetResult()
    {
    }

    public void OnCompleted(Action continuation) => HandshakeThreads.ToPool(continuation);

    public void UnsafeOnCompleted(Action continuation) => HandshakeThreads.ToPool(continuation);
}
