using System.Collections.Concurrent;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads;

/// <summary>What a connection needs while it works through one read buffer. Rented, so that an idle connection holds nothing.</summary>
internal sealed class TelemetryTurn
{
    public MessageProperties Properties { get; } = new();

    public RecordBatch Batch { get; } = new();
}

/// <summary>A pool of turns. Thread-safe; bounded: what is too many or has grown too large is left to the garbage collector.</summary>
internal sealed class TelemetryTurns
{
    private const int MaxKept = 64;
    private const int MaxKeptBytes = 64 * 1024;
    private readonly ConcurrentQueue<TelemetryTurn> _kept = new();
    private int _count;

    public TelemetryTurn Rent()
    {
        if (!_kept.TryDequeue(out var turn))
            return new TelemetryTurn();

        Interlocked.Decrement(ref _count);
        return turn;
    }

    /// <param name="largestBatchBytes">The most that the batch held during the turn.</param>
    public void Return(TelemetryTurn turn, int largestBatchBytes)
    {
        turn.Batch.Clear();
        turn.Properties.Clear();
        if (largestBatchBytes > MaxKeptBytes || Interlocked.Increment(ref _count) > MaxKept)
        {
            if (largestBatchBytes <= MaxKeptBytes)
                Interlocked.Decrement(ref _count);
            return;
        }

        _kept.Enqueue(turn);
    }
}
