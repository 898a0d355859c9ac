using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Errors;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Services.Connections;

/// <summary>Records of a partition that retention removed before a connection had written them.</summary>
public delegate void RecordsSkipped(string connection, int partition, long count);

/// <summary>
/// The hub's service connections: keeps their definitions and runs each of them. Thread-safe; acts run one after the other.
/// Dispose it before log and metadata.
/// </summary>
public sealed class ServiceConnections : IAsyncDisposable
{
    /// <summary>Each holds a session with its target and a cursor per partition.</summary>
    public const int MaxConnections = 50;

    private readonly IEventLog _log;
    private readonly IMetadata _metadata;
    private readonly SqlTargets _targets;
    private readonly Func<ConnectionRecord, bool> _mayRun;
    private readonly RecordsSkipped? _skipped;
    private readonly TimeProvider _time;
    private readonly ILogger<ServiceConnections> _logger;
    private readonly SemaphoreSlim _acts = new(1);

    // Replaced whole by an act; read by anybody.
    private volatile IReadOnlyDictionary<string, ConnectionRunner> _runners = new Dictionary<string, ConnectionRunner>();
    private bool _isDisposed;

    /// <param name="skipped">Told of records that were gone before a connection could write them; called while it copies, so it returns at once.</param>
    /// <param name="mayRun">Whether a connection's creator may read telemetry; asked whenever the connection is started and before each batch.</param>
    public ServiceConnections(
        IEventLog log, IMetadata metadata, OutgoingOptions outgoing, Func<ConnectionRecord, bool> mayRun, TimeProvider time, ILoggerFactory loggers,
        RecordsSkipped? skipped = null)
    {
        _skipped = skipped;
        _log = log;
        _metadata = metadata;
        _targets = new SqlTargets(outgoing);
        _mayRun = mayRun;
        _time = time;
        _logger = loggers.CreateLogger<ServiceConnections>();
    }

    /// <summary>Starts what is defined. Call it once, before anything else.</summary>
    public async Task StartAsync(CancellationToken cancel)
    {
        await ActAsync(
            async () =>
            {
                foreach (var record in _metadata.Read(_metadata.Connections.List))
                    await RestartAsync(record, cancel);
                return true;
            },
            cancel);
        ConnectionMeter.ObserveBehind(() => _runners.Values.Select(runner => (runner.Name, BehindOf(runner.Status().Positions).Sum())));
    }

    /// <summary>Checks a definition as <see cref="PutAsync"/> would, and changes nothing.</summary>
    /// <exception cref="HubException">It would be refused.</exception>
    public void Validate(ConnectionDefinition definition)
    {
        definition.Validate();
        try
        {
            _targets.Create(definition.ConnectionString, definition.Table);
        }
        catch (FormatException e)
        {
            throw new HubException(HubErrors.ArgumentInvalid, e.Message);
        }

        if (Find(definition.Name) is { } existing)
        {
            var settings = ConnectionSettings.Of(existing);
            if (existing.Kind != definition.Kind || settings.Table != definition.Table || settings.FromEarliest != definition.FromEarliest)
                throw new HubException(HubErrors.Conflict, $"connection '{definition.Name}' exists with another kind, table or start; only its connection string and hold policy can be replaced: delete it first");
        }
        else if (_runners.Count >= MaxConnections)
        {
            throw new HubException(HubErrors.ArgumentInvalid, $"a hub has at most {MaxConnections} connections");
        }
    }

    /// <summary>Creates a connection and starts it, or replaces connection string and hold policy of one that exists. It runs with the rights of who did that last.</summary>
    /// <returns>True when it was created.</returns>
    /// <exception cref="HubException">The definition is not valid, or the connection exists with another table or start.</exception>
    public Task<bool> PutAsync(ConnectionDefinition definition, string creator, long creatorRights, CancellationToken cancel) => ActAsync(
        async () =>
        {
            Validate(definition);
            var existing = Find(definition.Name);
            var settings = (existing is null ? new ConnectionSettings(Guid.NewGuid().ToString("N"), definition.Table, definition.FromEarliest) : ConnectionSettings.Of(existing))
                with { RefuseIngest = definition.Hold == HoldPolicy.RefuseIngest };
            var record = existing is null
                ? new ConnectionRecord(definition.Name, definition.Kind, settings.ToJson(), definition.ConnectionString, false, creator, creatorRights, 0, _time.GetUtcNow())
                : existing with { Settings = settings.ToJson(), Secret = definition.ConnectionString, Creator = creator, CreatorRights = creatorRights };
            await _metadata.WriteAsync(
                tx =>
                {
                    _metadata.Connections.Put(tx, record);
                    if (existing is null)
                        PutStart(tx, record.Name, definition.FromEarliest);
                    return true;
                },
                cancel);
            await RestartAsync(record, CancellationToken.None);
            return existing is null;
        },
        cancel);

