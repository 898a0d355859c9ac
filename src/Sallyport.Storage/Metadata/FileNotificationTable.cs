namespace Sallyport.Storage.Metadata;

/// <summary>What services are told of uploads, in SQLite. Stateless; thread-safe.</summary>
internal sealed class FileNotificationTable : IFileNotificationStore
{
    private const string Columns = "sequence, device_id, blob_name, blob_uri, bytes, modified_time, enqueued_time, expires, delivery_count";

    public int Add(MetadataTransaction tx, FileNotificationRecord record, int max)
    {
        var session = SqliteSession.Of(tx);
        session["""
            INSERT INTO file_notification (device_id, blob_name, blob_uri, bytes, modified_time, enqueued_time, expires, delivery_count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """].Execute(
            record.DeviceId, record.BlobName, record.BlobUri, record.Bytes, record.ModifiedTime.UtcTicks, record.EnqueuedTime.UtcTicks, record.Expires.UtcTicks, record.DeliveryCount);
        return (session["SELECT count(*) FROM file_notification"].Number() ?? 0) > max
            ? session["DELETE FROM file_notification WHERE sequence = (SELECT min(sequence) FROM file_notification)"].Execute()
            : 0;
    }

    public IReadOnlyList<FileNotificationRecord> List(MetadataTransaction tx, long after, int top) =>
        SqliteSession.Of(tx)[$"SELECT {Columns} FROM file_notification WHERE sequence > $1 ORDER BY sequence LIMIT $2"].All(Record, after, Math.Max(top, 0));

    public FileNotificationRecord? Find(MetadataTransaction tx, long sequence) =>
        SqliteSession.Of(tx)[$"SELECT {Columns} FROM file_notification WHERE sequence = $1"].First(Record, sequence);

    public bool AnyOver(MetadataTransaction tx, DateTimeOffset now) =>
        SqliteSession.Of(tx)["SELECT 1 FROM file_notification WHERE expires <= $1 LIMIT 1"].Number(now.UtcTicks) is not null;

    public int DeleteOver(MetadataTransaction tx, DateTimeOffset now) =>
        SqliteSession.Of(tx)["DELETE FROM file_notification WHERE expires <= $1"].Execute(now.UtcTicks);

    public void SetDeliveryCount(MetadataTransaction tx, long sequence, int deliveryCount) =>
        SqliteSession.Of(tx)["UPDATE file_notification SET delivery_count = $2 WHERE sequence = $1"].Execute(sequence, deliveryCount);

    public bool Delete(MetadataTransaction tx, long sequence) =>
        SqliteSession.Of(tx)["DELETE FROM file_notification WHERE sequence = $1"].Execute(sequence) > 0;

    private static FileNotificationRecord Record(SqliteRow row) => new(
        row.GetInt64(0), row.GetString(1), row.GetString(2), row.GetString(3), row.GetInt64(4), row.Time(5), row.Time(6), row.Time(7), row.GetInt32(8));
}
