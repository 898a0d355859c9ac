namespace Sallyport.Up;

/// <summary>What was put together so far; taken apart in the reverse order. Used by one thread at a time.</summary>
internal sealed class Parts : IAsyncDisposable
{
    private readonly Stack<object> _parts = new();

    /// <param name="part">Disposable in one way or the other.</param>
    public T Add<T>(T part)
        where T : notnull
    {
        _parts.Push(part is IAsyncDisposable or IDisposable ? part : throw new ArgumentException($"{typeof(T)} needs no disposal", nameof(part)));
        return part;
    }

    /// <summary>Disposes each of them, also when one fails; the first failure is thrown at the end.</summary>
    public async ValueTask DisposeAsync()
    {
        List<Exception> failures = [];
        while (_parts.TryPop(out var part))
        {
            try
            {
                if (part is IAsyncDisposable asynchronous)
                    await asynchronous.DisposeAsync().ConfigureAwait(false);
                else
                    ((IDisposable)part).Dispose();
            }
            catch (Exception failure)
            {
                failures.Add(failure);
            }
        }

        if (failures.Count > 0)
            throw new AggregateException("the hub did not stop cleanly", failures);
    }
}

/// <summary>Undoes something when the hub stops.</summary>
internal sealed class Undo(Action undo) : IDisposable
{
    public void Dispose() => undo();
}

/// <summary>A loop of the hub: runs from now until it is disposed.</summary>
internal sealed class Running : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _loop;

    /// <param name="loop">Returns when it is cancelled.</param>
    public Running(Func<CancellationToken, Task> loop) => _loop = Task.Run(() => RunAsync(loop));

    /// <summary>Completes, with the reason, when the loop ended with an exception.</summary>
    public Task<Exception> Failure => _failure.Task;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync(Func<CancellationToken, Task> loop)
    {
        try
        {
            await loop(_stop.Token).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            _failure.SetResult(failure);
        }
    }
}
