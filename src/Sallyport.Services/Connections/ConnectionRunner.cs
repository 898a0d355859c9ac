using Microsoft.Extensions.Logging;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Services.Connections;

/// <summary>
/// Copies the stream <c>events</c> into one table, partition by partition, and holds segments back until they are there.
/// The position in the table decides where to go on; the checkpoint in the metadata store only says, while the target is away,
/// what must be held.
/// </summary>
/// <remarks>
/// One task per partition reads and decodes; their commits take turns on the one session. The first that fails ends them all;
/// the session is opened again after a while. Public members are thread-safe.
/// </remarks>
internal sealed class ConnectionRunner : IAsyncDisposable
{
    /// <summary>The scope of its checkpoints in the metadata store.</summary>
    public const string CheckpointScope = "connection";

    /// <summary>Bound on a batch: stored bytes of its records. One record may be larger.</summary>
    internal const int PageBytes = 1024 * 1024;

    /// <summary>A restart without the target holds at most what was written in this time more than needed.</summary>
    private static readonly TimeSpan CheckpointInterval = TimeSpan.FromSeconds(5);

    private readonly IEventLog _log;
    private readonly IMetadata _metadata;
    private readonly Func<ITelemetryTarget> _target;
    private readonly Ownership _ownership;
    private readonly HoldPolicy _policy;
    private readonly Func<string?> _forbidden;
    private readonly RecordsSkipped? _skipped;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Backoff _backoff = new(TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1));

    // Guards what follows: written by the run, read by whoever asks.
    private readonly Lock _status = new();
    private readonly TablePosition[] _positions;
    private ConnectionState _state;
    private string? _lastError;
    private DateTimeOffset? _lastErrorTime;
    private long _rowsWritten;

    private ILogHold _hold;
    private long _checkpointedAt;
    private Task _run = Task.CompletedTask;
    private bool _isDisposed;

    /// <summary>Holds back what it will need; copies nothing before <see cref="Start"/>.</summary>
    /// <param name="target">Called before every attempt.</param>
    /// <param name="policy">What gives way at the bound of what may be held.</param>
    /// <param name="state">What it is until it is started.</param>
    /// <param name="reason">Why, when it will not be started; null otherwise.</param>
    /// <param name="forbidden">Asked before each batch: why it may not be written any more; null while it may.</param>
    public ConnectionRunner(
        IEventLog log, IMetadata metadata, Func<ITelemetryTarget> target, Ownership ownership, HoldPolicy policy, ConnectionState state, string? reason,
        Func<string?> forbidden, RecordsSkipped? skipped, TimeProvider time, ILogger logger)
    {
        _skipped = skipped;
        _log = log;
        _metadata = metadata;
        _target = target;
        _ownership = ownership;
        _policy = policy;
        _forbidden = forbidden;
        _time = time;
        _logger = logger;
        _state = state;
        _lastError = reason;
        _positions = [.. ownership.Start.Select(next => new TablePosition(next, 0))];
        _hold = Hold(ownership.Start);
    }

    public string Name => _ownership.Name;

    /// <summary>Completes when it copies no more; never fails.</summary>
    public Task Ended => _run;

    public void Start() => _run = Task.Run(() => RunAsync(_stop.Token));

    public (ConnectionState State, string? LastError, DateTimeOffset? LastErrorTime, long RowsWritten, IReadOnlyList<TablePosition> Positions) Status()
    {
        lock (_status)
            return (_state, _lastError, _lastErrorTime, _rowsWritten, [.. _positions]);
    }

    /// <summary>Ends the copying and keeps the position; what was not copied stays held. Before <see cref="DisposeAsync"/> only.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _run;
    }

    /// <summary>Ends the copying, keeps the position, and holds nothing back any more. Again, it does nothing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
            return;

        await StopAsync();
        _hold.Dispose();
        _stop.Dispose();
    }

    private ILogHold Hold(IReadOnlyList<long> next) => _log.Hold($"connection/{_ownership.Name}", StreamId.Events, next, _policy);

    private async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                await CopyAsync(stop);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is PositionLostException or RightLostException)
            {
                _logger.LogError(ConnectionEvents.Stopped, "Connection {Name} stops: {Reason}.", Name, e.Message);
                Tell(ConnectionState.Stopped, e.Message);
                return;
            }
            catch (TargetException e)
            {
                _logger.LogWarning(ConnectionEvents.Failed, "Connection {Name} cannot write: {Reason}.", Name, e.Message);
                Tell(e.Refused ? ConnectionState.Failed : ConnectionState.Waiting, e.Message);
            }
            catch (Exception e)
            {
                // A way to fail that nobody thought of: it must not end the hub, nor stay silent.
                _logger.LogError(ConnectionEvents.Failed, e, "Connection {Name} failed.", Name);
                Tell(ConnectionState.Failed, $"{e.GetType().Name}: {e.Message}");
            }

            await WaitAsync(_backoff.Next(), stop);
            if (stop.IsCancellationRequested)
                return;
        }
    }

    private async Task WaitAsync(TimeSpan time, CancellationToken stop) =>
        await Task.Delay(time, _time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task CopyAsync(CancellationToken stop)
    {
        await using var table = await _target().OpenAsync(_ownership, stop);
        Adopt(table.Positions);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var turn = new SemaphoreSlim(1);
        var copies = Enumerable.Range(0, _positions.Length).Select(partition => CopyAsync(table, partition, turn, ended.Token)).ToArray();
        var first = await Task.WhenAny(copies);
        await ended.CancelAsync();
        await Task.WhenAll(copies).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await CheckpointAsync(CancellationToken.None);
        await first;
    }

    /// <summary>The table says where each partition stands.</summary>
    private void Adopt(IReadOnlyList<TablePosition> positions)
    {
        for (var partition = 0; partition < positions.Count; partition++)
        {
            var written = _log.Describe(StreamId.Events, partition).NextSequence;
            if (positions[partition].Next > written)
            {
                // Copying on would leave out what gets the same sequence numbers again.
                throw new PositionLostException(
                    $"the table has partition {partition} up to {positions[partition].Next} and the log ends at {written}: the hub's data was restored from an older backup; delete and create the connection anew");
            }
        }

        _hold = Hold([.. positions.Select(position => position.Next)]);
        lock (_status)
        {
            positions.ToArray().CopyTo(_positions, 0);
            _state = ConnectionState.Running;
        }

        _logger.LogInformation(ConnectionEvents.Running, "Connection {Name} writes as owner {Epoch}.", Name, _ownership.Epoch);
    }

    private async Task CopyAsync(ITelemetryTable table, int partition, SemaphoreSlim turn, CancellationToken cancel)
    {
        var next = table.Positions[partition].Next;
        var page = new LogPage(PageBytes);
        using var reader = new TelemetryRowReader();
        using var cursor = _log.OpenCursor(StreamId.Events, partition, LogStart.FromSequence(next));
        while (true)
        {
            if (await cursor.ReadAsync(page, cancel) == 0)
            {
                await cursor.WaitAsync(cancel);
                continue;
            }

            var rows = page.Records.Where(record => record.Source == SourceKind.Telemetry).Select(record => reader.Read(record)).ToList();
            var last = page.Records[^1].Sequence;
            var batch = new RowBatch(partition, next, last + 1, last + 1 - next - page.Records.Count, rows);
            await turn.WaitAsync(cancel);
            try
            {
                if (_forbidden() is { } why)
                    throw new RightLostException(why);
                await CommitAsync(table, batch, cancel);
            }
            finally
            {
                turn.Release();
            }

            next = batch.Next;
        }
    }

    /// <summary>Commits; what the database refuses is cut down to the row it refuses, and that row to what it takes.</summary>
    private async Task CommitAsync(ITelemetryTable table, RowBatch batch, CancellationToken cancel)
    {
        try
        {
            var written = await table.CommitAsync(batch, cancel);
            await CommittedAsync(batch, written, cancel);
        }
        catch (RowsRefusedException e)
        {
            foreach (var smaller in Smaller(batch, e))
                await CommitAsync(table, smaller, cancel);
        }
    }

    private static IReadOnlyList<RowBatch> Smaller(RowBatch batch, RowsRefusedException refused)
    {
        if (batch.Rows.Count == 1)
        {
            var plainer = batch.Rows[0].Plainer() ?? throw new TargetException(refused.Message, refused: true, refused);
            return [batch with { Rows = [plainer] }];
        }

        var half = batch.Rows.Count / 2;
        var middle = batch.Rows[half].Sequence;
        return [batch with { Next = middle, Rows = [.. batch.Rows.Take(half)] }, batch with { From = middle, Skipped = 0, Rows = [.. batch.Rows.Skip(half)] }];
    }

    private async Task CommittedAsync(RowBatch batch, int written, CancellationToken cancel)
    {
        lock (_status)
        {
            var skipped = _positions[batch.Partition].Skipped + batch.Skipped;
            _positions[batch.Partition] = new TablePosition(batch.Next, skipped);
            _rowsWritten += written;
        }

        if (batch.Skipped > 0)
        {
            _logger.LogWarning(ConnectionEvents.Skipped, "Connection {Name}: {Count} records of partition {Partition} were gone before they could be written.", Name, batch.Skipped, batch.Partition);
            _skipped?.Invoke(Name, batch.Partition, batch.Skipped);
        }

        _backoff.Reset();
        _hold.Advance(batch.Partition, batch.Next);
        ConnectionMeter.Committed(Name, written, batch.Skipped);
        if (_time.GetElapsedTime(_checkpointedAt) >= CheckpointInterval)
            await CheckpointAsync(cancel);
    }

    private async Task CheckpointAsync(CancellationToken cancel)
    {
        _checkpointedAt = _time.GetTimestamp();
        var positions = Status().Positions;
        await _metadata.WriteAsync(
            tx =>
            {
                // Not after it was deleted: a namesake would begin there.
                if (_metadata.Connections.Find(tx, Name) is not { } record || ConnectionSettings.Of(record).Id != _ownership.ConnectionId)
                    return false;

                for (var partition = 0; partition < positions.Count; partition++)
                    _metadata.Checkpoints.Put(tx, CheckpointScope, Name, partition, positions[partition].Next);
                return true;
            },
            cancel);
    }

    private void Tell(ConnectionState state, string error)
    {
        ConnectionMeter.Failed(Name);
        lock (_status)
        {
            _state = state;
            _lastError = error;
            _lastErrorTime = _time.GetUtcNow();
        }
    }
}
