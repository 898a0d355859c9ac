using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

/// <summary>A log that answers every append with what the test says, at once, and keeps nothing.</summary>
internal sealed class ScriptedLog : IEventLog
{
    public AppendOutcome Answer { get; set; } = AppendOutcome.Accepted;

    public int Appended { get; private set; }

    public int PartitionCount => 4;

    public Task<Exception> Failure { get; } = new TaskCompletionSource<Exception>().Task;

    public ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        if (Answer == AppendOutcome.Accepted)
        {
            Appended += batch.Count;
            listener?.OnCommitted();
        }

        return new(new AppendResult(Answer, Appended));
    }

    public long CommittedPosition(int partition) => Appended;

    public StreamPartition Describe(StreamId stream, int partition) => default;

    public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start) => throw new NotSupportedException("nothing to read");

    public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy) => throw new NotSupportedException("nothing to hold");

    public void BeginRetention()
    {
    }

    public ValueTask DisposeAsync() => default;
}
