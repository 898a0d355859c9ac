namespace Sallyport.Storage.Metadata;

/// <summary>Twins in SQLite. Stateless; thread-safe.</summary>
internal sealed class TwinTable : ITwinStore
{
    private const string Columns = """
        SELECT twin.device_id, twin.module_id, twin.generation_id, twin.etag, version, tags, desired, desired_stamps, desired_version,
               reported, reported_stamps, reported_version, model_id, configurations, configured
        """;

    internal const string Select = Columns + " FROM twin";

    private const string IdentityColumns = """
        , identity.etag, enabled, status_reason, status_updated_time, authentication, primary_thumbprint, secondary_thumbprint,
               iot_edge, device_scope, parent_scopes, managed_by, last_activity_time, connection_state_updated_time,
               (SELECT count(*) FROM command WHERE command.device_id = identity.device_id AND command.module_id = identity.module_id)
        """;

    // Both tables lie in the order of the ids.
    private const string SelectIdentity = "SELECT identity.device_id, identity.module_id, identity.generation_id, 0, 0, '', '', '', 0, '', '', 0, NULL, NULL, NULL" + IdentityColumns
        + " FROM identity LEFT JOIN activity USING (device_id, module_id)";

    // CROSS: the twins are gone through, and each looks up its identity.
    private const string SelectWithIdentity = Columns + IdentityColumns + """
         FROM twin CROSS JOIN identity USING (device_id, module_id) LEFT JOIN activity USING (device_id, module_id)
        """;

    public event Action<IReadOnlyList<(string DeviceId, string ModuleId)>>? Changed;

    public TwinRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)[Select + " WHERE device_id = $1 AND module_id = $2"].First(Record, deviceId, moduleId ?? "");

    public byte[]? FindTags(MetadataTransaction tx, string deviceId) =>
        SqliteSession.Of(tx)["SELECT tags FROM twin WHERE device_id = $1 AND module_id = ''"].First(row => row.GetBytes(0), deviceId);

    public TwinVersions? FindVersions(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)["SELECT generation_id, version, reported_version FROM twin WHERE device_id = $1 AND module_id = $2"]
            .First(row => new TwinVersions(row.GetString(0), row.GetInt64(1), row.GetInt64(2)), deviceId, moduleId ?? "");

    public TwinProperties? FindProperties(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)["SELECT generation_id, desired, desired_version, reported, reported_version FROM twin WHERE device_id = $1 AND module_id = $2"]
            .First(row => new TwinProperties(row.GetString(0), row.GetBytes(1), row.GetInt64(2), row.GetBytes(3), row.GetInt64(4)), deviceId, moduleId ?? "");

    public TwinPart? FindReported(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)["SELECT reported, reported_stamps, reported_version FROM twin WHERE device_id = $1 AND module_id = $2"]
            .First(row => new TwinPart(row.GetBytes(0), row.GetBytes(1), row.GetInt64(2)), deviceId, moduleId ?? "");

    public void Put(MetadataTransaction tx, TwinRecord record)
    {
        SqliteSession.Of(tx).Changes.Add((record.DeviceId, record.ModuleId ?? ""));
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO twin VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"].Execute(
            record.DeviceId, record.ModuleId ?? "", record.GenerationId, record.ETag, record.Version, record.Tags,
            record.Desired.Json, record.Desired.Stamps, record.Desired.Version,
            record.Reported.Json, record.Reported.Stamps, record.Reported.Version, record.ModelId, record.Configurations, record.Configured);
    }

    public void PutReported(MetadataTransaction tx, string deviceId, string? moduleId, long version, TwinPart reported)
    {
        SqliteSession.Of(tx).Changes.Add((deviceId, moduleId ?? ""));
        SqliteSession.Of(tx)["""
            UPDATE twin SET version = $3, reported = $4, reported_stamps = $5, reported_version = $6 WHERE device_id = $1 AND module_id = $2
            """].Execute(deviceId, moduleId ?? "", version, reported.Json, reported.Stamps, reported.Version);
    }

    public void PutModel(MetadataTransaction tx, string deviceId, string? moduleId, string modelId)
    {
        SqliteSession.Of(tx).Changes.Add((deviceId, moduleId ?? ""));
        SqliteSession.Of(tx)["UPDATE twin SET model_id = $3 WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId ?? "", modelId);
    }

    public void Scan(MetadataTransaction tx, TwinScan scan, TwinVisitor visit)
    {
        // '+' keeps the file's order: as they lie is faster than by an index that leads here and there.
        var of = scan.WithTwin ? "twin" : "identity";
        var sql = (!scan.WithTwin ? SelectIdentity : scan.WithIdentity ? SelectWithIdentity : Select)
            + (scan.InOrder ? $" WHERE ({of}.device_id, {of}.module_id) > ($1, $2) AND {of}.module_id " : $" WHERE +{of}.module_id ")
            + (scan.Modules ? "> ''" : "= ''")
            + (scan.OfDevice is null ? "" : $" AND {of}.device_id = $3")
            + (scan.InOrder ? $" ORDER BY {of}.device_id, {of}.module_id" : "");
        var (device, module) = scan.After ?? ("", "");
        var statement = SqliteSession.Of(tx)[sql];
        bool VisitRow(SqliteRow row) => visit(new TwinRow(row, scan.WithIdentity || !scan.WithTwin));
        if (!scan.InOrder)
            statement.Each(VisitRow);
        else if (scan.OfDevice is null)
            statement.Each(VisitRow, device, module);
        else
            statement.Each(VisitRow, device, module, scan.OfDevice);
    }

    public bool Visit(MetadataTransaction tx, string deviceId, string? moduleId, TwinVisitor visit)
    {
        var isThere = false;
        SqliteSession.Of(tx)[SelectWithIdentity + " WHERE twin.device_id = $1 AND twin.module_id = $2"].Each(
            row =>
            {
                isThere = true;
                return visit(new TwinRow(row, hasIdentity: true));
            },
            deviceId, moduleId ?? "");
        return isThere;
    }

    public long Count(MetadataTransaction tx, bool modules) =>
        SqliteSession.Of(tx)[modules ? "SELECT count(*) FROM identity WHERE module_id > ''" : "SELECT sum(devices) FROM device_count"].Number() ?? 0;

    public void TellChanged(IReadOnlyList<(string DeviceId, string ModuleId)> changes) => Changed?.Invoke(changes);

    internal static TwinRecord Record(SqliteRow row) => new()
    {
        DeviceId = row.GetString(0),
        ModuleId = row.GetString(1) is { Length: > 0 } module ? module : null,
        GenerationId = row.GetString(2),
        ETag = row.GetInt64(3),
        Version = row.GetInt64(4),
        Tags = row.GetBytes(5),
        Desired = new TwinPart(row.GetBytes(6), row.GetBytes(7), row.GetInt64(8)),
        Reported = new TwinPart(row.GetBytes(9), row.GetBytes(10), row.GetInt64(11)),
        ModelId = row.TextOrNull(12),
        Configurations = row.BytesOrNull(13),
        Configured = row.BytesOrNull(14),
    };
}
