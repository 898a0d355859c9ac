namespace Sallyport.Client.Access;

/// <summary>When to connect again: after a wait that doubles with each failure, less up to half by chance. Used by the loop that connects.</summary>
internal sealed class Backoff(TimeSpan min, TimeSpan max, TimeProvider time)
{
    private int _failures;
    private long _retryAt;

    /// <summary>It worked: the next failure is the first.</summary>
    public void Succeeded() => _failures = 0;

    public void Failed()
    {
        var full = min * Math.Pow(2, Math.Min(_failures++, 30));
        var wait = (full < max ? full : max) * (0.5 + (Random.Shared.NextDouble() / 2));
        _retryAt = time.GetTimestamp() + (long)(wait.TotalSeconds * time.TimestampFrequency);
    }

    /// <summary>Waits until the next attempt may be made; not at all before the first failure.</summary>
    public Task WaitAsync(CancellationToken stop)
    {
        var left = time.GetElapsedTime(time.GetTimestamp(), _retryAt);
        // Time itself is the subject: there is nothing else to wait for.
        return _retryAt != 0 && left > TimeSpan.Zero ? Task.Delay(left, time, stop) : Task.CompletedTask;
    }
}
