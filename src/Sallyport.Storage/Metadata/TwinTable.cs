using Microsoft.Data.Sqlite;

namespace Sallyport.Storage.Metadata;

/// <summary>Twins in SQLite. Stateless; thread-safe.</summary>
internal sealed class TwinTable : ITwinStore
{
    private const string Select = """
        SELECT device_id, module_id, generation_id, etag, version, tags, desired, desired_stamps, desired_version,
               reported, reported_stamps, reported_version, model_id
        FROM twin
        """;

    public TwinRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id = $2"].First(Record, deviceId, moduleId ?? "");

    public byte[]? FindTags(MetadataTransaction tx, string deviceId) =>
        SqliteSession.Of(tx)["SELECT tags FROM twin WHERE device_id = $1 AND module_id = ''"].First(row => row.GetFieldValue<byte[]>(0), deviceId);

    public void Put(MetadataTransaction tx, TwinRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO twin VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"].Execute(
            record.DeviceId, record.ModuleId ?? "", record.GenerationId, record.ETag, record.Version, record.Tags,
            record.Desired.Json, record.Desired.Stamps, record.Desired.Version,
            record.Reported.Json, record.Reported.Stamps, record.Reported.Version, record.ModelId);

    public void PutReported(MetadataTransaction tx, TwinRecord record) =>
        SqliteSession.Of(tx)["""
            UPDATE twin SET version = $3, reported = $4, reported_stamps = $5, reported_version = $6 WHERE device_id = $1 AND module_id = $2
            """].Execute(
            record.DeviceId, record.ModuleId ?? "", record.Version, record.Reported.Json, record.Reported.Stamps, record.Reported.Version);

    public void PutModel(MetadataTransaction tx, string deviceId, string? moduleId, string modelId) =>
        SqliteSession.Of(tx)["UPDATE twin SET model_id = $3 WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId ?? "", modelId);

    private static TwinRecord Record(SqliteDataReader row) => new()
    {
        DeviceId = row.GetString(0),
        ModuleId = row.GetString(1) is { Length: > 0 } module ? module : null,
        GenerationId = row.GetString(2),
        ETag = row.GetInt64(3),
        Version = row.GetInt64(4),
        Tags = row.GetFieldValue<byte[]>(5),
        Desired = new TwinPart(row.GetFieldValue<byte[]>(6), row.GetFieldValue<byte[]>(7), row.GetInt64(8)),
        Reported = new TwinPart(row.GetFieldValue<byte[]>(9), row.GetFieldValue<byte[]>(10), row.GetInt64(11)),
        ModelId = row.TextOrNull(12),
    };
}
