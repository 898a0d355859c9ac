using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Queries;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// What metrics of configurations come to, counted when it is asked. System metrics of all configurations take one walk through an index, and of deployments one through the runtimes of edge
/// devices. Stateless; thread-safe.
/// </summary>
internal sealed class ConfigurationMetrics(IMetadata metadata, TwinQueries queries, QueryLimits limits, TimeProvider time)
{
    private static readonly JsonPaths Reported = new([(["lastDesiredVersion"], 0), (["lastDesiredStatus", "code"], 1)]);

    /// <summary>Of all configurations, by id and by the metric's name.</summary>
    /// <param name="scope">Twins of other devices are not counted.</param>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, long>> System(IReadOnlyList<ConfigurationRecord> records, Scope scope) => metadata.Read(tx =>
    {
        var kinds = records.ToDictionary(record => record.Id, SystemMetrics.KindOf, StringComparer.Ordinal);
        var results = records.ToDictionary(record => record.Id, record => SystemMetrics.QueriesOf(record).Keys.ToDictionary(name => name, _ => 0L), StringComparer.Ordinal);
        foreach (var (areModules, shown, count) in Count(tx, scope))
        {
            // What a deployment reaches is a device, which says so itself.
            foreach (var (id, isApplied) in TwinNotes.StatusesOf(shown))
            {
                if (!kinds.TryGetValue(id, out var kind) || areModules != (kind is ContentKind.Module))
                    continue;
                results[id][SystemMetrics.Targeted] += count;
                results[id][SystemMetrics.Applied] += isApplied ? count : 0;
            }
        }

        if (kinds.ContainsValue(ContentKind.Edge))
            CountReports(tx, scope, kinds, results);
        return results.ToDictionary(pair => pair.Key, pair => (IReadOnlyDictionary<string, long>)pair.Value, StringComparer.Ordinal);
    });

    /// <summary>Of the configuration's own metrics: those that could be counted in time and within the bounds of queries.</summary>
    /// <param name="from">When the request began to count: one has the time of one query for all of them.</param>
    public async ValueTask<IReadOnlyDictionary<string, long>> OwnAsync(ConfigurationRecord record, Scope scope, long from, CancellationToken cancel)
    {
        var results = new Dictionary<string, long>(StringComparer.Ordinal);
        using var queriesOf = JsonDocument.Parse(record.MetricQueries);
        foreach (var query in queriesOf.RootElement.EnumerateObject())
        {
            if (time.GetElapsedTime(from) > limits.MaxTime)
                break;

            try
            {
                results[query.Name] = await queries.CountAsync(scope, TargetCondition.ReadMetric(query.Name, query.Value.GetString()!), cancel).ConfigureAwait(false);
            }
            catch (HubException costly) when (costly.Error == HubErrors.ArgumentInvalid || costly.Error == HubErrors.Throttled)
            {
                continue; // It has no result then: the others may.
            }
        }

        return results;
    }

    private IReadOnlyList<ConfiguredTwins> Count(MetadataTransaction tx, Scope scope)
    {
        if (!scope.LimitsDevices)
            return metadata.Configurations.CountTwins(tx);

        var counts = new Dictionary<string, ConfiguredTwins>(StringComparer.Ordinal);
        metadata.Configurations.ScanTwins(tx, moduleId: null, (in TwinRow row) =>
        {
            if (!scope.CoversDevice(row.DeviceIdBytes))
                return true;

            var isModule = row.ModuleId is not null;
            var key = (isModule ? "m" : "d") + Convert.ToBase64String(row.Configurations);
            counts[key] = counts.TryGetValue(key, out var known) ? known with { Count = known.Count + 1 } : new ConfiguredTwins(isModule, row.Configurations.ToArray(), 1);
            return true;
        });
        return [.. counts.Values];
    }

    // IoT Edge: the runtime says which version of its desired properties it has done, and how that ended.
    private void CountReports(MetadataTransaction tx, Scope scope, Dictionary<string, ContentKind> kinds, Dictionary<string, Dictionary<string, long>> results) =>
        metadata.Configurations.ScanTwins(tx, ConfigurationContent.EdgeAgent, (in TwinRow row) =>
        {
            if (!scope.CoversDevice(row.DeviceIdBytes) || ReportOf(row) is not { } metric)
                return true;

            foreach (var (id, isApplied) in TwinNotes.StatusesOf(row.Configurations.ToArray()))
            {
                if (isApplied && kinds.TryGetValue(id, out var kind) && kind is ContentKind.Edge)
                    results[id][metric]++;
            }

            return true;
        });

    private static string? ReportOf(in TwinRow row)
    {
        Span<QueryValue> values = new QueryValue[2];
        Reported.Read(row.Reported, values);
        return values[0].Kind is not QueryKind.Number || values[0].Number != row.DesiredVersion || values[1].Kind is not QueryKind.Number ? null
            : values[1].Number == 200 ? SystemMetrics.Successful : SystemMetrics.Failed;
    }
}
