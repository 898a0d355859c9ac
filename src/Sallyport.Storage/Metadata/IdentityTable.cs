using System.Text.Json;
using Microsoft.Data.Sqlite;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Devices and modules in SQLite. Stateless; thread-safe.</summary>
internal sealed class IdentityTable(SecretBox secrets) : IIdentityStore
{
    private const string Select = """
        SELECT device_id, module_id, generation_id, etag, enabled, status_reason, status_updated_time, authentication,
               primary_key, secondary_key, primary_thumbprint, secondary_thumbprint, iot_edge, device_scope, parent_scopes, managed_by,
               last_activity_time, connection_state_updated_time
        FROM identity LEFT JOIN activity USING (device_id, module_id)
        """;

    public IdentityRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id = $2"].First(Record, deviceId, moduleId ?? "");

    public void Put(MetadataTransaction tx, IdentityRecord record)
    {
        var session = SqliteSession.Of(tx);
        var module = record.ModuleId ?? "";
        session["""
            INSERT INTO identity VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
            ON CONFLICT DO UPDATE SET
                generation_id = excluded.generation_id, etag = excluded.etag, enabled = excluded.enabled, status_reason = excluded.status_reason,
                status_updated_time = excluded.status_updated_time, authentication = excluded.authentication, primary_key = excluded.primary_key,
                secondary_key = excluded.secondary_key, primary_thumbprint = excluded.primary_thumbprint,
                secondary_thumbprint = excluded.secondary_thumbprint, iot_edge = excluded.iot_edge, device_scope = excluded.device_scope,
                parent_scopes = excluded.parent_scopes, managed_by = excluded.managed_by
            """].Execute(
            record.DeviceId, module, record.GenerationId, record.ETag, record.Enabled, record.StatusReason, record.StatusUpdatedTime?.UtcTicks,
            (int)record.Authentication, Seal(record, "primary_key", record.PrimaryKey), Seal(record, "secondary_key", record.SecondaryKey),
            record.PrimaryThumbprint, record.SecondaryThumbprint, record.IotEdge, record.DeviceScope,
            record.ParentScopes.Count == 0 ? null : JsonSerializer.Serialize(record.ParentScopes), record.ManagedBy);
        session["DELETE FROM mqtt_session WHERE device_id = $1 AND module_id = $2 AND generation_id <> $3"].Execute(record.DeviceId, module, record.GenerationId);

        if (record.LastActivityTime is null && record.ConnectionStateUpdatedTime is null)
            session["DELETE FROM activity WHERE device_id = $1 AND module_id = $2"].Execute(record.DeviceId, module);
        else
            PutActivity(session, new(record.DeviceId, record.ModuleId, record.LastActivityTime, record.ConnectionStateUpdatedTime));
    }

    public bool Delete(MetadataTransaction tx, string deviceId, string? moduleId)
    {
        var session = SqliteSession.Of(tx);
        if (moduleId is null)
        {
            session["DELETE FROM activity WHERE device_id = $1"].Execute(deviceId);
            session["DELETE FROM mqtt_session WHERE device_id = $1"].Execute(deviceId);
            return session["DELETE FROM identity WHERE device_id = $1"].Execute(deviceId) > 0;
        }

        session["DELETE FROM activity WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId);
        session["DELETE FROM mqtt_session WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId);
        return session["DELETE FROM identity WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId) > 0;
    }

    public IReadOnlyList<IdentityRecord> ListDevices(MetadataTransaction tx, string? after, int top) =>
        SqliteSession.Of(tx)[Select + " WHERE module_id = '' AND device_id > $1 ORDER BY device_id LIMIT $2"].All(Record, after ?? "", Math.Max(top, 0));

    public IReadOnlyList<IdentityRecord> ListModules(MetadataTransaction tx, string deviceId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id > '' ORDER BY module_id"].All(Record, deviceId);

    public (long Total, long Enabled) CountDevices(MetadataTransaction tx)
    {
        var session = SqliteSession.Of(tx);
        var enabled = session["SELECT devices FROM device_count WHERE enabled = 1"].Number() ?? 0;
        return (enabled + (session["SELECT devices FROM device_count WHERE enabled = 0"].Number() ?? 0), enabled);
    }

    public void PutActivity(MetadataTransaction tx, IReadOnlyList<IdentityActivity> activities)
    {
        var session = SqliteSession.Of(tx);
        foreach (var activity in activities)
            PutActivity(session, activity);
    }

    // Nulls leave what is stored: a flush knows only what has happened since the last one.
    private static void PutActivity(SqliteSession session, in IdentityActivity activity) =>
        session["""
            INSERT INTO activity SELECT device_id, module_id, $3, $4 FROM identity WHERE device_id = $1 AND module_id = $2
            ON CONFLICT DO UPDATE SET
                last_activity_time = coalesce(excluded.last_activity_time, last_activity_time),
                connection_state_updated_time = coalesce(excluded.connection_state_updated_time, connection_state_updated_time)
            """].Execute(activity.DeviceId, activity.ModuleId ?? "", activity.LastActivityTime?.UtcTicks, activity.ConnectionStateUpdatedTime?.UtcTicks);

    private static SecretPlace PlaceOf(string deviceId, string moduleId, string column, string generationId) =>
        new("identity", moduleId.Length == 0 ? deviceId : $"{deviceId}/{moduleId}", column, generationId);

    private byte[]? Seal(IdentityRecord record, string column, string? key) =>
        key is null ? null : secrets.Seal(key, PlaceOf(record.DeviceId, record.ModuleId ?? "", column, record.GenerationId));

    private IdentityRecord Record(SqliteDataReader row)
    {
        var deviceId = row.GetString(0);
        var moduleId = row.GetString(1);
        var generationId = row.GetString(2);
        return new IdentityRecord
        {
            DeviceId = deviceId,
            ModuleId = moduleId.Length == 0 ? null : moduleId,
            GenerationId = generationId,
            ETag = row.GetInt64(3),
            Enabled = row.GetBoolean(4),
            StatusReason = row.TextOrNull(5),
            StatusUpdatedTime = row.TimeOrNull(6),
            Authentication = (IdentityAuthentication)row.GetByte(7),
            PrimaryKey = Open(8, "primary_key"),
            SecondaryKey = Open(9, "secondary_key"),
            PrimaryThumbprint = row.TextOrNull(10),
            SecondaryThumbprint = row.TextOrNull(11),
            IotEdge = row.GetBoolean(12),
            DeviceScope = row.TextOrNull(13),
            ParentScopes = row.TextOrNull(14) is { } scopes ? JsonSerializer.Deserialize<string[]>(scopes)! : [],
            ManagedBy = row.TextOrNull(15),
            LastActivityTime = row.TimeOrNull(16),
            ConnectionStateUpdatedTime = row.TimeOrNull(17),
        };

        string? Open(int column, string name) =>
            row.BytesOrNull(column) is { } sealedKey ? secrets.Open(sealedKey, PlaceOf(deviceId, moduleId, name, generationId)) : null;
    }
}
