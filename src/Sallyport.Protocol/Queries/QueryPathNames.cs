using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

/// <summary>What documents have at their roots, and how the names that a query writes lead there.</summary>
internal static class QueryPathNames
{
    private const string Roots = "deviceId, moduleId, etag, status, connectionState, lastActivityTime, … , tags or properties";

    // Names of one level below; null for a field that has none.
    private static readonly Dictionary<string, string[]?> Fields = new(StringComparer.OrdinalIgnoreCase)
    {
        ["deviceId"] = null,
        ["moduleId"] = null,
        ["etag"] = null,
        ["deviceEtag"] = null,
        ["status"] = null,
        ["statusReason"] = null,
        ["statusUpdateTime"] = null,
        ["connectionState"] = null,
        ["lastActivityTime"] = null,
        ["cloudToDeviceMessageCount"] = null,
        ["authenticationType"] = null,
        ["x509Thumbprint"] = ["primaryThumbprint", "secondaryThumbprint"],
        ["modelId"] = null,
        ["version"] = null,
        ["capabilities"] = ["iotEdge"],
        ["deviceScope"] = null,
        ["parentScopes"] = null,
        ["configurations"] = [],
    };

    private static readonly string[] JobFields =
    [
        "deviceId", "moduleId", "jobId", "jobType", "status", "startTimeUtc", "endTimeUtc", "createdDateTimeUtc", "createdTimeUtc", "lastUpdatedDateTimeUtc", "outcome", "error",
    ];

    /// <param name="names">As written, with where each begins; at least one.</param>
    /// <exception cref="HubException">400: it leads nowhere; says where.</exception>
    public static QueryPath Resolve(string query, QuerySource source, IReadOnlyList<QueryToken> names)
    {
        names = WithoutCollection(query, source, names);
        if (source is QuerySource.Jobs)
            return OfJobs(query, names);

        var (first, rest) = (names[0], names.Skip(1).Select(name => name.Value).ToArray());
        if (Is(first, "tags"))
            return new QueryPath(QueryPart.Tags, rest);
        if (Is(first, "properties"))
        {
            return rest.Length == 0 ? new QueryPath(QueryPart.Field, ["properties"])
                : Is(names[1], "desired") ? new QueryPath(QueryPart.Desired, rest[1..])
                : Is(names[1], "reported") ? new QueryPath(QueryPart.Reported, rest[1..])
                : throw QueryFault.At(query, names[1].Start, $"found {names[1].Printed}; expected desired or reported");
        }

        if (!Fields.TryGetValue(first.Value, out var inner))
            throw QueryFault.At(query, first.Start, $"found {first.Printed}; expected a function with '(', or a path that begins with {Roots}");

        string[] path = [Fields.Keys.First(name => name.Equals(first.Value, StringComparison.OrdinalIgnoreCase)), .. rest];
        if (path.Length > 1 && inner?.FirstOrDefault(name => name.Equals(path[1], StringComparison.OrdinalIgnoreCase)) is { } canonical)
            path[1] = canonical;
        return new QueryPath(QueryPart.Field, path);
    }

    private static QueryPath OfJobs(string query, IReadOnlyList<QueryToken> names)
    {
        var first = JobFields.FirstOrDefault(field => Is(names[0], field))
            ?? throw QueryFault.At(query, names[0].Start, $"found {names[0].Printed}; expected a function with '(', or a path that begins with {string.Join(", ", JobFields)}");

        // IoT Hub's examples call it so; its rows do not.
        return new QueryPath(QueryPart.Field, [first == "createdTimeUtc" ? "createdDateTimeUtc" : first, .. names.Skip(1).Select(name => name.Value)]);
    }

    // devices.deviceId, devices.modules.moduleId, devices.jobs.status: the collection may stand before the path.
    private static IReadOnlyList<QueryToken> WithoutCollection(string query, QuerySource source, IReadOnlyList<QueryToken> names)
    {
        if (!names[0].IsKeyword("devices"))
            return names;

        var skip = 1;
        if (names.Count > 1 && (names[1].IsKeyword("modules") || names[1].IsKeyword("jobs")))
        {
            var meant = names[1].IsKeyword("modules") ? QuerySource.Modules : QuerySource.Jobs;
            if (meant != source)
                throw QueryFault.At(query, names[1].Start, $"found {names[1].Printed}; expected a path into the collection behind FROM (there are no joins)");
            skip = 2;
        }

        return names.Count > skip ? [.. names.Skip(skip)] : throw QueryFault.At(query, names[^1].Start, $"found {names[^1].Printed}; expected a path behind it");
    }

    private static bool Is(QueryToken token, string name) => token.Value.Equals(name, StringComparison.OrdinalIgnoreCase);
}
