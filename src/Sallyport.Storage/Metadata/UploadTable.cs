namespace Sallyport.Storage.Metadata;

/// <summary>Uploads and the files that came of them, in SQLite. Stateless; thread-safe.</summary>
internal sealed class UploadTable : IUploadStore
{
    private const string UploadColumns = "id, device_id, generation_id, blob_name, created_time, expires, state";
    private const string BlobColumns = "number, device_id, blob_name, upload, manifest, bytes, content_type, content_md5, modified_time";

    public void Add(MetadataTransaction tx, UploadRecord record) =>
        SqliteSession.Of(tx)[$"INSERT INTO upload ({UploadColumns}) VALUES ($1, $2, $3, $4, $5, $6, $7)"].Execute(
            record.Id, record.DeviceId, record.GenerationId, record.BlobName, record.CreatedTime.UtcTicks, record.Expires.UtcTicks, (int)record.State);

    public UploadRecord? Find(MetadataTransaction tx, string id) => SqliteSession.Of(tx)[$"SELECT {UploadColumns} FROM upload WHERE id = $1"].First(Upload, id);

    public int CountOpen(MetadataTransaction tx, string deviceId, string generationId, DateTimeOffset now) =>
        (int)(SqliteSession.Of(tx)["SELECT count(*) FROM upload WHERE device_id = $1 AND generation_id = $2 AND state = 0 AND expires > $3"].Number(deviceId, generationId, now.UtcTicks) ?? 0);

    public IReadOnlyList<UploadRecord> ListOpen(MetadataTransaction tx, string deviceId, DateTimeOffset now, int top) =>
        SqliteSession.Of(tx)[$"SELECT {UploadColumns} FROM upload WHERE device_id = $1 AND state = 0 AND expires > $2 ORDER BY expires, id LIMIT $3"].All(Upload, deviceId, now.UtcTicks, Math.Max(top, 0));

    public IReadOnlyList<UploadRecord> ListOver(MetadataTransaction tx, DateTimeOffset now, int top) =>
        SqliteSession.Of(tx)[$"SELECT {UploadColumns} FROM upload WHERE expires <= $1 ORDER BY expires LIMIT $2"].All(Upload, now.UtcTicks, Math.Max(top, 0));

    public void SetState(MetadataTransaction tx, string id, UploadState state) =>
        SqliteSession.Of(tx)["UPDATE upload SET state = $2 WHERE id = $1"].Execute(id, (int)state);

    public void TrimClosed(MetadataTransaction tx, string deviceId, int keep) =>
        SqliteSession.Of(tx)["""
            DELETE FROM upload WHERE id IN (SELECT id FROM upload WHERE device_id = $1 AND state <> 0 ORDER BY created_time DESC, id LIMIT -1 OFFSET $2)
            """].Execute(deviceId, keep);

    public bool Delete(MetadataTransaction tx, string id) => SqliteSession.Of(tx)["DELETE FROM upload WHERE id = $1"].Execute(id) > 0;

    public long PutBlob(MetadataTransaction tx, BlobRecord record)
    {
        // Not OR REPLACE: what it deletes, triggers are not told.
        DeleteBlob(tx, record.DeviceId, record.BlobName);
        return SqliteSession.Of(tx)["""
            INSERT INTO blob (device_id, blob_name, upload, manifest, bytes, content_type, content_md5, modified_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING number
            """].Number(
            record.DeviceId, record.BlobName, record.UploadId, record.Manifest, record.Bytes, record.ContentType, record.ContentMd5, record.ModifiedTime.UtcTicks)!.Value;
    }

    public BlobRecord? FindBlob(MetadataTransaction tx, string deviceId, string blobName) =>
        SqliteSession.Of(tx)[$"SELECT {BlobColumns} FROM blob WHERE device_id = $1 AND blob_name = $2"].First(Blob, deviceId, blobName);

    public IReadOnlyList<BlobRecord> ListBlobs(MetadataTransaction tx, string deviceId, string? after, int top) =>
        SqliteSession.Of(tx)[$"SELECT {BlobColumns} FROM blob WHERE device_id = $1 AND blob_name > $2 ORDER BY blob_name LIMIT $3"].All(Blob, deviceId, after ?? "", Math.Max(top, 0));

    public string? ManifestOf(MetadataTransaction tx, string uploadId) =>
        SqliteSession.Of(tx)["SELECT manifest FROM blob WHERE upload = $1"].First(row => row.GetString(0), uploadId);

    public bool DeleteBlob(MetadataTransaction tx, string deviceId, string blobName) =>
        SqliteSession.Of(tx)["DELETE FROM blob WHERE device_id = $1 AND blob_name = $2"].Execute(deviceId, blobName) > 0;

    public (long Blobs, long Bytes) Use(MetadataTransaction tx, string? deviceId) =>
        SqliteSession.Of(tx)["SELECT blobs, bytes FROM blob_use WHERE device_id = $1"].First(row => new Tuple<long, long>(row.GetInt64(0), row.GetInt64(1)), deviceId ?? "")
            is { } use ? (use.Item1, use.Item2) : (0, 0);

    private static UploadRecord Upload(SqliteRow row) => new(
        row.GetString(0), row.GetString(1), row.GetString(2), row.GetString(3), row.Time(4), row.Time(5), (UploadState)row.GetByte(6));

    private static BlobRecord Blob(SqliteRow row) => new(
        row.GetInt64(0), row.GetString(1), row.GetString(2), row.GetString(3), row.GetString(4), row.GetInt64(5), row.GetString(6),
        row.IsDBNull(7) ? null : row.GetBytes(7), row.Time(8));
}
