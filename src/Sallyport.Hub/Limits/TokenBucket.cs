namespace Sallyport.Hub.Limits;

/// <summary>
/// So many a second, after a burst. One number: when the bucket will be full again. Who finds one in it may take any amount and
/// leave a debt for the next, so that a batch larger than the burst is not refused for ever. Thread-safe without a lock; about 15 ns; allocates nothing.
/// </summary>
/// <param name="perSecond">0: no limit.</param>
/// <param name="burst">What it holds, as the time in which it fills.</param>
internal sealed class TokenBucket(double perSecond, TimeSpan burst, long timestampFrequency)
{
    private readonly double _ticksEach = perSecond == 0 ? 0 : timestampFrequency / perSecond;
    private readonly long _burstTicks = (long)(burst.TotalSeconds * timestampFrequency);
    private long _fullAt = long.MinValue / 2;

    /// <summary>Ticks of the clock until one may be taken; 0: now.</summary>
    public long WaitTicks(long now) => _ticksEach == 0 ? 0 : Math.Max(0, Volatile.Read(ref _fullAt) + (long)_ticksEach - now - _burstTicks);

    public void Take(long amount, long now)
    {
        if (_ticksEach == 0)
            return;

        var cost = (long)(amount * _ticksEach);
        long before;
        do
        {
            before = Volatile.Read(ref _fullAt);
        }
        while (Interlocked.CompareExchange(ref _fullAt, Math.Max(before, now) + cost, before) != before);
    }

    /// <summary>How much of the burst is left, 0 to 1.</summary>
    public double Level(long now) =>
        _ticksEach == 0 || _burstTicks == 0 ? 1 : Math.Clamp(1 - ((Volatile.Read(ref _fullAt) - now) / (double)_burstTicks), 0, 1);
}
