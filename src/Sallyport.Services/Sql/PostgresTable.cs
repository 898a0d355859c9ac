using Npgsql;
using NpgsqlTypes;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>
/// One session with PostgreSQL. A batch is one statement, hence one transaction and one round trip: it moves the position if
/// position and epoch are still what this owner saw, and inserts the rows only if it did. Two owners meet at the row of the
/// position: the second waits for the first and then sees what it left.
/// </summary>
internal sealed class PostgresTable : ITelemetryTable
{
    private const string UndefinedConflictTarget = "42P10";

    private readonly NpgsqlDataSource _source;
    private readonly NpgsqlConnection _connection;
    private readonly TableName _table;
    private readonly Ownership _ownership;

    private PostgresTable(NpgsqlDataSource source, NpgsqlConnection connection, TableName table, Ownership ownership, IReadOnlyList<TablePosition> positions)
    {
        _source = source;
        _connection = connection;
        _table = table;
        _ownership = ownership;
        Positions = positions;
    }

    public IReadOnlyList<TablePosition> Positions { get; }

    /// <summary>Takes the positions over. The table then owns source and connection.</summary>
    /// <exception cref="PositionLostException">An owner of a higher epoch has them.</exception>
    public static async Task<PostgresTable> ClaimAsync(
        NpgsqlDataSource source, NpgsqlConnection connection, TableName table, Ownership ownership, CancellationToken cancel) =>
        new(source, connection, table, ownership, await ClaimAsync(connection, table, ownership, cancel));

    /// <summary>Does all that writing needs, with no row. The caller undoes it.</summary>
    public static async Task TryAsync(NpgsqlConnection connection, TableName table, Ownership ownership, CancellationToken cancel)
    {
        await ClaimAsync(connection, table, ownership, cancel);
        await WriteAsync(connection, table, ownership, new RowBatch(0, 0, 0, 0, []), cancel);
    }

