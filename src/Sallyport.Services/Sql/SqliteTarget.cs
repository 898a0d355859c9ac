using Microsoft.Data.Sqlite;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Sql;

/// <summary>A SQLite file in the sinks directory, or in another one that the process configuration names.</summary>
internal sealed class SqliteTarget : ITelemetryTarget
{
    private static readonly string[] AllowedKeywords = ["Data Source"];

    private readonly string _file;
    private readonly TableName _table;
    private readonly SinkFiles _files;

    /// <exception cref="FormatException">The connection string has something that is not allowed; or the file is where none may be; says what, without a secret.</exception>
    public SqliteTarget(string connectionString, TableName table, SinkFiles files)
    {
        SqliteConnectionStringBuilder settings;
        try
        {
            settings = new SqliteConnectionStringBuilder(connectionString);
        }
        catch (ArgumentException)
        {
            throw new FormatException("the connection string is not one of SQLite");
        }

        // The builder lists every keyword; only those that differ from its defaults were given.
        var defaults = new SqliteConnectionStringBuilder();
        var refused = settings.Keys.Cast<string>()
            .Where(key => !AllowedKeywords.Contains(key, StringComparer.OrdinalIgnoreCase) && !Equals(settings[key], defaults[key])).ToList();
        if (refused.Count > 0)
            throw new FormatException($"the connection string has {string.Join(", ", refused)}; allowed is Data Source");
        if (settings.DataSource.Length == 0 || settings.DataSource.StartsWith(':')
            || settings.DataSource.StartsWith("file:", StringComparison.OrdinalIgnoreCase) || settings.DataSource.Contains('|', StringComparison.Ordinal))
        {
            throw new FormatException("Data Source must be the path of a file");
        }

        if (table.Schema is not null)
            throw new FormatException("a table in SQLite has no schema: name it without a dot");

        // Told at once; asked again at each opening, because links change.
        try
        {
            files.Locate(settings.DataSource);
        }
        catch (TargetException outside)
        {
            throw new FormatException(outside.Message, outside);
        }

        _file = settings.DataSource;
        _table = table;
        _files = files;
    }

    public bool MayBePlain => false;

    public string Description => $"SQLite {_file}, table {_table}";

    // SQLite has no asynchronous calls: opening runs on the pool, where a wait for another writer's lock costs no caller's thread.
    public Task<ITelemetryTable> OpenAsync(Ownership ownership, CancellationToken cancel) => Task.Run<ITelemetryTable>(
        () =>
        {
            var connection = Connect();
            try
            {
                using var transaction = connection.BeginTransaction();
                Ensure(connection, _table.Quoted, _table.ToString(), TelemetryColumns.Telemetry, TelemetryColumns.TelemetryKey);
                Ensure(connection, _table.QuotedPositions, TableName.Positions, TelemetryColumns.Positions, TelemetryColumns.PositionsKey);
                var table = SqliteTable.Claim(connection, _table, ownership);
                transaction.Commit();
                return table;
            }
            catch (Exception e)
            {
                connection.Dispose();
                throw e is SqliteException failure ? Translate(failure) : e;
            }
        },
        cancel);

    public Task TestAsync(CancellationToken cancel) => Task.Run(
        () =>
        {
            using var connection = Connect();
            try
            {
                using var transaction = connection.BeginTransaction();
                Ensure(connection, _table.Quoted, _table.ToString(), TelemetryColumns.Telemetry, TelemetryColumns.TelemetryKey);
                Ensure(connection, _table.QuotedPositions, TableName.Positions, TelemetryColumns.Positions, TelemetryColumns.PositionsKey);
                transaction.Rollback();
            }
            catch (SqliteException e)
            {
                throw Translate(e);
            }
        },
        cancel);

    internal static TargetException Translate(SqliteException e)
    {
        const int busy = 5, locked = 6, full = 13, ioError = 10;
        var unreached = e.SqliteErrorCode is busy or locked or full or ioError;
        return new TargetException($"SQLite said {e.SqliteErrorCode}: {e.Message}", refused: !unreached, e);
    }

    private SqliteConnection Connect()
    {
        var path = _files.Resolve(_file);
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false, DefaultTimeout = 10 }.ToString());
        try
        {
            connection.Open();
            // FULL: what is committed stays committed when the power goes, because the log may drop it then.
            using var pragmas = connection.CreateCommand();
            pragmas.CommandText = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;";
            pragmas.ExecuteNonQuery();
            return connection;
        }
        catch (SqliteException e)
        {
            connection.Dispose();
            throw Translate(e);
        }
    }

    private static void Ensure(SqliteConnection connection, string quoted, string name, IReadOnlyList<TelemetryColumns.Column> columns, string key)
    {
        using var create = connection.CreateCommand();
        create.CommandText = TelemetryColumns.Create(quoted, columns, key, column => column.Sqlite);
        create.ExecuteNonQuery();

        var found = new Dictionary<string, string>();
        using var look = connection.CreateCommand();
        look.CommandText = $"SELECT name, type FROM pragma_table_info('{name}')";
        using var rows = look.ExecuteReader();
        while (rows.Read())
            found.Add(rows.GetString(0), rows.GetString(1));
        if (TelemetryColumns.Mismatch(columns, found, column => column.Sqlite) is { } mismatch)
            throw new TargetException($"the table {name} exists but {mismatch}; name another table, or drop or rename this one", refused: true);
    }
}
