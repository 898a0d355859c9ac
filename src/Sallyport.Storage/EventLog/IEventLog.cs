using System.Runtime.InteropServices;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// The spine: one physical log of named streams, each cut into partitions. Two implementations pass the same
/// contract tests: <c>SegmentLog</c> (files) and <c>MemoryLog</c> (delays and interleaves acknowledgements,
/// so that nobody relies on what only one machine gives).
/// </summary>
/// <remarks>
/// Thread-safe. An append is visible to cursors only once it is committed (on disk). After a failed sync the log is
/// <see cref="AppendOutcome.Failed"/> for good and <see cref="Failure"/> completes: the process must exit.
/// </remarks>
public interface IEventLog : IAsyncDisposable
{
    /// <summary>Fixed when the log was created.</summary>
    int PartitionCount { get; }

    /// <summary>Completes, with the reason, when the log can no longer promise durability.</summary>
    Task<Exception> Failure { get; }

    /// <summary>
    /// Assigns sequence numbers, offsets and enqueued time, and hands the batch to the writer. Completes at once unless the
    /// commit buffer is full, then as soon as there is room: whoever awaits this before reading more is under back-pressure.
    /// The batch may be cleared and reused when the call has completed.
    /// </summary>
    /// <param name="batch">At least one ended record, all of them for one partition.</param>
    /// <param name="listener">
    /// Called once after the commit that holds the batch, which may be before this call returns: note the position first, then
    /// look at <see cref="CommittedPosition"/> once more. Null when nobody waits.
    /// </param>
    /// <param name="cancel">Gives up waiting for room; nothing was appended then.</param>
    ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel);

    /// <summary>Everything appended to this partition at or before this position is on disk (a watermark; only grows).</summary>
    long CommittedPosition(int partition);

    /// <summary>First and last record that a reader can get.</summary>
    StreamPartition Describe(StreamId stream, int partition);

    /// <summary>Opens a cursor. A position before the oldest record starts at the oldest; one after the newest waits there.</summary>
    ILogCursor OpenCursor(StreamId stream, int partition, LogStart start);

    /// <summary>
    /// Keeps segments from being dropped by retention while <paramref name="name"/> has not read them. Named again, it replaces the old hold.
    /// </summary>
    /// <param name="name">The connection or job.</param>
    /// <param name="stream">The stream it reads.</param>
    /// <param name="next">Per partition, the first sequence number it still needs.</param>
    /// <param name="policy">What happens when all that is held reaches <c>maxHeldBytes</c>.</param>
    ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy);

    /// <summary>Lets retention drop segments from now on. To be called once after opening, when the readers of before have their holds again.</summary>
    void BeginRetention();
}

/// <summary>A named stream. Numbers are stored: never reuse one.</summary>
public readonly record struct StreamId(ushort Number)
{
    /// <summary>What the built-in endpoint shows.</summary>
    public static readonly StreamId Events = new(0);

    /// <summary>What only connections take.</summary>
    public static readonly StreamId Routed = new(1);

    /// <summary>Twin, lifecycle, connection-state and job events that are not routed to <see cref="Events"/>.</summary>
    public static readonly StreamId Changes = new(2);

    /// <summary>What devices in quarantine report; only the quarantine view reads it.</summary>
    public static readonly StreamId Quarantine = new(3);
}

/// <summary>Where a record comes from. Numbers are stored: frozen.</summary>
public enum SourceKind : byte
{
    Telemetry = 0,
    TwinChange = 1,
    DeviceLifecycle = 2,
    DeviceConnectionState = 3,
    JobLifecycle = 4,
    Digest = 5,
}

public enum AppendOutcome
{
    Accepted,

    /// <summary>No segment could be preallocated. Serving goes on; telemetry is refused until there is room.</summary>
    DiskFull,

    /// <summary>A hold with <see cref="HoldPolicy.RefuseIngest"/> reached its bound.</summary>
    HeldBack,

    /// <summary>The log failed or was closed.</summary>
    Failed,
}

/// <param name="Outcome">Nothing was appended unless it is <see cref="AppendOutcome.Accepted"/>.</param>
/// <param name="Position">Committed once <see cref="IEventLog.CommittedPosition"/> of the batch's partition reaches it.</param>
public readonly record struct AppendResult(AppendOutcome Outcome, long Position);

/// <summary>Told after each commit that holds something of its own, or something that it waits for. Called on the log's writer thread: it must only schedule work, never block or throw.</summary>
public interface ICommitListener
{
    void OnCommitted();
}

