using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Storage.EventLog;

/// <summary>A log over <see cref="FaultFiles"/> without threads, opened again and again, for tests that say exactly what happens when.</summary>
internal sealed class LogOnFaultyDisk
{
    public const int SegmentBytes = 64 * 1024;

    public FaultFiles Files { get; } = new(new Random(1));

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2024, 5, 6, 7, 8, 9, TimeSpan.Zero));

    public LoggedEvents Logged { get; } = new();

    public byte[] Key { get; set; } = new byte[32];

    public SegmentLogOptions Options { get; set; } = new()
    {
        Directory = "memory",
        PartitionCount = 2,
        SegmentBytes = SegmentBytes,
        CommitBufferBytes = 32 * 1024,
        Retention = TimeSpan.FromHours(1),
        RetentionBytes = long.MaxValue,
        MaxHeldBytes = long.MaxValue,
        ReserveBytes = 0,
    };

    public string[] Segments => [.. Files.List().Where(name => name.EndsWith(SegmentHeader.Extension, StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    public SegmentLog Open()
    {
        var log = OpenWithoutRetention();
        log.BeginRetention();
        return log;
    }

    public SegmentLog OpenWithoutRetention() => SegmentLog.Open(Options, Key, Time, Logged, Files);

    public LogVerification Verify() => LogVerifier.Verify(Files, Key, null, TestContext.Current.CancellationToken);

    /// <summary>One commit of one batch.</summary>
    public static void Commit(SegmentLog log, RecordBatch batch)
    {
        var append = log.AppendAsync(batch, null, CancellationToken.None).AsTask();
        Assert.True(append.IsCompletedSuccessfully);
        Assert.Equal(AppendOutcome.Accepted, append.Result.Outcome);
        Assert.True(log.CommitPending());
    }

    /// <summary>Commits about this many bytes of records of 1,000 bytes, ten a batch, with upkeep after each; returns how many records.</summary>
    public static int Fill(SegmentLog log, int bytes, int partition = 0)
    {
        var records = 0;
        for (var written = 0; written < bytes; written += 10_000)
        {
            Commit(log, Records.Batch(partition, [.. Enumerable.Repeat(new string('f', 800), 10)]));
            log.KeepUp();
            records += 10;
        }

        return records;
    }
}

/// <summary>Remembers the event ids that were logged.</summary>
internal sealed class LoggedEvents : ILogger
{
    public ConcurrentQueue<(int Id, string Message)> All { get; } = [];

    public IEnumerable<int> Ids => All.Select(entry => entry.Id);

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        All.Enqueue((eventId.Id, formatter(state, exception)));
}
