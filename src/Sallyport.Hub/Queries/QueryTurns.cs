using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Queries;

/// <summary>Who may go through rows now. Thread-safe.</summary>
internal sealed class QueryTurns(QueryLimits limits, TimeProvider time) : IDisposable
{
    private readonly SemaphoreSlim _free = new(limits.AtOnce);
    private int _waiting;

    /// <returns>To be disposed when it is done.</returns>
    /// <exception cref="HubException">429: too many wait, or its turn did not come in time.</exception>
    public async ValueTask<IDisposable> TakeAsync(CancellationToken cancel)
    {
        if (Interlocked.Increment(ref _waiting) > limits.MaxWaiting + limits.AtOnce)
        {
            Interlocked.Decrement(ref _waiting);
            throw Refusal();
        }

        using var patience = new CancellationTokenSource(limits.MaxTime, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancel);
        try
        {
            await _free.WaitAsync(either.Token).ConfigureAwait(false);
            return new Turn(this);
        }
        catch (OperationCanceledException)
        {
            Interlocked.Decrement(ref _waiting);
            cancel.ThrowIfCancellationRequested();
            throw Refusal();
        }
    }

    public void Dispose() => _free.Dispose();

    private static HubException Refusal() =>
        new(HubErrors.Throttled, "more queries at once than the hub answers; retry later") { RetryAfter = TimeSpan.FromSeconds(1) };

    private sealed class Turn(QueryTurns turns) : IDisposable
    {
        public void Dispose()
        {
            Interlocked.Decrement(ref turns._waiting);
            turns._free.Release();
        }
    }
}

/// <summary>How long a query has been going through rows. Owned by the query.</summary>
internal sealed class QueryClock(QueryLimits limits, TimeProvider time, CancellationToken cancel)
{
    private const int RowsPerLook = 64;

    private readonly long _start = time.GetTimestamp();
    private int _rows;

    /// <summary>To be asked behind every row.</summary>
    /// <exception cref="OperationCanceledException">Nobody waits for the answer any more.</exception>
    public bool IsOver()
    {
        if (++_rows % RowsPerLook != 0)
            return false;

        cancel.ThrowIfCancellationRequested();
        return time.GetElapsedTime(_start) > limits.MaxTime;
    }
}
