using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <param name="MaxFileBytes">A file that would grow beyond it is followed by the next one, in bytes. Default 64 MiB: opens in any editor.</param>
/// <param name="QueueLength">Entries that wait for the disk. At the bound <see cref="IAuditTrail.RecordAsync"/> waits and <see cref="IAuditTrail.Note"/> drops and counts. Default 4,096.</param>
/// <param name="MaxTallies">Kinds of refusals, and of repeated reads, told apart per minute; what is beyond is one number. Default 256: 200 KB a minute at most.</param>
public sealed record AuditTrailOptions(long MaxFileBytes = 64 * 1024 * 1024, int QueueLength = 4096, int MaxTallies = 256);

/// <summary>
/// The audit trail in a directory of append-only files (<c>docs/formats/audit.md</c>). One loop writes: what waits while a sync
/// runs is written and synced together. Thread-safe.
/// </summary>
/// <remarks>
/// A write that fails (a full disk) fails its entries and is tried anew with the next ones. After a sync that failed nothing is
/// certain any more: every later entry fails until the process is started again, and so does every management act.
/// </remarks>
public sealed class AuditTrail : IAuditTrail, IAsyncDisposable
{
    private const int MaxBatch = 256;

    private readonly AuditFile _file;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Channel<Waiting> _queue;

    // Apart, so that strangers who are refused leave the reads of those who are let in their lines.
    private readonly RefusalTally _refusals;
    private readonly RefusalTally _reads;
    private readonly ITimer _minute;
    private readonly Task _writing;

    private readonly Channel<AuditAnchor> _fileEnds = Channel.CreateBounded<AuditAnchor>(new BoundedChannelOptions(64) { FullMode = BoundedChannelFullMode.DropOldest });

    // Replaced by the loop that writes, read by anybody.
    private volatile AuditAnchor _head;

    // Entries that nobody waited for and that are not on disk; said in the trail within a minute.
    private long _dropped;

    private AuditTrail(AuditFile file, AuditTrailOptions options, TimeProvider time, ILogger log)
    {
        _file = file;
        _time = time;
        _log = log;
        _head = file.Head;
        (_refusals, _reads) = (new RefusalTally(options.MaxTallies, "refused"), new RefusalTally(options.MaxTallies, "done"));
        _queue = Channel.CreateBounded<Waiting>(new BoundedChannelOptions(options.QueueLength) { SingleReader = true });
        _minute = time.CreateTimer(_ => TellCounts(), null, TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1));
        _writing = Task.Run(WriteAllAsync);
    }

    /// <summary>Opens the trail, making its directory (0700) and first file (0600) when they are missing. Reads the newest file through.</summary>
    /// <param name="directory"><c>DIR/audit</c>.</param>
    /// <param name="keys">Whose trail it is, and what signs it.</param>
    /// <exception cref="UnusableDataException">A file is of a newer format or is not an audit file.</exception>
    /// <exception cref="IOException">The directory cannot be read or written.</exception>
    public static AuditTrail Open(string directory, AuditKeys keys, AuditTrailOptions options, TimeProvider time, ILogger log) =>
        Open(directory, keys, options, time, log, AuditSeal.Chain);

    internal static AuditTrail Open(string directory, AuditKeys keys, AuditTrailOptions options, TimeProvider time, ILogger log, LineHash chain)
    {
        var file = AuditFile.Open(directory, options.MaxFileBytes, keys, chain, time.GetUtcNow());
        var trail = new AuditTrail(file, options, time, log);
        if (file.Unreadable is { } unreadable)
        {
            log.LogWarning(AuditEvents.TornEnd, "The end of {File} is not readable; the audit trail goes on in the next file", unreadable);
            trail.Note(Own("audit recover", unreadable, "the file has lines that cannot be read: the process ended while it wrote them, or they were changed"));
        }

        return trail;
    }

    /// <inheritdoc/>
    public async ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel)
    {
        var durable = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            await _queue.Writer.WriteAsync(new Waiting(entry, 1, _time.GetUtcNow(), durable), cancel);
        }
        catch (ChannelClosedException)
        {
            throw new IOException("the audit trail is closed");
        }

        // From here on the entry is written: who asked has to know.
        await durable.Task;
    }

    /// <inheritdoc/>
    /// <remarks>
    /// An entry without correlation id belongs to no act that somebody was let in for: strangers can make any number of them.
    /// Each kind (principal, action, target, reason) is written once a minute; the others of that minute are one more line with their number.
    /// </remarks>
    public void Note(AuditEntry entry)
    {
        if (entry.CorrelationId.Length > 0 || (entry.Result == "refused" ? _refusals : _reads).IsFirst(entry))
            Enqueue(entry, 1);
    }

    /// <summary>The last line of each file that was finished, for one reader; beyond 64 the oldest goes.</summary>
    internal ChannelReader<AuditAnchor> FileEnds => _fileEnds.Reader;

    /// <summary>The last line that is on disk.</summary>
    public AuditAnchor Head => _head;

    /// <summary>Writes what waits and closes the file.</summary>
    public async ValueTask DisposeAsync()
    {
        await _minute.DisposeAsync();
        TellCounts();
        _queue.Writer.TryComplete();
        await _writing;
        _file.Dispose();
    }

    private void TellCounts()
    {
        foreach (var (entry, count) in _refusals.Drain().Concat(_reads.Drain()))
            Enqueue(entry, count);

        var dropped = Interlocked.Exchange(ref _dropped, 0);
        if (dropped > 0)
            Enqueue(Own("audit drop", "", "entries found no room or could not be written"), dropped);
    }

    private void Enqueue(AuditEntry entry, long count)
    {
        if (!_queue.Writer.TryWrite(new Waiting(entry, count, _time.GetUtcNow(), null)))
            Interlocked.Add(ref _dropped, count);
    }

    private async Task WriteAllAsync()
    {
        var batch = new List<Waiting>(MaxBatch);
        while (await _queue.Reader.WaitToReadAsync())
        {
            while (batch.Count < MaxBatch && _queue.Reader.TryRead(out var waiting))
                batch.Add(waiting);

            Write(batch);
            batch.Clear();
        }
    }

    private void Write(List<Waiting> batch)
    {
        try
        {
            foreach (var waiting in batch)
                _file.Add(waiting.Entry, waiting.Count, waiting.Time);
            _file.Commit();
            if (_file.Head.File != _head.File)
                _fileEnds.Writer.TryWrite(_head);
            _head = _file.Head;
        }
        catch (Exception failure)
        {
            // Whatever it was: nobody waits for ever, and nobody acts without an entry.
            _file.Abandon();
            AuditMeter.Failed();
            _log.LogError(AuditEvents.WriteFailed, failure, "The audit trail could not be written; management acts are refused until it can");
            foreach (var waiting in batch)
            {
                if (waiting.Durable is null)
                    Interlocked.Add(ref _dropped, waiting.Count);
                waiting.Durable?.TrySetException(new IOException("the audit trail could not be written", failure));
            }

            return;
        }

        AuditMeter.Written(batch.Count);
        foreach (var waiting in batch)
            waiting.Durable?.TrySetResult();
    }

    private static AuditEntry Own(string action, string target, string reason) => new("local:audit", "", action, target, "done", reason, "", "local");

    /// <param name="Count">How many events the one line stands for.</param>
    /// <param name="Durable">Null when nobody waits.</param>
    private readonly record struct Waiting(AuditEntry Entry, long Count, DateTimeOffset Time, TaskCompletionSource? Durable);
}
