namespace Sallyport.Storage.Metadata;

/// <summary>Automatic configurations in SQLite. Stateless; thread-safe.</summary>
internal sealed class ConfigurationTable : IConfigurationStore
{
    private const string Select = """
        SELECT number, id, etag, schema_version, labels, content, target_condition, priority, metric_queries, created_time, last_updated_time, writer, writer_rights
        FROM configuration
        """;

    public ConfigurationRecord? Find(MetadataTransaction tx, string id) => SqliteSession.Of(tx)[Select + " WHERE id = $1"].First(Record, id);

    public IReadOnlyList<ConfigurationRecord> List(MetadataTransaction tx) => SqliteSession.Of(tx)[Select + " ORDER BY number"].All(Record);

    public long Add(MetadataTransaction tx, ConfigurationRecord record) =>
        SqliteSession.Of(tx)["""
            INSERT INTO configuration
                (id, etag, schema_version, labels, content, target_condition, priority, metric_queries, created_time, last_updated_time, writer, writer_rights)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING number
            """].Number(
            record.Id, record.ETag, record.SchemaVersion, record.Labels, record.Content, record.TargetCondition, record.Priority, record.MetricQueries,
            record.CreatedTime.UtcTicks, record.LastUpdatedTime.UtcTicks, record.Writer, record.WriterRights)!.Value;

    public void Update(MetadataTransaction tx, ConfigurationRecord record) =>
        SqliteSession.Of(tx)["""
            UPDATE configuration SET etag = $2, labels = $3, target_condition = $4, priority = $5, metric_queries = $6, last_updated_time = $7, writer = $8, writer_rights = $9
            WHERE id = $1
            """].Execute(
            record.Id, record.ETag, record.Labels, record.TargetCondition, record.Priority, record.MetricQueries, record.LastUpdatedTime.UtcTicks, record.Writer, record.WriterRights);

    public bool Delete(MetadataTransaction tx, string id) => SqliteSession.Of(tx)["DELETE FROM configuration WHERE id = $1"].Execute(id) > 0;

    public IReadOnlyList<ConfiguredTwins> CountTwins(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT module_id > '' AS of_modules, configurations, count(*) FROM twin WHERE configurations IS NOT NULL GROUP BY configurations, of_modules"].All(
            row => new ConfiguredTwins(row.GetBoolean(0), row.GetBytes(1), row.GetInt64(2)));

    public void ScanTwins(MetadataTransaction tx, string? moduleId, TwinVisitor visit)
    {
        var session = SqliteSession.Of(tx);
        const string configured = TwinTable.Select + " WHERE configurations IS NOT NULL";
        if (moduleId is null)
            session[configured].Each(row => visit(new TwinRow(row, hasIdentity: false)));
        else
            session[configured + " AND module_id = $1"].Each(row => visit(new TwinRow(row, hasIdentity: false)), moduleId);
    }

    private static ConfigurationRecord Record(SqliteRow row) => new()
    {
        Number = row.GetInt64(0),
        Id = row.GetString(1),
        ETag = row.GetInt64(2),
        SchemaVersion = row.GetString(3),
        Labels = row.GetBytes(4),
        Content = row.GetBytes(5),
        TargetCondition = row.GetString(6),
        Priority = row.GetInt32(7),
        MetricQueries = row.GetBytes(8),
        CreatedTime = row.Time(9),
        LastUpdatedTime = row.Time(10),
        Writer = row.GetString(11),
        WriterRights = row.GetInt64(12),
    };
}
