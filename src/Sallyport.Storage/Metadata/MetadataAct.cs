namespace Sallyport.Storage.Metadata;

/// <summary>An act that waits for the writer, runs on it, and is told its outcome after the commit.</summary>
internal abstract class MetadataAct
{
    private const int Waiting = 0;
    private const int Taken = 1;
    private const int Withdrawn = 2;

    private int _state;

    /// <summary>The writer takes the act; false when its caller has given up first.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _state, Taken, Waiting) == Waiting;

    /// <summary>The caller gives up; false when the act is running or has run.</summary>
    public bool TryWithdraw() => Interlocked.CompareExchange(ref _state, Withdrawn, Waiting) == Waiting;

    /// <summary>Runs the act and keeps what it returns.</summary>
    public abstract void Run(MetadataTransaction tx);

    /// <summary>The commit that holds the act is on disk.</summary>
    public abstract void Complete();

    public abstract void Fail(Exception exception);
}

internal sealed class MetadataAct<T>(Func<MetadataTransaction, T> act, Action<T>? committed) : MetadataAct
{
    private readonly TaskCompletionSource<T> _outcome = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private T? _result;

    public override void Run(MetadataTransaction tx) => _result = act(tx);

    public override void Complete()
    {
        try
        {
            committed?.Invoke(_result!);
            _outcome.TrySetResult(_result!);
        }
        catch (Exception exception)
        {
            _outcome.TrySetException(exception); // Our mistake: it is the caller's to tell, and the acts behind it go on.
        }
    }

    public override void Fail(Exception exception) => _outcome.TrySetException(exception);

    public async Task<T> WaitAsync(CancellationToken cancel)
    {
        await using var registration = cancel.UnsafeRegister(
            static (state, token) =>
            {
                var act = (MetadataAct<T>)state!;
                if (act.TryWithdraw())
                    act._outcome.TrySetCanceled(token);
            },
            this).ConfigureAwait(false);
        return await _outcome.Task.ConfigureAwait(false);
    }
}
