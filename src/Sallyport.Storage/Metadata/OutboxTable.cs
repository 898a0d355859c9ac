namespace Sallyport.Storage.Metadata;

/// <summary>Events that wait to be appended, in SQLite. Thread-safe.</summary>
internal sealed class OutboxTable : IOutboxStore
{
    public event Action? Added;

    public void Add(MetadataTransaction tx, OutboxRecord record)
    {
        var session = SqliteSession.Of(tx);
        session["INSERT INTO outbox (id, device_id, stream, source, message) VALUES ($1, $2, $3, $4, $5)"]
            .Execute(record.Id.ToByteArray(), record.DeviceId, (int)record.Stream, (int)record.Source, record.Message);
        session.HasOutboxAdditions = true;
    }

    public IReadOnlyList<OutboxRecord> Peek(MetadataTransaction tx, int top) =>
        SqliteSession.Of(tx)["SELECT id, device_id, stream, source, message FROM outbox ORDER BY position LIMIT $1"].All(
            row => new OutboxRecord(
                new Guid(row.GetFieldValue<byte[]>(0)), row.GetString(1), (ushort)row.GetInt32(2), row.GetByte(3), row.GetFieldValue<byte[]>(4)),
            Math.Max(top, 0));

    public void Delete(MetadataTransaction tx, IReadOnlyList<Guid> ids)
    {
        var statement = SqliteSession.Of(tx)["DELETE FROM outbox WHERE id = $1"];
        foreach (var id in ids)
            statement.Execute(id.ToByteArray());
    }

    public void TellAdded() => Added?.Invoke();
}
