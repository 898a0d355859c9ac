using Sallyport.Hub.Queries;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Hub.Configurations;

/// <summary>What target conditions and metrics of a configuration may say. Pure.</summary>
internal static class TargetCondition
{
    // What changes without a write to the store, or by what configurations write, cannot decide whether they reach a twin.
    private static readonly string[] Fields =
        ["deviceId", "moduleId", "modelId", "status", "statusReason", "authenticationType", "capabilities.iotEdge", "deviceScope"];

    /// <returns>Null for an empty condition, which reaches nothing.</returns>
    /// <exception cref="HubException">400: says where, what was found and what was expected.</exception>
    public static Query? Read(string condition, ContentKind kind)
    {
        if (string.IsNullOrWhiteSpace(condition))
            return null;

        var target = Named("targetCondition", () => QueryParser.ParseTarget(condition, Objection));
        if (kind is ContentKind.Module && target.Source is not QuerySource.Modules)
            throw new HubException(HubErrors.ArgumentInvalid, "targetCondition, line 1, column 1: expected FROM devices.modules WHERE …: moduleContent is for modules");
        if (kind is not ContentKind.Module && target.Source is QuerySource.Modules)
            throw new HubException(HubErrors.ArgumentInvalid, "targetCondition, line 1, column 1: found FROM devices.modules; expected a condition over devices: only moduleContent is for modules");
        return target;
    }

    /// <summary>Reads a condition without knowing for which content.</summary>
    /// <inheritdoc cref="Read" path="/exception"/>
    public static void Check(string condition) => Read(condition, condition.AsSpan().TrimStart().StartsWith("FROM", StringComparison.OrdinalIgnoreCase)
        && condition.Contains("modules", StringComparison.OrdinalIgnoreCase) ? ContentKind.Module : ContentKind.Device);

    /// <summary>A metric is the number of rows of its query.</summary>
    /// <inheritdoc cref="Read" path="/exception"/>
    public static Query ReadMetric(string name, string query)
    {
        var read = Named(name, () => QueryParser.Parse(query));
        if (read.IsAggregate)
            throw new HubException(HubErrors.ArgumentInvalid, $"{name}: a metric is the number of rows of its query; expected a query of rows, as SELECT deviceId FROM devices WHERE …");
        if (read.Source is QuerySource.Jobs)
            throw new HubException(HubErrors.ArgumentInvalid, $"{name}: found devices.jobs; expected devices or devices.modules");
        return read;
    }

    private static string? Objection(QueryPath path) => path.Part switch
    {
        QueryPart.Tags => null,
        QueryPart.Reported when RowValues.IsStored(path) && path.Names is not ["$version"] => null,
        QueryPart.Field when Fields.Contains(RowValues.FieldOf(path)) => null,
        _ => $"a path that begins with tags or properties.reported, or {string.Join(", ", Fields[..^1])} or {Fields[^1]}",
    };

    private static Query Named(string name, Func<Query> read)
    {
        try
        {
            return read();
        }
        catch (HubException wrong)
        {
            const string prefix = "query, ";
            throw new HubException(wrong.Error, wrong.Message.StartsWith(prefix, StringComparison.Ordinal) ? $"{name}, {wrong.Message[prefix.Length..]}" : $"{name}: {wrong.Message}");
        }
    }
}
