using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>What the rows of an answer are; the names are IoT Hub's, in <c>x-ms-item-type</c>.</summary>
public enum QueryItemType
{
    /// <summary>Whole twins.</summary>
    Twin,

    /// <summary>Rows of <c>devices.jobs</c>.</summary>
    DeviceJob,

    /// <summary>What the query named.</summary>
    Raw,
}

/// <summary>A page of an answer. Immutable.</summary>
/// <param name="Json">UTF-8: an array of objects.</param>
/// <param name="Continuation">Asks for the next page, with the same query; null when this is the last.</param>
public sealed record QueryPage(QueryItemType Type, ReadOnlyMemory<byte> Json, string? Continuation);

/// <summary>
/// Queries over the twins of devices and modules, and over what jobs did to them (IoT Hub developer guide, "IoT Hub query language"). A query sees what is committed when its page is asked for: whatever
/// was answered as done before is in it.
/// </summary>
/// <remarks>
/// Thread-safe. Refuses with <see cref="HubException"/>. Every page is a snapshot of its own, and begins behind the last row of the one before: what is written between two pages
/// neither doubles nor hides a row that stays.
/// </remarks>
public sealed partial class TwinQueries : IDisposable
{
    private readonly IMetadata _metadata;
    private readonly Quotas _quotas;
    private readonly QueryLimits _limits;
    private readonly TimeProvider _time;
    private readonly TwinFields _fields;
    private readonly QueryTurns _turns;
    private readonly TwinColumns _devices, _modules;

    public TwinQueries(IMetadata metadata, ConnectedDevices connected, ActivityWriteBack activity, Quotas quotas, QueryLimits limits, TimeProvider time)
    {
        _metadata = metadata;
        _quotas = quotas;
        _limits = limits;
        _time = time;
        _fields = new TwinFields(connected, activity);
        _turns = new QueryTurns(limits, time);
        _devices = new TwinColumns(ofModules: false, metadata, connected, _fields, limits);
        _modules = new TwinColumns(ofModules: true, metadata, connected, _fields, limits);
    }

    internal int Makings => _devices.Makings + _modules.Makings;

    /// <summary>Answers a page to somebody who holds every right that a row may need.</summary>
    /// <inheritdoc cref="RunAsync(Rights, Scope, string, int?, string?, CancellationToken)"/>
    public ValueTask<QueryPage> RunAsync(Scope scope, string text, int? maxRows, string? continuation, CancellationToken cancel) =>
        RunAsync(AzureRights.All, scope, text, maxRows, continuation, cancel);

    /// <summary>Answers a page.</summary>
    /// <param name="held">Of who asks: rows of <c>devices.jobs</c> need <see cref="Rights.JobManage"/> beside what the caller of this has checked.</param>
    /// <param name="scope">Of who asks: rows of other devices are not there for them.</param>
    /// <param name="maxRows">Of the page; null for the default. More than <see cref="QueryLimits.MaxPageRows"/> are that many.</param>
    /// <param name="continuation">What the page before gave; null for the first.</param>
    /// <exception cref="HubException">400: the query is none, costs more than it may, or the continuation is not its own; 401: a right is missing; 429.</exception>
    public async ValueTask<QueryPage> RunAsync(Rights held, Scope scope, string text, int? maxRows, string? continuation, CancellationToken cancel)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        if (maxRows < 1)
            throw new HubException(HubErrors.ArgumentInvalid, "x-ms-max-item-count: a number from 1");

        var query = QueryParser.Parse(text);
        var isOfJobs = query.Source is QuerySource.Jobs;
        if (isOfJobs && !held.HasFlag(Rights.JobManage))
            throw new HubException(HubErrors.UnauthorizedAccess, "devices.jobs: this needs a right that you do not hold: job-manage");

        var from = continuation is null ? null : QueryContinuation.Read(continuation, text, ofTwins: !query.IsAggregate && !isOfJobs);
        using var turn = await _turns.TakeAsync(cancel).ConfigureAwait(false);
        var rows = Math.Min(maxRows ?? _limits.DefaultPageRows, _limits.MaxPageRows);
        var clock = new QueryClock(_limits, _time, cancel);
        var (json, next) = _metadata.Read(tx => isOfJobs ? new DeviceJobPage(query, _metadata.Jobs, tx, scope, _limits, clock).Read(from, rows)
            : query.IsAggregate ? Groups(tx, query, scope, clock).Page(from?.After, from is null ? query.Top : from.Left, rows)
            : Page(tx, query, scope, clock, from, rows));
        var type = isOfJobs ? QueryItemType.DeviceJob : query.Columns is null ? QueryItemType.Twin : QueryItemType.Raw;
        return new QueryPage(type, json, next?.Encode(text));
    }

    public void Dispose()
    {
        _devices.Dispose();
        _modules.Dispose();
        _turns.Dispose();
    }

    private (ReadOnlyMemory<byte> Json, QueryContinuation? Next) Page(MetadataTransaction tx, Query query, Scope scope, QueryClock clock, QueryContinuation? from, int maxRows)
    {
        var rows = new RowJson(query.Columns, _fields);
        var next = new RowPage(query, rows, _metadata.Twins, ColumnsOf(query), tx, _fields, scope, _limits, clock).Read(from, maxRows);
        return (rows.Ended(), next);
    }

    private TwinColumns ColumnsOf(Query query) => query.Source is QuerySource.Modules ? _modules : _devices;

    private QueryGroups Groups(MetadataTransaction tx, Query query, Scope scope, QueryClock clock)
    {
        var groups = new QueryGroups(query, _limits);
        var ofModules = query.Source is QuerySource.Modules;
        if (query is { Slots.Count: 0, Conditions.Count: 0 } && !scope.LimitsDevices)
        {
            groups.SetCounts(_metadata.Twins.Count(tx, ofModules));
            return groups;
        }

        var values = new RowValues(query.Slots, _fields);
        var slots = new QueryValue[query.Slots.Count];
        if (ColumnsOf(query).Find(query, ("", ""), most: null, makes: true, clock) is { } candidates)
        {
            foreach (var identity in candidates.Identities)
                _metadata.Twins.Visit(tx, identity.DeviceId, identity.ModuleId, Add);
        }
        else
        {
            _metadata.Twins.Scan(tx, values.Scan(ofModules, inOrder: false), Add);
        }

        return groups;

        bool Add(in TwinRow row)
        {
            if (scope.CoversDevice(row.DeviceIdBytes))
            {
                values.Read(row, slots);
                if (query.Admits(slots))
                    groups.Add(slots);
            }

            return !clock.IsOver() ? true : throw new HubException(
                HubErrors.ArgumentInvalid, $"the query takes longer than {_limits.MaxTime.TotalSeconds:0} s; narrow it with WHERE, or ask when the hub has less to do");
        }
    }
}
