using System.Buffers;
using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>Makes records and reads them back, as tests of the log speak of them: by their text.</summary>
internal static class Records
{
    public static RecordBatch Batch(int partition, params string[] texts) => Batch(StreamId.Events, partition, texts);

    public static RecordBatch Batch(StreamId stream, int partition, params string[] texts)
    {
        var batch = new RecordBatch();
        foreach (var text in texts)
            batch.Record(stream, partition, text);
        return batch;
    }

    public static RecordBatch Record(this RecordBatch batch, StreamId stream, int partition, string text, Guid idempotencyId = default)
    {
        batch.Begin(stream, partition, SourceKind.Telemetry, 0, idempotencyId);
        HubAnnotations.Begin(batch.GetSpan(HubAnnotations.Length));
        batch.Advance(HubAnnotations.Length);
        HubAnnotations.Finish(batch.Message, HubAnnotations.Elements);
        batch.Write(Encoding.UTF8.GetBytes(text));
        batch.End();
        return batch;
    }

    public static string Text(this LogRecord record) => Encoding.UTF8.GetString(record.Message.Span[HubAnnotations.Length..]);

    public static async Task<AppendResult> AppendAsync(this IEventLog log, RecordBatch batch) =>
        await log.AppendAsync(batch, null, TestContext.Current.CancellationToken);

    /// <summary>Appends and waits until it is on disk.</summary>
    public static async Task CommitAsync(this IEventLog log, RecordBatch batch)
    {
        var listener = new Listener();
        var result = await log.AppendAsync(batch, listener, TestContext.Current.CancellationToken);
        Assert.Equal(AppendOutcome.Accepted, result.Outcome);
        await listener.Committed.WaitAsync(TestContext.Current.CancellationToken);
        Assert.True(log.CommittedPosition(batch.Partition) >= result.Position);
    }

    /// <summary>Everything from the cursor to the end.</summary>
    public static async Task<List<LogRecord>> DrainAsync(this ILogCursor cursor, int pageBytes = 256 * 1024)
    {
        var all = new List<LogRecord>();
        var page = new LogPage(pageBytes);
        while (await cursor.ReadAsync(page, TestContext.Current.CancellationToken) > 0)
            all.AddRange(page.Records.Select(record => record with { Message = record.Message.ToArray() }));
        return all;
    }

    public static async Task<string[]> TextsAsync(this IEventLog log, int partition, LogStart start, StreamId stream = default)
    {
        using var cursor = log.OpenCursor(stream, partition, start);
        return [.. (await cursor.DrainAsync()).Select(Text)];
    }

    /// <summary>Counts its calls; <see cref="Committed"/> completes at the first.</summary>
    internal sealed class Listener : ICommitListener
    {
        private readonly TaskCompletionSource _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _calls;

        public int Calls => Volatile.Read(ref _calls);

        public Task Committed => _committed.Task;

        public void OnCommitted()
        {
            Interlocked.Increment(ref _calls);
            _committed.TrySetResult();
        }
    }
}
