using System.Buffers;
using System.Text;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// A prepared statement with parameters <c>$1</c>, <c>$2</c>, … bound by place. Used by one thread at a time, for one thing at a time. It calls SQLite itself: a command and its reader
/// of the provider cost several times what most of these statements do.
/// </summary>
internal sealed class SqliteStatement : IDisposable
{
    private const int MaxTextOnStack = 512;

    private readonly sqlite3 _database;
    private readonly sqlite3_stmt _statement;

    // SQLite numbers "$3" by where it first stands, not by its name; 0 is not there.
    private readonly int[] _places;

    /// <exception cref="SqliteException">It is no statement of this database.</exception>
    public SqliteStatement(SqliteConnection connection, string sql)
    {
        _database = connection.Handle!;
        Check(raw.sqlite3_prepare_v3(_database, sql, raw.SQLITE_PREPARE_PERSISTENT, out _statement));
        var count = raw.sqlite3_bind_parameter_count(_statement);
        var numbers = Enumerable.Range(1, count)
            .Select(place => int.Parse(raw.sqlite3_bind_parameter_name(_statement, place).utf8_to_string().AsSpan(1), System.Globalization.CultureInfo.InvariantCulture)).ToArray();
        _places = new int[numbers.DefaultIfEmpty().Max()];
        for (var i = 0; i < count; i++)
            _places[numbers[i] - 1] = i + 1;
    }

    /// <returns>How many rows it changed, if it changes rows.</returns>
    public int Execute(params ReadOnlySpan<SqliteValue> values)
    {
        Bind(values);
        try
        {
            while (Step())
            {
            }

            return raw.sqlite3_changes(_database);
        }
        finally
        {
            raw.sqlite3_reset(_statement);
        }
    }

    public long? Number(params ReadOnlySpan<SqliteValue> values)
    {
        Bind(values);
        try
        {
            return Step() && raw.sqlite3_column_type(_statement, 0) == raw.SQLITE_INTEGER ? raw.sqlite3_column_int64(_statement, 0) : null;
        }
        finally
        {
            raw.sqlite3_reset(_statement);
        }
    }

    public T? First<T>(Func<SqliteRow, T> read, params ReadOnlySpan<SqliteValue> values)
        where T : class
    {
        Bind(values);
        try
        {
            return Step() ? read(new SqliteRow(_statement)) : null;
        }
        finally
        {
            raw.sqlite3_reset(_statement);
        }
    }

    public List<T> All<T>(Func<SqliteRow, T> read, params ReadOnlySpan<SqliteValue> values)
    {
        Bind(values);
        try
        {
            List<T> all = [];
            while (Step())
                all.Add(read(new SqliteRow(_statement)));
            return all;
        }
        finally
        {
            raw.sqlite3_reset(_statement);
        }
    }

    /// <summary>Goes through the rows until <paramref name="visit"/> answers false.</summary>
    public void Each(Func<SqliteRow, bool> visit, params ReadOnlySpan<SqliteValue> values)
    {
        Bind(values);
        try
        {
            var row = new SqliteRow(_statement);
            while (Step() && visit(row))
            {
            }
        }
        finally
        {
            raw.sqlite3_reset(_statement);
        }
    }

    public void Dispose() => _statement.Dispose();

    private bool Step()
    {
        var result = raw.sqlite3_step(_statement);
        if (result == raw.SQLITE_ROW)
            return true;

        if (result != raw.SQLITE_DONE)
            SqliteException.ThrowExceptionForRC(result, _database);
        return false;
    }

    private void Bind(ReadOnlySpan<SqliteValue> values)
    {
        if (raw.sqlite3_stmt_busy(_statement) != 0)
            throw new InvalidOperationException("the statement is being gone through");

        for (var i = 0; i < values.Length && i < _places.Length; i++)
        {
            if (_places[i] > 0)
                Check(Bind(_places[i], values[i]));
        }
    }

    private int Bind(int place, in SqliteValue value) => value.Object switch
    {
        string text => Bind(place, text),
        byte[] bytes => raw.sqlite3_bind_blob(_statement, place, bytes.AsSpan(0, (int)value.Number)),
        _ => value.IsNumber ? raw.sqlite3_bind_int64(_statement, place, value.Number) : raw.sqlite3_bind_null(_statement, place),
    };

    private int Bind(int place, string text)
    {
        // No bytes at all would be NULL.
        if (text.Length == 0)
            return raw.sqlite3_bind_text(_statement, place, text);

        var rented = text.Length * 3 > MaxTextOnStack ? ArrayPool<byte>.Shared.Rent(text.Length * 3) : null;
        Span<byte> utf8 = rented ?? stackalloc byte[MaxTextOnStack];
        var result = raw.sqlite3_bind_text(_statement, place, utf8[..Encoding.UTF8.GetBytes(text, utf8)]);
        if (rented is not null)
            ArrayPool<byte>.Shared.Return(rented);
        return result;
    }

    private void Check(int result)
    {
        if (result != raw.SQLITE_OK)
            SqliteException.ThrowExceptionForRC(result, _database);
    }
}

/// <summary>What a parameter is bound to: NULL, a number, a text or bytes.</summary>
internal readonly struct SqliteValue
{
    private SqliteValue(long number) => (Number, IsNumber) = (number, true);

    private SqliteValue(object? value, int length = 0) => (Object, Number) = (value, length);

    public object? Object { get; }

    /// <summary>How many of the bytes, when it is bytes.</summary>
    public long Number { get; }

    public bool IsNumber { get; }

    /// <summary>The first bytes of an array.</summary>
    public static SqliteValue Of(byte[] bytes, int length) => new(bytes, length);

    public static implicit operator SqliteValue(long value) => new(value);

    public static implicit operator SqliteValue(long? value) => value is { } number ? new(number) : default;

    public static implicit operator SqliteValue(int value) => new((long)value);

    public static implicit operator SqliteValue(bool value) => new(value ? 1L : 0L);

    public static implicit operator SqliteValue(string? value) => new((object?)value);

    public static implicit operator SqliteValue(byte[]? value) => new(value, value?.Length ?? 0);
}

/// <summary>The row that a statement stands at; valid until the statement goes on.</summary>
internal readonly struct SqliteRow(sqlite3_stmt statement)
{
    /// <summary>Empty for NULL.</summary>
    public string GetString(int column) => Encoding.UTF8.GetString(Bytes(column));

    public long GetInt64(int column) => raw.sqlite3_column_int64(statement, column);

    public int GetInt32(int column) => checked((int)GetInt64(column));

    public byte GetByte(int column) => checked((byte)GetInt64(column));

    public bool GetBoolean(int column) => GetInt64(column) != 0;

    public bool IsDBNull(int column) => raw.sqlite3_column_type(statement, column) == raw.SQLITE_NULL;

    /// <summary>A copy; empty for NULL.</summary>
    public byte[] GetBytes(int column) => Bytes(column).ToArray();

    /// <summary>Where SQLite has it: a blob, or a text in UTF-8.</summary>
    public ReadOnlySpan<byte> Bytes(int column) => raw.sqlite3_column_blob(statement, column);

    public string? TextOrNull(int column) => IsDBNull(column) ? null : GetString(column);

    public byte[]? BytesOrNull(int column) => IsDBNull(column) ? null : GetBytes(column);

    /// <summary>Times are stored as UTC ticks (100 ns since year 1), which is all that a <see cref="DateTimeOffset"/> holds.</summary>
    public DateTimeOffset Time(int column) => new(GetInt64(column), TimeSpan.Zero);

    public DateTimeOffset? TimeOrNull(int column) => IsDBNull(column) ? null : Time(column);
}