/// <param name="FirstSequence">Of the oldest record kept; equals <paramref name="NextSequence"/> when empty.</param>
/// <param name="NextSequence">What the next append gets; the newest visible record is one below.</param>
/// <param name="LastEnqueuedTime">Of the newest record; <see cref="DateTimeOffset.UnixEpoch"/> when there was none.</param>
public readonly record struct StreamPartition(long FirstSequence, long NextSequence, DateTimeOffset LastEnqueuedTime)
{
    public bool IsEmpty => FirstSequence == NextSequence;
}

public enum LogStartKind
{
    Earliest,
    Latest,
    Sequence,
    Time,
}

/// <summary>Where a cursor begins. <see cref="FromSequence"/> is inclusive; <see cref="FromTime"/> is the first record enqueued at or after it.</summary>
public readonly record struct LogStart(LogStartKind Kind, long Sequence, DateTimeOffset Time)
{
    public static readonly LogStart Earliest = new(LogStartKind.Earliest, 0, default);
    public static readonly LogStart Latest = new(LogStartKind.Latest, 0, default);

    public static LogStart FromSequence(long sequence) => new(LogStartKind.Sequence, sequence, default);

    public static LogStart FromTime(DateTimeOffset time) => new(LogStartKind.Time, 0, time);
}

/// <summary>Reads one stream partition forward. One reader at a time.</summary>
public interface ILogCursor : IDisposable
{
    /// <summary>The sequence number of the next record it looks for.</summary>
    long NextSequence { get; }

    /// <summary>
    /// How many records between where it was and what <see cref="ReadAsync"/> just returned are gone (retention overtook the reader,
    /// or a quarantined batch); 0 in the ordinary case.
    /// </summary>
    long Skipped { get; }

    /// <summary>Fills the page with the next committed records, at most the page's capacity in bytes but at least one if there is one. Returns how many; 0 at the end.</summary>
    ValueTask<int> ReadAsync(LogPage page, CancellationToken cancel);

    /// <summary>Completes when there may be more to read.</summary>
    ValueTask WaitAsync(CancellationToken cancel);

    /// <summary>
    /// The same without a task: true when there may be more to read already. Else the listener is told once when there may be, and not any
    /// more once the cursor is disposed; asked again meanwhile, it is still told once.
    /// </summary>
    bool TellWhenMore(ICommitListener listener);
}

/// <param name="Message">AMQP 1.0 sections as stored; starts with <see cref="Protocol.Amqp.HubAnnotations"/>. Valid until the page is read into again.</param>
/// <param name="Endpoints">The set of endpoints that must take the record, a bit each.</param>
public readonly record struct LogRecord(
    StreamId Stream, int Partition, long Sequence, DateTimeOffset EnqueuedTime, SourceKind Source, ulong Endpoints, ReadOnlyMemory<byte> Message);

/// <summary>A reusable page of records. Owned by one reader. Not thread-safe.</summary>
public sealed class LogPage(int capacityBytes = 256 * 1024)
{
    private readonly List<LogRecord> _records = [];
    private byte[] _buffer = [];

    public int CapacityBytes { get; } = capacityBytes;

    public IReadOnlyList<LogRecord> Records => _records;

    /// <summary>The same for who goes through them one by one, and often. Valid until the page is read into again.</summary>
    public ReadOnlySpan<LogRecord> Span => CollectionsMarshal.AsSpan(_records);

    /// <summary>Whether a record larger than the page has made its buffer larger.</summary>
    public bool HasGrown => _buffer.Length > CapacityBytes;

    /// <summary>For implementations of the log: empties the page.</summary>
    public void Clear() => _records.Clear();

    /// <summary>For implementations of the log: a buffer of at least this size that lives as long as the page's content.</summary>
    public byte[] Buffer(int minimumBytes)
    {
        if (_buffer.Length < minimumBytes)
            _buffer = new byte[Math.Max(minimumBytes, CapacityBytes)];
        return _buffer;
    }

    /// <summary>For implementations of the log.</summary>
    public void Add(in LogRecord record) => _records.Add(record);
}

public enum HoldPolicy
{
    /// <summary>At the bound, telemetry is refused until the reader catches up.</summary>
    RefuseIngest,

    /// <summary>At the bound, the oldest segment is dropped and the loss counted exactly.</summary>
    Skip,
}

/// <summary>A reader's claim on segments. Thread-safe.</summary>
public interface ILogHold : IDisposable
{
    string Name { get; }

    /// <summary>Records lost to <see cref="HoldPolicy.Skip"/>, per partition.</summary>
    long Skipped(int partition);

    /// <summary>The reader has durably taken everything below <paramref name="next"/>.</summary>
    void Advance(int partition, long next);
}
