using System.Diagnostics;

namespace Sallyport.Bench;

/// <summary>Ticks of the kernel's monotonic clock at a fixed interval, to be waited for by one thread.</summary>
internal sealed unsafe class KernelClock : IDisposable
{
    private readonly int _timer;

    public KernelClock(long intervalNs)
    {
        Start = Stopwatch.GetTimestamp();
        _timer = Native.Timer(intervalNs, blocking: true);
    }

    /// <summary>When the first interval began, as a <see cref="Stopwatch"/> timestamp.</summary>
    public long Start { get; }

    /// <summary>Waits for the next tick; returns how many have passed since the last call.</summary>
    public long Wait()
    {
        long ticks;
        Native.Check((int)Native.read(_timer, &ticks, sizeof(long)), "read a timer");
        return ticks;
    }

    public void Dispose() => Native.close(_timer);
}
