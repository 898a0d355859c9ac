using System.Text.Json;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Devices and modules in SQLite. Stateless; thread-safe.</summary>
internal sealed class IdentityTable(SecretBox secrets) : IIdentityStore
{
    private const string Select = """
        SELECT device_id, module_id, generation_id, etag, enabled, status_reason, status_updated_time, authentication,
               primary_key, secondary_key, primary_thumbprint, secondary_thumbprint, iot_edge, device_scope, parent_scopes, managed_by,
               last_activity_time, connection_state_updated_time, primary_since, secondary_since,
               (SELECT count(*) FROM command WHERE command.device_id = identity.device_id AND command.module_id = identity.module_id)
        FROM identity LEFT JOIN activity USING (device_id, module_id)
        """;

    // The union leaves one row of an identity whose two keys are the same.
    private const string Shared = """
        WITH marked AS (
            SELECT primary_mark AS mark, device_id, module_id FROM identity WHERE primary_mark IS NOT NULL
            UNION SELECT secondary_mark, device_id, module_id FROM identity WHERE secondary_mark IS NOT NULL),
        shared AS (
            SELECT group_concat(device_id || iif(module_id = '', '', '/' || module_id), ', ') AS names FROM marked GROUP BY mark HAVING count(*) > 1)
        """;

    public IdentityRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id = $2"].First(Record, deviceId, moduleId ?? "");

    public void Put(MetadataTransaction tx, IdentityRecord record)
    {
        var session = SqliteSession.Of(tx);
        var module = record.ModuleId ?? "";
        session.Changes.Add((record.DeviceId, module));
        session["""
            INSERT INTO identity VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
            ON CONFLICT DO UPDATE SET
                generation_id = excluded.generation_id, etag = excluded.etag, enabled = excluded.enabled, status_reason = excluded.status_reason,
                status_updated_time = excluded.status_updated_time, authentication = excluded.authentication, primary_key = excluded.primary_key,
                secondary_key = excluded.secondary_key, primary_thumbprint = excluded.primary_thumbprint,
                secondary_thumbprint = excluded.secondary_thumbprint, iot_edge = excluded.iot_edge, device_scope = excluded.device_scope,
                parent_scopes = excluded.parent_scopes, managed_by = excluded.managed_by,
                primary_mark = excluded.primary_mark, secondary_mark = excluded.secondary_mark,
                primary_since = excluded.primary_since, secondary_since = excluded.secondary_since
            """].Execute(
            record.DeviceId, module, record.GenerationId, record.ETag, record.Enabled, record.StatusReason, record.StatusUpdatedTime?.UtcTicks,
            (int)record.Authentication, Seal(record, "primary_key", record.PrimaryKey), Seal(record, "secondary_key", record.SecondaryKey),
            record.PrimaryThumbprint, record.SecondaryThumbprint, record.IotEdge, record.DeviceScope,
            ScopeTable.Stored(record.ParentScopes), record.ManagedBy,
            Mark(record.Primary), Mark(record.Secondary),
            record.PrimarySince?.UtcTicks, record.SecondarySince?.UtcTicks);
        session["DELETE FROM mqtt_session WHERE device_id = $1 AND module_id = $2 AND generation_id <> $3"].Execute(record.DeviceId, module, record.GenerationId);
        CommandTable.Forget(session, record.DeviceId, record.ModuleId, record.GenerationId);

        if (record.LastActivityTime is null && record.ConnectionStateUpdatedTime is null)
            session["DELETE FROM activity WHERE device_id = $1 AND module_id = $2"].Execute(record.DeviceId, module);
        else
            PutActivity(session, new(record.DeviceId, record.ModuleId, record.LastActivityTime, record.ConnectionStateUpdatedTime));
    }

