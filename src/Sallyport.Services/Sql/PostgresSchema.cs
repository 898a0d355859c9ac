using Npgsql;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>Makes the tables that are missing and looks at those that are there.</summary>
internal static class PostgresSchema
{
    /// <exception cref="TargetException">A table is there but rows cannot be written to it.</exception>
    /// <exception cref="NpgsqlException">The server failed or said no.</exception>
    public static async Task EnsureAsync(NpgsqlConnection connection, TableName table, CancellationToken cancel)
    {
        await EnsureAsync(connection, table.Quoted, table.ToString(), TelemetryColumns.Telemetry, TelemetryColumns.TelemetryKey, cancel);
        await EnsureAsync(connection, table.QuotedPositions, TableName.Positions, TelemetryColumns.Positions, TelemetryColumns.PositionsKey, cancel);
    }

    private static async Task EnsureAsync(
        NpgsqlConnection connection, string quoted, string name, IReadOnlyList<TelemetryColumns.Column> columns, string key, CancellationToken cancel)
    {
        var found = await ColumnsAsync(connection, quoted, cancel);
        if (found.Count == 0)
        {
            // Only when missing: CREATE TABLE IF NOT EXISTS needs the right to create even when the table is there.
            var create = TelemetryColumns.Create(quoted, columns, key, column => column.Postgres);
            await using var command = new NpgsqlCommand(create, connection);
            await command.ExecuteNonQueryAsync(cancel);
            return;
        }

        if (TelemetryColumns.Mismatch(columns, found, column => column.Postgres) is { } mismatch)
            throw new TargetException($"the table {name} exists but {mismatch}; name another table, or drop or rename this one", refused: true);
    }

    private static async Task<Dictionary<string, string>> ColumnsAsync(NpgsqlConnection connection, string quoted, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(
            """
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            """, connection);
        command.Parameters.Add(new NpgsqlParameter { Value = quoted });
        await using var reader = await command.ExecuteReaderAsync(cancel);
        var columns = new Dictionary<string, string>();
        while (await reader.ReadAsync(cancel))
            columns.Add(reader.GetString(0), reader.GetString(1));
        return columns;
    }
}
