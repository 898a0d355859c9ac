using System.Threading.Channels;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using SQLitePCL;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// The one writer: a thread that owns the writing connection, takes acts from a bounded queue and commits as many together as
/// wait (a commit is one sync, so batches form by themselves while the previous one runs).
/// </summary>
/// <remarks>
/// Each act runs in a savepoint: one that throws undoes only itself. Outcomes are told after the commit, also exceptions, because an
/// act may have thrown over what an earlier act of the same commit did. A full disk or another program's lock fails the acts of that
/// commit; any other failed write or sync stops the writer for good (what the kernel did with the pages is unknown), and reads go on.
/// At the queue's bound callers wait.
/// </remarks>
internal sealed class SqliteWriter
{
    public const int MaxWaitingActs = 1024;
    public const int MaxActsPerCommit = 256;

    private readonly SqliteSession _session;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Action _outboxAdded;
    private readonly Action<IReadOnlyList<(string DeviceId, string ModuleId)>> _twinsChanged;
    private readonly Thread _thread;
    private readonly TaskCompletionSource<Exception> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Channel<MetadataAct> _acts = Channel.CreateBounded<MetadataAct>(
        new BoundedChannelOptions(MaxWaitingActs) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    // Owned by the writer's thread.
    private readonly List<(MetadataAct Act, Exception? Thrown)> _batch = [];
    private long _commits;

    public SqliteWriter(SqliteSession session, TimeProvider time, ILogger log, Action outboxAdded, Action<IReadOnlyList<(string DeviceId, string ModuleId)>> twinsChanged)
    {
        _session = session;
        _time = time;
        _log = log;
        _outboxAdded = outboxAdded;
        _twinsChanged = twinsChanged;
        _thread = new Thread(Run) { Name = "metadata writer", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Completes, with the reason, when the writer has stopped for good.</summary>
    public Task<Exception> Failure => _failure.Task;

    /// <summary>How many commits succeeded.</summary>
    public long Commits => Volatile.Read(ref _commits);

    /// <exception cref="MetadataWriteException">It could not be made durable.</exception>
    public async ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T>? committed, CancellationToken cancel)
    {
        var waiting = new MetadataAct<T>(act, committed);
        try
        {
            await _acts.Writer.WriteAsync(waiting, cancel).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            throw Failure.IsCompletedSuccessfully
                ? Stopped(await Failure.ConfigureAwait(false))
                : new ObjectDisposedException(nameof(SqliteMetadata));
        }

        return await waiting.WaitAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Takes no more acts, commits those that wait, and ends the thread.</summary>
    public Task StopAsync()
    {
        _acts.Writer.TryComplete();
        return _stopped.Task;
    }

    private static MetadataWriteException Stopped(Exception cause) =>
        new("The metadata store takes no more changes since a write failed: " + cause.Message, isPermanent: true, cause);

    private void Run()
    {
        // This thread is ours: blocking it blocks nobody else.
        while (_acts.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            var started = _time.GetTimestamp();
            if (CommitWaiting() is { } failure)
                Fail(failure);
            else if (_batch.Count > 0)
                MetadataMeter.Committed(_batch.Count, _time.GetElapsedTime(started));
            _batch.Clear();
        }

        _session.Dispose();
        _stopped.SetResult();
    }

    private Exception? CommitWaiting()
    {
        try
        {
            _session.Begin(forWriting: true);
            while (_batch.Count < MaxActsPerCommit && _acts.Reader.TryRead(out var act))
            {
                if (act.TryTake())
                    RunAct(act);
            }

            OutboxTable.Write(_session);
            _session.Commit();
            Volatile.Write(ref _commits, _commits + 1);
        }
        catch (Exception exception)
        {
            // SQLite refused, or had rolled back by itself when the act threw.
            return exception;
        }

        if (_session.Changes.Count > 0)
            _twinsChanged(_session.Changes);
        foreach (var (act, thrown) in _batch)
        {
            if (thrown is null)
                act.Complete();
            else
                act.Fail(thrown);
        }

        if (_session.Events.Count > 0)
            _outboxAdded();
        return null;
    }

    private void RunAct(MetadataAct act)
    {
        // It belongs to the batch from here on: whatever happens below, its caller is told.
        _batch.Add((act, null));
        _session.BeginAct();
        try
        {
            act.Run(_session);
        }
        catch (Exception exception) when (_session.IsInTransaction && !IsOfTheDisk(exception))
        {
            _session.UndoAct();
            _batch[^1] = (act, exception);
            return;
        }

        _session.EndAct();
    }

    // What the act's own statements ran into, but not by what they said: it ends the whole commit.
    private static bool IsOfTheDisk(Exception exception) => exception is SqliteException
    {
        SqliteErrorCode: raw.SQLITE_FULL or raw.SQLITE_IOERR or raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB or raw.SQLITE_CANTOPEN or raw.SQLITE_READONLY,
    };

    private void Fail(Exception failure)
    {
        var passing = failure is not SqliteException sqlite ? null : sqlite.SqliteErrorCode switch
        {
            raw.SQLITE_FULL => "The disk is full: the change to the metadata was not made.",
            raw.SQLITE_BUSY => "Another program holds the metadata database: the change was not made.",
            _ => null,
        };
        var told = passing is null ? Stopped(failure) : new MetadataWriteException(passing, isPermanent: false, failure);
        MetadataMeter.Failed();
        foreach (var (act, _) in _batch)
            act.Fail(told);

        if (passing is null)
        {
            _log.LogCritical(MetadataEvents.WriteFailed, failure, "Writing metadata failed; no more changes are taken until the process is started anew.");
            _acts.Writer.TryComplete();
            _failure.TrySetResult(failure);
            while (_acts.Reader.TryRead(out var act))
                act.Fail(told);
        }
        else
        {
            _log.LogError(MetadataEvents.WriteRefused, failure, "{Reason} Changes refused: {Acts}.", passing, _batch.Count);
        }

        try
        {
            _session.Rollback();
        }
        catch (SqliteException exception)
        {
            // Only after another failure: the next BEGIN fails too and stops the writer.
            _log.LogError(MetadataEvents.WriteFailed, exception, "Undoing a failed change to the metadata failed.");
        }
    }
}