    public async Task<int> CommitAsync(RowBatch batch, CancellationToken cancel)
    {
        try
        {
            var (claimed, inserted) = await WriteAsync(_connection, _table, _ownership, batch, cancel);
            if (!claimed)
                await ThrowLostAsync(batch, cancel);
            return inserted;
        }
        catch (PostgresException e) when (batch.Rows.Count > 0 && IsRefusedValue(e))
        {
            throw new RowsRefusedException($"PostgreSQL said {e.SqlState}: {e.MessageText}", e);
        }
        catch (PostgresException e) when (e.SqlState == UndefinedConflictTarget)
        {
            throw new TargetException($"the table {_table} has no primary key or unique index on {TelemetryColumns.TelemetryKey}", refused: true, e);
        }
        catch (NpgsqlException e)
        {
            throw PostgresTarget.Translate(e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _source.DisposeAsync();
    }

    /// <summary>Class 22 is data exceptions; class 54 is limits (a document nested too deeply, a value too large).</summary>
    private static bool IsRefusedValue(PostgresException e) =>
        e.SqlState.StartsWith("22", StringComparison.Ordinal) || e.SqlState.StartsWith("54", StringComparison.Ordinal);

    private static async Task<IReadOnlyList<TablePosition>> ClaimAsync(NpgsqlConnection connection, TableName table, Ownership ownership, CancellationToken cancel)
    {
        // One statement: all partitions or none.
        await using var command = new NpgsqlCommand(
            $"""
            INSERT INTO {table.QuotedPositions} AS p ({TelemetryColumns.Names(TelemetryColumns.Positions)})
            SELECT $1, s."partition", $2, $3, s."next", 0, $4 FROM unnest($5::integer[], $6::bigint[]) AS s("partition", "next")
            ORDER BY s."partition"
            ON CONFLICT ({TelemetryColumns.PositionsKey}) DO UPDATE SET "owner_epoch" = EXCLUDED."owner_epoch", "name" = EXCLUDED."name"
            WHERE p."owner_epoch" <= EXCLUDED."owner_epoch"
            RETURNING p."partition", p."next", p."skipped"
            """, connection);
        Add(command, ownership.ConnectionId);
        Add(command, ownership.Name);
        Add(command, ownership.HubId);
        Add(command, ownership.Epoch);
        Add(command, Enumerable.Range(0, ownership.Start.Count).ToArray());
        Add(command, ownership.Start.ToArray());

        var positions = new TablePosition[ownership.Start.Count];
        var claimed = 0;
        await using var reader = await command.ExecuteReaderAsync(cancel);
        for (; await reader.ReadAsync(cancel); claimed++)
            positions[reader.GetInt32(0)] = new TablePosition(reader.GetInt64(1), reader.GetInt64(2));

        return claimed == positions.Length ? positions : throw new PositionLostException("a newer owner has the positions");
    }

    private static async Task<(bool Claimed, int Inserted)> WriteAsync(
        NpgsqlConnection connection, TableName table, Ownership ownership, RowBatch batch, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(
            $"""
            WITH claim AS (
                UPDATE {table.QuotedPositions} SET "next" = $5, "skipped" = "skipped" + $6
                WHERE "connection_id" = $1 AND "partition" = $2 AND "owner_epoch" = $3 AND "next" = $4
                RETURNING 1),
            inserted AS (
                INSERT INTO {table.Quoted} ({TelemetryColumns.Names(TelemetryColumns.Telemetry)})
                SELECT $7, $2, r.sequence_number, r.offset_text, r.enqueued_time, r.device_id, r.module_id, r.message_id, r.correlation_id,
                    r.content_type, r.content_encoding, r.properties::jsonb, r.system_properties::jsonb, r.body::jsonb, r.body_text, r.body_bytes, r.raw_message
                FROM claim, unnest($8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) AS r(
                    sequence_number, offset_text, enqueued_time, device_id, module_id, message_id, correlation_id,
                    content_type, content_encoding, properties, system_properties, body, body_text, body_bytes, raw_message)
                ON CONFLICT ({TelemetryColumns.TelemetryKey}) DO NOTHING
                RETURNING 1)
            SELECT (SELECT count(*) FROM claim), (SELECT count(*) FROM inserted)
            """, connection);
        Add(command, ownership.ConnectionId);
        Add(command, batch.Partition);
        Add(command, ownership.Epoch);
        Add(command, batch.From);
        Add(command, batch.Next);
        Add(command, batch.Skipped);
        Add(command, ownership.HubId);
        AddArray(command, NpgsqlDbType.Bigint, batch.Rows, row => row.Sequence);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.Offset);
        AddArray(command, NpgsqlDbType.TimestampTz, batch.Rows, row => row.EnqueuedTime.UtcDateTime);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.DeviceId);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.ModuleId);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.MessageId);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.CorrelationId);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.ContentType);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.ContentEncoding);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.Properties);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.SystemProperties);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.Body);
        AddArray(command, NpgsqlDbType.Text, batch.Rows, row => row.BodyText);
        AddArray(command, NpgsqlDbType.Bytea, batch.Rows, row => row.BodyBytes);
        AddArray(command, NpgsqlDbType.Bytea, batch.Rows, row => row.RawMessage);

        await using var reader = await command.ExecuteReaderAsync(cancel);
        await reader.ReadAsync(cancel);
        return (reader.GetInt64(0) == 1, (int)reader.GetInt64(1));
    }

    /// <summary>The position is not what this owner left: why.</summary>
    private async Task ThrowLostAsync(RowBatch batch, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(
            $"""SELECT "owner_epoch" FROM {_table.QuotedPositions} WHERE "connection_id" = $1 AND "partition" = $2""", _connection);
        Add(command, _ownership.ConnectionId);
        Add(command, batch.Partition);
        if (await command.ExecuteScalarAsync(cancel) is long epoch && epoch > _ownership.Epoch)
            throw new PositionLostException($"owner {epoch} has taken over from owner {_ownership.Epoch}");

        throw new TargetException($"the position of partition {batch.Partition} was changed by somebody else; it is read again", refused: false);
    }

    private static void Add<T>(NpgsqlCommand command, T value) => command.Parameters.Add(new NpgsqlParameter<T> { TypedValue = value });

    private static void AddArray<T>(NpgsqlCommand command, NpgsqlDbType type, IReadOnlyList<TelemetryRow> rows, Func<TelemetryRow, T> value) =>
        command.Parameters.Add(new NpgsqlParameter<T[]> { NpgsqlDbType = NpgsqlDbType.Array | type, TypedValue = [.. rows.Select(value)] });
}
