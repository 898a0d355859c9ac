using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Hub.Queries;

/// <content>How many rows a query has, for metrics of configurations.</content>
public sealed partial class TwinQueries
{
    /// <summary>How many rows the answer of a query has, without making it. Takes its turn as any query.</summary>
    /// <param name="query">Of twins, not of groups.</param>
    /// <exception cref="HubException">400: it costs more than it may; 429.</exception>
    internal async ValueTask<long> CountAsync(Scope scope, Query query, CancellationToken cancel)
    {
        var counting = query with { Columns = [new QueryColumn("rows", null, new QueryAggregate(QueryAggregateKind.Count, null))], Top = null };
        using var turn = await _turns.TakeAsync(cancel).ConfigureAwait(false);
        var clock = new QueryClock(_limits, _time, cancel);
        var (json, _) = _metadata.Read(tx => Groups(tx, counting, scope, clock)).Page(null, null, 1);
        var rows = JsonElement.Parse(json.Span)[0].GetProperty("rows").GetInt64();
        return query.Top is { } top ? Math.Min(top, rows) : rows;
    }
}
