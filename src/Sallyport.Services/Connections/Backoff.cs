namespace Sallyport.Services.Connections;

/// <summary>How long to wait before the next attempt: twice as long each time, up to a bound, and up to half less by chance, so that many do not come at once. Not thread-safe.</summary>
internal sealed class Backoff(TimeSpan first, TimeSpan max)
{
    private int _doublings;

    public void Reset() => _doublings = 0;

    public TimeSpan Next()
    {
        var full = first * Math.Pow(2, _doublings);
        if (full < max)
            _doublings++;
        else
            full = max;
        return full * (0.5 + (Random.Shared.NextDouble() / 2));
    }
}