    /// <summary>Stops copying; what comes is held for the connection until it is resumed.</summary>
    /// <exception cref="HubException">There is none of that name.</exception>
    public Task PauseAsync(string name, CancellationToken cancel) => SetPausedAsync(name, true, cancel);

    /// <summary>Goes on where it was paused; also starts one that has stopped.</summary>
    /// <exception cref="HubException">There is none of that name.</exception>
    public Task ResumeAsync(string name, CancellationToken cancel) => SetPausedAsync(name, false, cancel);

    /// <summary>Forgets the connection. What it wrote stays in the target.</summary>
    /// <exception cref="HubException">There is none of that name.</exception>
    public Task DeleteAsync(string name, CancellationToken cancel) => ActAsync(
        async () =>
        {
            Get(name);
            await _metadata.WriteAsync(
                tx =>
                {
                    _metadata.Checkpoints.Delete(tx, ConnectionRunner.CheckpointScope, name);
                    return _metadata.Connections.Delete(tx, name);
                },
                cancel);
            await RemoveRunnerAsync(name);
            return true;
        },
        cancel);

    /// <summary>Connects to the target and tries everything that writing needs.</summary>
    /// <returns>What is wrong; null when nothing is.</returns>
    /// <exception cref="HubException">There is none of that name.</exception>
    public async Task<string?> TestAsync(string name, CancellationToken cancel)
    {
        var record = Get(name);
        try
        {
            await _targets.Create(record.Secret, ConnectionSettings.Of(record).Table).TestAsync(cancel);
            return null;
        }
        catch (Exception e) when (e is TargetException or FormatException)
        {
            return e.Message;
        }
    }

    public bool Exists(string name) => Find(name) is not null;

    /// <summary>Null when there is none of that name.</summary>
    public async Task<ConnectionDescription?> FindAsync(string name, CancellationToken cancel) =>
        Find(name) is { } record ? await DescribeAsync(record, cancel) : null;

    /// <summary>In the order of their names.</summary>
    public async Task<IReadOnlyList<ConnectionDescription>> ListAsync(CancellationToken cancel)
    {
        var all = new List<ConnectionDescription>();
        foreach (var record in _metadata.Read(_metadata.Connections.List).OrderBy(record => record.Name, StringComparer.Ordinal))
            all.Add(await DescribeAsync(record, cancel));
        return all;
    }

    /// <summary>Names of the connections whose target may be written to without TLS.</summary>
    public IReadOnlyList<string> WithoutTls() =>
        [.. _metadata.Read(_metadata.Connections.List).Where(record => MayBePlain(record, ConnectionSettings.Of(record))).Select(record => record.Name).Order(StringComparer.Ordinal)];

    /// <summary>Stops all of them; each keeps its position. Again, it does nothing.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
            return;

