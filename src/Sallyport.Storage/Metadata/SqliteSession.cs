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
    private int _eventsBeforeAct;

    public SqliteSession(SqliteConnection connection) => _connection = connection;

    /// <summary>Events that were added to the outbox since <see cref="Begin"/>, but by acts that were undone; kept by <see cref="OutboxTable"/>, and written by it before the commit.</summary>
    public List<OutboxRecord> Events { get; } = [];

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
        Events.Clear();
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

    public void BeginAct()
    {
        _eventsBeforeAct = Events.Count;
        Prepared("SAVEPOINT act").Execute();
    }

    public void EndAct() => Prepared("RELEASE act").Execute();

    public void UndoAct()
    {
        Events.RemoveRange(_eventsBeforeAct, Events.Count - _eventsBeforeAct);
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
