namespace Sallyport.Services.Sql;

/// <summary>
/// The columns of a telemetry table and of the positions beside it, for both databases. What they mean: <c>docs/connections-sql.md</c>.
/// </summary>
internal static class TelemetryColumns
{
    /// <summary>In the order in which rows are written. PostgreSQL's types are as <c>pg_catalog.format_type</c> prints them.</summary>
    public static readonly IReadOnlyList<Column> Telemetry =
    [
        new("hub_id", "text", "TEXT", "NOT NULL"),
        new("partition", "integer", "INTEGER", "NOT NULL"),
        new("sequence_number", "bigint", "INTEGER", "NOT NULL"),
        new("offset", "text", "TEXT", "NOT NULL"),
        new("enqueued_time", "timestamp with time zone", "TEXT", "NOT NULL"),
        new("device_id", "text", "TEXT", "NOT NULL"),
        new("module_id", "text", "TEXT"),
        new("message_id", "text", "TEXT"),
        new("correlation_id", "text", "TEXT"),
        new("content_type", "text", "TEXT"),
        new("content_encoding", "text", "TEXT"),
        new("properties", "jsonb", "TEXT", "NOT NULL"),
        new("system_properties", "jsonb", "TEXT", "NOT NULL"),
        new("body", "jsonb", "TEXT"),
        new("body_text", "text", "TEXT"),
        new("body_bytes", "bytea", "BLOB"),
        new("raw_message", "bytea", "BLOB"),
    ];

    public const string TelemetryKey = "\"hub_id\", \"partition\", \"sequence_number\"";

    public static readonly IReadOnlyList<Column> Positions =
    [
        new("connection_id", "text", "TEXT", "NOT NULL"),
        new("partition", "integer", "INTEGER", "NOT NULL"),
        new("name", "text", "TEXT", "NOT NULL"),
        new("hub_id", "text", "TEXT", "NOT NULL"),
        new("next", "bigint", "INTEGER", "NOT NULL"),
        new("skipped", "bigint", "INTEGER", "NOT NULL"),
        new("owner_epoch", "bigint", "INTEGER", "NOT NULL"),
    ];

    public const string PositionsKey = "\"connection_id\", \"partition\"";

    public static string Names(IReadOnlyList<Column> columns) => string.Join(", ", columns.Select(column => $"\"{column.Name}\""));

    public static string Create(string quotedTable, IReadOnlyList<Column> columns, string key, Func<Column, string> type) =>
        $"CREATE TABLE IF NOT EXISTS {quotedTable} ({string.Join(", ", columns.Select(column => $"\"{column.Name}\" {type(column)} {column.Constraint}"))}, PRIMARY KEY ({key}))";

    /// <summary>What is wrong with a table that exists, in words; null when rows can be written to it. More columns are welcome.</summary>
    public static string? Mismatch(IReadOnlyList<Column> expected, IReadOnlyDictionary<string, string> found, Func<Column, string> type)
    {
        var missing = expected.Where(column => !found.ContainsKey(column.Name)).Select(column => column.Name).ToList();
        if (missing.Count > 0)
            return $"lacks {string.Join(", ", missing)}";

        var other = expected.Where(column => !found[column.Name].Equals(type(column), StringComparison.OrdinalIgnoreCase))
            .Select(column => $"{column.Name} is {found[column.Name]} instead of {type(column)}").ToList();
        return other.Count > 0 ? $"has columns of another type: {string.Join(", ", other)}" : null;
    }

    internal sealed record Column(string Name, string Postgres, string Sqlite, string Constraint = "");
}
