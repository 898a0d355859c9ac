using System.Buffers;
using System.Runtime.InteropServices;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// Events that wait to be appended, in SQLite: those of one commit are a row together (<see cref="OutboxBatch"/>), because a row of its own for each, and its deletion, cost more than what it
/// tells of. Thread-safe.
/// </summary>
internal sealed class OutboxTable : IOutboxStore
{
    public event Action? Added;

    public void Add(MetadataTransaction tx, OutboxRecord record) => SqliteSession.Of(tx).Events.Add(record);

    public IReadOnlyList<OutboxRecord> Peek(MetadataTransaction tx, int top)
    {
        List<OutboxRecord> oldest = [];
        SqliteSession.Of(tx)["SELECT events FROM outbox ORDER BY position"].Each(row =>
        {
            if (oldest.Count >= top)
                return false;

            OutboxBatch.Read(row.Bytes(0), oldest);
            return oldest.Count < top;
        });
        return oldest;
    }

    public void Delete(MetadataTransaction tx, IReadOnlyList<Guid> ids)
    {
        var session = SqliteSession.Of(tx);
        var gone = new HashSet<Guid>(ids);
        List<OutboxRecord> left = [];
        for (long? at = 0; gone.Count > 0 && (at = session["SELECT min(position) FROM outbox WHERE position > $1"].Number(at)) is { } position;)
        {
            session["SELECT events FROM outbox WHERE position = $1"].Each(
                row =>
                {
                    left.Clear();
                    OutboxBatch.Read(row.Bytes(0), left);
                    return false;
                },
                position);
            if (left.RemoveAll(record => gone.Remove(record.Id)) == 0)
                continue;

            if (left.Count == 0)
                session["DELETE FROM outbox WHERE position = $1"].Execute(position);
            else
                Put(session["UPDATE outbox SET events = $1 WHERE position = $2"], CollectionsMarshal.AsSpan(left), position);
        }
    }

    /// <summary>Writes what the acts of the open transaction have added, before it is committed.</summary>
    public static void Write(SqliteSession session)
    {
        var (from, bytes) = (0, 0);
        for (var i = 0; i < session.Events.Count; i++)
        {
            bytes += session.Events[i].Message.Length;
            if (i + 1 < session.Events.Count && i + 1 - from < OutboxBatch.MaxEvents && bytes < OutboxBatch.MaxBytes)
                continue;

            Put(session["INSERT INTO outbox (events) VALUES ($1)"], CollectionsMarshal.AsSpan(session.Events)[from..(i + 1)], position: null);
            (from, bytes) = (i + 1, 0);
        }
    }

    public void TellAdded() => Added?.Invoke();

    // The batches of a busy hub would each be an object of the large heap.
    private static void Put(SqliteStatement statement, ReadOnlySpan<OutboxRecord> records, long? position)
    {
        var length = OutboxBatch.LengthOf(records);
        var batch = ArrayPool<byte>.Shared.Rent(length);
        OutboxBatch.Encode(records, batch.AsSpan(0, length));
        statement.Execute(SqliteValue.Of(batch, length), position);
        ArrayPool<byte>.Shared.Return(batch);
    }
}