        await _acts.WaitAsync();
        await Task.WhenAll(_runners.Values.Select(runner => runner.DisposeAsync().AsTask()));
        _runners = new Dictionary<string, ConnectionRunner>();
        _acts.Dispose();
    }

    private async Task<T> ActAsync<T>(Func<Task<T>> act, CancellationToken cancel)
    {
        await _acts.WaitAsync(cancel);
        try
        {
            return await act();
        }
        finally
        {
            _acts.Release();
        }
    }

    private Task<bool> SetPausedAsync(string name, bool paused, CancellationToken cancel) => ActAsync(
        async () =>
        {
            var record = Get(name) with { Paused = paused };
            await _metadata.WriteAsync(
                tx =>
                {
                    _metadata.Connections.Put(tx, record);
                    return true;
                },
                cancel);
            await RestartAsync(record, CancellationToken.None);
            return true;
        },
        cancel);

    private void PutStart(MetadataTransaction tx, string name, bool fromEarliest)
    {
        for (var partition = 0; partition < _log.PartitionCount; partition++)
        {
            var there = _log.Describe(StreamId.Events, partition);
            _metadata.Checkpoints.Put(tx, ConnectionRunner.CheckpointScope, name, partition, fromEarliest ? there.FirstSequence : there.NextSequence);
        }
    }

    /// <summary>Ends the old owner, if there is one, and starts a new one with the next epoch.</summary>
    private async Task RestartAsync(ConnectionRecord record, CancellationToken cancel)
    {
        // Its hold stays until the new owner's has replaced it: retention may run in between.
        var before = _runners.GetValueOrDefault(record.Name);
        if (before is not null)
            await before.StopAsync();
        var epoch = await _metadata.WriteAsync(
            tx =>
            {
                var current = _metadata.Connections.Find(tx, record.Name)!;
                _metadata.Connections.Put(tx, current with { Epoch = current.Epoch + 1 });
                return current.Epoch + 1;
            },
            cancel);

        var settings = ConnectionSettings.Of(record);
        var checkpoints = _metadata.Read(tx => _metadata.Checkpoints.Find(tx, ConnectionRunner.CheckpointScope, record.Name));
        var start = Enumerable.Range(0, _log.PartitionCount).Select(partition => checkpoints.GetValueOrDefault(partition)).ToArray();
        var mayRun = _mayRun(record);
        var runner = new ConnectionRunner(
            _log, _metadata, () => Target(record, settings), new Ownership(_metadata.HubId, settings.Id, record.Name, epoch, start), settings.Hold,
            !mayRun ? ConnectionState.Stopped : record.Paused ? ConnectionState.Paused : ConnectionState.Waiting,
            mayRun ? null : Unauthorized(record), () => _mayRun(record) ? null : Unauthorized(record),
            _skipped, _time, _logger);
        _runners = new Dictionary<string, ConnectionRunner>(_runners) { [record.Name] = runner };
        if (before is not null)
            await before.DisposeAsync();
        if (mayRun && !record.Paused)
            runner.Start();
    }

    private static string Unauthorized(ConnectionRecord record) => $"{record.Creator}, who created it, may not read telemetry";

    /// <summary>The process configuration may have changed since the definition was checked.</summary>
    private ITelemetryTarget Target(ConnectionRecord record, ConnectionSettings settings)
    {
        try
        {
            return _targets.Create(record.Secret, settings.Table);
        }
        catch (FormatException e)
        {
            throw new TargetException(e.Message, refused: true, e);
        }
    }

    private async Task RemoveRunnerAsync(string name)
    {
        if (!_runners.TryGetValue(name, out var runner))
            return;

        await runner.DisposeAsync();
        _runners = _runners.Where(pair => pair.Key != name).ToDictionary();
    }

    private ConnectionRecord? Find(string name) => _metadata.Read(tx => _metadata.Connections.Find(tx, name));

    private ConnectionRecord Get(string name) =>
        Find(name) ?? throw new HubException(HubErrors.NotFound, $"there is no connection '{name}'");

    private async Task<ConnectionDescription> DescribeAsync(ConnectionRecord record, CancellationToken cancel)
    {
        var settings = ConnectionSettings.Of(record);
        var (state, lastError, lastErrorTime, rows, positions) = _runners.TryGetValue(record.Name, out var runner)
            ? runner.Status()
            : (ConnectionState.Stopped, null, null, 0, []);

        var behind = new List<PartitionLag>();
        var records = BehindOf(positions);
        for (var partition = 0; partition < positions.Count; partition++)
        {
            var seconds = records[partition] == 0 ? 0 : await WaitingSecondsAsync(partition, positions[partition].Next, cancel);
            behind.Add(new PartitionLag(partition, records[partition], seconds, positions[partition].Skipped + GoneBefore(partition, positions[partition].Next)));
        }

        return new ConnectionDescription(
            record.Name, record.Kind, settings.Table, Describe(record, settings), settings.FromEarliest, settings.Hold, record.Creator, record.CreatedTime,
            state, lastError, lastErrorTime, rows, behind);
    }

    private bool MayBePlain(ConnectionRecord record, ConnectionSettings settings)
    {
        try
        {
            return _targets.Create(record.Secret, settings.Table).MayBePlain;
        }
        catch (FormatException)
        {
            // It does not run.
            return false;
        }
    }

    private string Describe(ConnectionRecord record, ConnectionSettings settings)
    {
        try
        {
            return _targets.Create(record.Secret, settings.Table).Description;
        }
        catch (FormatException)
        {
            return "not valid any more under this process configuration";
        }
    }

    private List<long> BehindOf(IReadOnlyList<TablePosition> positions) =>
        [.. positions.Select((position, partition) =>
        {
            var there = _log.Describe(StreamId.Events, partition);
            return Math.Max(0, there.NextSequence - Math.Max(position.Next, there.FirstSequence));
        })];

    /// <summary>Records that the log let go of and that the target's position does not count yet: those of a target that is away.</summary>
    private long GoneBefore(int partition, long next) => Math.Max(0, _log.Describe(StreamId.Events, partition).FirstSequence - next);

    private async Task<double> WaitingSecondsAsync(int partition, long next, CancellationToken cancel)
    {
        using var cursor = _log.OpenCursor(StreamId.Events, partition, LogStart.FromSequence(next));
        var page = new LogPage(1);
        return await cursor.ReadAsync(page, cancel) == 0 ? 0 : Math.Max(0, (_time.GetUtcNow() - page.Records[0].EnqueuedTime).TotalSeconds);
    }
}
