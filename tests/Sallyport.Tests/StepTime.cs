using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;

namespace Sallyport.Tests;

/// <summary>A clock that stands, and tells of each wait that begins, so that a test moves it when somebody waits and not before.</summary>
/// <param name="start">Where something outside looks at the same time: now.</param>
internal sealed class StepTime(DateTimeOffset? start = null) : FakeTimeProvider(start ?? new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero))
{
    private readonly Channel<TimeSpan> _waits = Channel.CreateUnbounded<TimeSpan>();

    /// <summary>How far somebody has set the wall clock; timers and timestamps do not follow it.</summary>
    public TimeSpan ClockStep { get; set; }

    public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + ClockStep;

    public override long GetTimestamp() => base.GetUtcNow().Ticks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        // Those without an end are armed later, if ever.
        if (dueTime != Timeout.InfiniteTimeSpan)
            _waits.Writer.TryWrite(dueTime);
        return timer;
    }

    /// <summary>Waits that began until now are not told of any more: the hub's own, of its start.</summary>
    public void ForgetWaits()
    {
        while (_waits.Reader.TryRead(out _))
        {
        }
    }

    /// <summary>The next wait that began since the last call, of those that last between the two.</summary>
    public async Task<TimeSpan> WaitBeganAsync(TimeSpan atLeast, TimeSpan atMost)
    {
        while (true)
        {
            var wait = await _waits.Reader.ReadAsync(TestContext.Current.CancellationToken);
            if (wait >= atLeast && wait <= atMost)
                return wait;
        }
    }
}
