using System.Globalization;
using Microsoft.Data.Sqlite;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>One connection to a SQLite file. A batch is one transaction that takes the write lock before it looks at the position.</summary>
internal sealed class SqliteTable : ITelemetryTable
{
    private readonly SqliteConnection _connection;
    private readonly TableName _table;
    private readonly Ownership _ownership;

    private SqliteTable(SqliteConnection connection, TableName table, Ownership ownership, IReadOnlyList<TablePosition> positions)
    {
        _connection = connection;
        _table = table;
        _ownership = ownership;
        Positions = positions;
    }

    public IReadOnlyList<TablePosition> Positions { get; }

    /// <summary>Takes the positions over, in the caller's transaction. The table then owns the connection.</summary>
    /// <exception cref="PositionLostException">An owner of a higher epoch has them.</exception>
    public static SqliteTable Claim(SqliteConnection connection, TableName table, Ownership ownership)
    {
        using var claim = connection.CreateCommand();
        claim.CommandText =
            $"""
            INSERT INTO {table.QuotedPositions} ({TelemetryColumns.Names(TelemetryColumns.Positions)})
            VALUES ($connection, $partition, $name, $hub, $next, 0, $epoch)
            ON CONFLICT ({TelemetryColumns.PositionsKey}) DO UPDATE SET "owner_epoch" = excluded."owner_epoch", "name" = excluded."name"
            WHERE "owner_epoch" <= excluded."owner_epoch"
            RETURNING "next", "skipped"
            """;
        var positions = new TablePosition[ownership.Start.Count];
        for (var partition = 0; partition < positions.Length; partition++)
        {
            claim.Parameters.Clear();
            claim.Parameters.AddWithValue("$connection", ownership.ConnectionId);
            claim.Parameters.AddWithValue("$partition", partition);
            claim.Parameters.AddWithValue("$name", ownership.Name);
            claim.Parameters.AddWithValue("$hub", ownership.HubId);
            claim.Parameters.AddWithValue("$next", ownership.Start[partition]);
            claim.Parameters.AddWithValue("$epoch", ownership.Epoch);
            using var row = claim.ExecuteReader();
            if (!row.Read())
                throw new PositionLostException("a newer owner has the positions");
            positions[partition] = new TablePosition(row.GetInt64(0), row.GetInt64(1));
        }

        return new SqliteTable(connection, table, ownership, positions);
    }

    // SQLite has no asynchronous calls; a commit holds the caller's thread for one sync.
    public Task<int> CommitAsync(RowBatch batch, CancellationToken cancel)
    {
        try
        {
            return Task.FromResult(Commit(batch));
        }
        catch (SqliteException e)
        {
            const int constraint = 19, mismatch = 20, tooBig = 18;
            if (e.SqliteErrorCode is tooBig or mismatch && batch.Rows.Count > 0)
                throw new RowsRefusedException($"SQLite said {e.SqliteErrorCode}: {e.Message}", e);
            if (e.SqliteErrorCode == constraint)
                throw new TargetException($"the table {_table} has a constraint that telemetry breaks: {e.Message}", refused: true, e);
            throw SqliteTarget.Translate(e);
        }
    }

    public ValueTask DisposeAsync() => _connection.DisposeAsync();

    private int Commit(RowBatch batch)
    {
        using var transaction = _connection.BeginTransaction();
        using var move = _connection.CreateCommand();
        move.CommandText =
            $"""
            UPDATE {_table.QuotedPositions} SET "next" = $next, "skipped" = "skipped" + $skipped
            WHERE "connection_id" = $connection AND "partition" = $partition AND "owner_epoch" = $epoch AND "next" = $from
            """;
        move.Parameters.AddWithValue("$next", batch.Next);
        move.Parameters.AddWithValue("$skipped", batch.Skipped);
        move.Parameters.AddWithValue("$connection", _ownership.ConnectionId);
        move.Parameters.AddWithValue("$partition", batch.Partition);
        move.Parameters.AddWithValue("$epoch", _ownership.Epoch);
        move.Parameters.AddWithValue("$from", batch.From);
        if (move.ExecuteNonQuery() != 1)
            throw Lost(batch);

        var inserted = Insert(batch);
        transaction.Commit();
        return inserted;
    }

    private int Insert(RowBatch batch)
    {
        using var insert = _connection.CreateCommand();
        var columns = TelemetryColumns.Telemetry;
        insert.CommandText =
            $"""
            INSERT INTO {_table.Quoted} ({TelemetryColumns.Names(columns)}) VALUES ({string.Join(", ", columns.Select((_, i) => $"${i}"))})
            ON CONFLICT ({TelemetryColumns.TelemetryKey}) DO NOTHING
            """;
        for (var i = 0; i < columns.Count; i++)
            insert.Parameters.AddWithValue($"${i}", null);

        var inserted = 0;
        foreach (var row in batch.Rows)
        {
            object?[] values =
            [
                _ownership.HubId, batch.Partition, row.Sequence, row.Offset,
                row.EnqueuedTime.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture),
                row.DeviceId, row.ModuleId, row.MessageId, row.CorrelationId, row.ContentType, row.ContentEncoding,
                row.Properties, row.SystemProperties, row.Body, row.BodyText, row.BodyBytes, row.RawMessage,
            ];
            for (var i = 0; i < values.Length; i++)
                insert.Parameters[i].Value = values[i] ?? DBNull.Value;
            inserted += insert.ExecuteNonQuery();
        }

        return inserted;
    }

    private Exception Lost(RowBatch batch)
    {
        using var look = _connection.CreateCommand();
        look.CommandText = $"""SELECT "owner_epoch" FROM {_table.QuotedPositions} WHERE "connection_id" = $connection AND "partition" = $partition""";
        look.Parameters.AddWithValue("$connection", _ownership.ConnectionId);
        look.Parameters.AddWithValue("$partition", batch.Partition);
        return look.ExecuteScalar() is long epoch && epoch > _ownership.Epoch
            ? new PositionLostException($"owner {epoch} has taken over from owner {_ownership.Epoch}")
            : new TargetException($"the position of partition {batch.Partition} was changed by somebody else; it is read again", refused: false);
    }
}
