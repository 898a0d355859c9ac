using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// Read-only connections, kept with their prepared statements. A look takes one for itself; beyond <see cref="MaxIdle"/> they are
/// closed when they come back. Thread-safe.
/// </summary>
internal sealed class SqliteReaders(Func<SqliteConnection> open) : IDisposable
{
    public const int MaxIdle = 8;

    private readonly ConcurrentBag<SqliteSession> _idle = [];
    private volatile bool _isDisposed;

    public T Read<T>(Func<MetadataTransaction, T> look)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, typeof(SqliteMetadata));
        if (!_idle.TryTake(out var session))
            session = new SqliteSession(open());

        try
        {
            session.Begin(forWriting: false);
            return look(session);
        }
        finally
        {
            session.Rollback();
            Return(session);
        }
    }

    public void Dispose()
    {
        _isDisposed = true;
        while (_idle.TryTake(out var session))
            session.Dispose();
    }

    private void Return(SqliteSession session)
    {
        if (_idle.Count >= MaxIdle)
        {
            session.Dispose();
            return;
        }

        _idle.Add(session);
        if (_isDisposed)
            Dispose();
    }
}
