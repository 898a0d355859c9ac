using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// One connection and its prepared statements, handed to acts and looks while a transaction is open on it.
/// Used by one thread at a time.
/// </summary>
internal sealed class SqliteSession : MetadataTransaction, IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly Dictionary<string, SqliteStatement> _statements = [];
    private bool _isOpen;

    public SqliteSession(SqliteConnection connection) => _connection = connection;

    /// <summary>Whether events were added to the outbox since <see cref="Begin"/>; kept by <see cref="OutboxTable"/>.</summary>
    public bool HasOutboxAdditions { get; set; }

    /// <summary>Identities whose record or twin was written since <see cref="Begin"/>, also by acts that were undone; kept by <see cref="IdentityTable"/> and <see cref="TwinTable"/>.</summary>
    public List<(string DeviceId, string ModuleId)> Changes { get; } = [];

    /// <summary>False once SQLite has rolled the transaction back by itself, as it does when the disk is full.</summary>
    public bool IsInTransaction => raw.sqlite3_get_autocommit(_connection.Handle) == 0;

    /// <summary>The texts prepared so far.</summary>
    public IReadOnlyCollection<string> Texts => _statements.Keys;

    /// <summary>The statement of this text, prepared once per connection.</summary>
    /// <exception cref="InvalidOperationException">The transaction has ended: somebody kept it beyond the call that gave it.</exception>
    public SqliteStatement this[string sql]
    {
        get
        {
            if (!_isOpen)
                throw new InvalidOperationException("the metadata transaction was used after the call that gave it");

            return Prepared(sql);
        }
    }

    public static SqliteSession Of(MetadataTransaction tx) =>
        tx as SqliteSession ?? throw new ArgumentException("the transaction belongs to another store", nameof(tx));

    /// <summary>Readers get a snapshot at their first statement; the writer takes the write lock at once.</summary>
    public void Begin(bool forWriting)
    {
        Prepared(forWriting ? "BEGIN IMMEDIATE" : "BEGIN").Execute();
        HasOutboxAdditions = false;
        Changes.Clear();
        _isOpen = true;
    }

    public void Commit()
    {
        _isOpen = false;
        Prepared("COMMIT").Execute();
    }

    /// <summary>Ends the transaction without its changes; does nothing when SQLite has ended it already.</summary>
    public void Rollback()
    {
        _isOpen = false;
        if (IsInTransaction)
            Prepared("ROLLBACK").Execute();
    }

    public void BeginAct() => Prepared("SAVEPOINT act").Execute();

    public void EndAct() => Prepared("RELEASE act").Execute();

    public void UndoAct()
    {
        Prepared("ROLLBACK TO act").Execute();
        EndAct();
    }

    public void Dispose()
    {
        foreach (var statement in _statements.Values)
            statement.Dispose();
        _connection.Dispose();
    }

    private SqliteStatement Prepared(string sql)
    {
        if (!_statements.TryGetValue(sql, out var statement))
            _statements.Add(sql, statement = new SqliteStatement(_connection, sql));
        return statement;
    }
}

/// <summary>A prepared statement with parameters <c>$1</c>, <c>$2</c>, … bound by place. Used by one thread at a time.</summary>
internal sealed class SqliteStatement : IDisposable
{
    private readonly SqliteCommand _command;

    public SqliteStatement(SqliteConnection connection, string sql)
    {
        _command = connection.CreateCommand();
        _command.CommandText = sql;
    }

    public int Execute(params ReadOnlySpan<object?> values)
    {
        Bind(values);
        return _command.ExecuteNonQuery();
    }

    public long? Number(params ReadOnlySpan<object?> values)
    {
        Bind(values);
        return _command.ExecuteScalar() as long?;
    }

    public T? First<T>(Func<SqliteDataReader, T> read, params ReadOnlySpan<object?> values)
        where T : class
    {
        Bind(values);
        using var rows = _command.ExecuteReader();
        return rows.Read() ? read(rows) : null;
    }

    public List<T> All<T>(Func<SqliteDataReader, T> read, params ReadOnlySpan<object?> values)
    {
        Bind(values);
        using var rows = _command.ExecuteReader();
        List<T> all = [];
        while (rows.Read())
            all.Add(read(rows));
        return all;
    }

    /// <summary>Goes through the rows until <paramref name="visit"/> answers false.</summary>
    public void Each(Func<SqliteDataReader, bool> visit, params ReadOnlySpan<object?> values)
    {
        Bind(values);
        using var rows = _command.ExecuteReader();
        while (rows.Read() && visit(rows))
        {
        }
    }

    public void Dispose() => _command.Dispose();

    private void Bind(ReadOnlySpan<object?> values)
    {
        for (var i = 0; i < values.Length; i++)
        {
            if (i == _command.Parameters.Count)
                _command.Parameters.AddWithValue($"${i + 1}", null);
            _command.Parameters[i].Value = values[i] ?? DBNull.Value;
        }
    }
}

internal static class SqliteRows
{
    public static string? TextOrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    public static byte[]? BytesOrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetFieldValue<byte[]>(column);

    /// <summary>Times are stored as UTC ticks (100 ns since year 1), which is all that a <see cref="DateTimeOffset"/> holds.</summary>
    public static DateTimeOffset Time(this SqliteDataReader row, int column) => new(row.GetInt64(column), TimeSpan.Zero);

    public static DateTimeOffset? TimeOrNull(this SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.Time(column);
}
