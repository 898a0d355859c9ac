namespace Sallyport.Storage.Metadata;

/// <summary>Consumer groups in SQLite. Stateless; thread-safe.</summary>
internal sealed class ConsumerGroupTable : IConsumerGroupStore
{
    public IReadOnlyList<ConsumerGroupRecord> List(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT name, created_time FROM consumer_group ORDER BY name"].All(row => new ConsumerGroupRecord(row.GetString(0), row.Time(1)));

    public bool Exists(MetadataTransaction tx, string name) =>
        SqliteSession.Of(tx)["SELECT count(*) FROM consumer_group WHERE name = $1"].Number(name) > 0;

    public void Add(MetadataTransaction tx, ConsumerGroupRecord record) =>
        SqliteSession.Of(tx)["INSERT INTO consumer_group VALUES ($1, $2)"].Execute(record.Name, record.CreatedTime.UtcTicks);

    public bool Delete(MetadataTransaction tx, string name) => SqliteSession.Of(tx)["DELETE FROM consumer_group WHERE name = $1"].Execute(name) > 0;
}