    public bool Delete(MetadataTransaction tx, string deviceId, string? moduleId)
    {
        var session = SqliteSession.Of(tx);
        session.Changes.Add((deviceId, moduleId ?? ""));
        if (moduleId is null)
        {
            session.Changes.AddRange(session["SELECT module_id FROM identity WHERE device_id = $1 AND module_id > ''"].All(row => (deviceId, row.GetString(0)), deviceId));
            session["DELETE FROM activity WHERE device_id = $1"].Execute(deviceId);
            session["DELETE FROM mqtt_session WHERE device_id = $1"].Execute(deviceId);
            session["DELETE FROM twin WHERE device_id = $1"].Execute(deviceId);
            CommandTable.Forget(session, deviceId, moduleId: null, generationId: null);
            return session["DELETE FROM identity WHERE device_id = $1"].Execute(deviceId) > 0;
        }

        session["DELETE FROM activity WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId);
        session["DELETE FROM mqtt_session WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId);
        session["DELETE FROM twin WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId);
        CommandTable.Forget(session, deviceId, moduleId, generationId: null);
        return session["DELETE FROM identity WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId) > 0;
    }

    public IReadOnlyList<IdentityRecord> ListDevices(MetadataTransaction tx, string? after, int top) =>
        SqliteSession.Of(tx)[Select + " WHERE module_id = '' AND device_id > $1 ORDER BY device_id LIMIT $2"].All(Record, after ?? "", Math.Max(top, 0));

    public IReadOnlyList<IdentityRecord> ListModules(MetadataTransaction tx, string deviceId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id > '' ORDER BY module_id"].All(Record, deviceId);

    // In steps: as one statement SQLite goes through every row instead of the indices, or makes a table to find doubles. While a key is rotated, rows are marked with the old or the new one.
    public IReadOnlyList<IdentityRecord> FindByCredential(MetadataTransaction tx, string credential, int top)
    {
        var session = SqliteSession.Of(tx);
        List<(string Device, string Module)> ids = [];
        foreach (var mark in secrets.Marks(credential))
        {
            ids.AddRange(session["SELECT device_id, module_id FROM identity WHERE primary_mark = $1 LIMIT $2"].All(row => (row.GetString(0), row.GetString(1)), mark, top));
            ids.AddRange(session["SELECT device_id, module_id FROM identity WHERE secondary_mark = $1 LIMIT $2"].All(row => (row.GetString(0), row.GetString(1)), mark, top));
        }

        return ids.Count == 0 ? [] : [.. ids.Distinct().Take(top).Select(id => Find(tx, id.Device, id.Module)!)];
    }

    public (long Count, IReadOnlyList<string> Examples) FindShared(MetadataTransaction tx, int top)
    {
        var session = SqliteSession.Of(tx);
        var count = session[Shared + " SELECT count(*) FROM shared"].Number() ?? 0;
        return count == 0 ? (0, []) : (count, session[Shared + " SELECT names FROM shared ORDER BY names LIMIT $1"].All(row => row.GetString(0), top));
    }

    public IReadOnlyList<IdentityFacts> Survey(MetadataTransaction tx, IdentityFacts? after, int top) =>
        SqliteSession.Of(tx)["""
            SELECT device_id, module_id, generation_id, enabled, authentication, primary_since, secondary_since, last_activity_time
            FROM identity LEFT JOIN activity USING (device_id, module_id)
            WHERE (device_id, module_id) > ($1, $2) ORDER BY device_id, module_id LIMIT $3
            """].All(
            row => new IdentityFacts(
                row.GetString(0), row.GetString(1) is { Length: > 0 } module ? module : null, row.GetString(2), row.GetBoolean(3),
                (IdentityAuthentication)row.GetByte(4), row.TimeOrNull(5), row.TimeOrNull(6), row.TimeOrNull(7)),
            after?.DeviceId ?? "", after?.ModuleId ?? "", top);

    /// <summary>
    /// Marks rows of before marks were kept, or made with another key: some rows a call, so that other acts have their turn.
    /// </summary>
    /// <param name="after">Where the call before ended; null begins.</param>
    /// <returns>Where it ended; null when every row is marked.</returns>
    public IdentityFacts? MarkSome(MetadataTransaction tx, IdentityFacts? after, int top)
    {
        var session = SqliteSession.Of(tx);
        if (session["SELECT complete FROM mark_key WHERE key_id = $1"].Number(secrets.KeyId) == 1)
            return null;

        session["DELETE FROM mark_key WHERE key_id <> $1"].Execute(secrets.KeyId);
        session["INSERT OR IGNORE INTO mark_key VALUES ($1, 0)"].Execute(secrets.KeyId);
        var page = Survey(tx, after, top);
        foreach (var facts in page)
        {
            // One that cannot be opened is reported by whoever needs it, and by data verify; it is found by no mark.
            IdentityRecord? record = null;
            try
            {
                record = Find(tx, facts.DeviceId, facts.ModuleId);
            }
            catch (SecretUnreadableException)
            {
                continue;
            }

            session["UPDATE identity SET primary_mark = $3, secondary_mark = $4 WHERE device_id = $1 AND module_id = $2"].Execute(
                facts.DeviceId, facts.ModuleId ?? "", Mark(record!.PrimaryKey ?? record.PrimaryThumbprint), Mark(record.Secondary));
        }

        if (page.Count == top)
            return page[^1];

        session["UPDATE mark_key SET complete = 1"].Execute();
        return null;
    }

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

    private byte[]? Mark(string? credential) => credential is null ? null : secrets.Mark(credential);

    internal static SecretPlace PlaceOf(string deviceId, string moduleId, string column, string generationId) =>
        new("identity", moduleId.Length == 0 ? deviceId : $"{deviceId}/{moduleId}", column, generationId);

    private byte[]? Seal(IdentityRecord record, string column, string? key) =>
        key is null ? null : secrets.Seal(key, PlaceOf(record.DeviceId, record.ModuleId ?? "", column, record.GenerationId));

    private IdentityRecord Record(SqliteRow row)
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
            PrimarySince = row.TimeOrNull(18),
            SecondarySince = row.TimeOrNull(19),
            CommandCount = row.GetInt32(20),
        };

        string? Open(int column, string name) =>
            row.BytesOrNull(column) is { } sealedKey ? secrets.Open(sealedKey, PlaceOf(deviceId, moduleId, name, generationId)) : null;
    }
}
