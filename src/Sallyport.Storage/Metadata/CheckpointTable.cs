namespace Sallyport.Storage.Metadata;

/// <summary>Readers' positions in SQLite. Stateless; thread-safe.</summary>
internal sealed class CheckpointTable : ICheckpointStore
{
    public IReadOnlyDictionary<int, long> Find(MetadataTransaction tx, string scope, string name) =>
        SqliteSession.Of(tx)["SELECT partition, next FROM checkpoint WHERE scope = $1 AND name = $2 ORDER BY partition"]
            .All(row => KeyValuePair.Create(row.GetInt32(0), row.GetInt64(1)), scope, name)
            .ToDictionary();

    public long Count(MetadataTransaction tx, string scope) =>
        SqliteSession.Of(tx)["SELECT COUNT(DISTINCT name) FROM checkpoint WHERE scope = $1"].Number(scope) ?? 0;

    public void Put(MetadataTransaction tx, string scope, string name, int partition, long next) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO checkpoint VALUES ($1, $2, $3, $4)"].Execute(scope, name, partition, next);

    public void Delete(MetadataTransaction tx, string scope, string name) =>
        SqliteSession.Of(tx)["DELETE FROM checkpoint WHERE scope = $1 AND name = $2"].Execute(scope, name);

    public void DeleteAll(MetadataTransaction tx, string scope) => SqliteSession.Of(tx)["DELETE FROM checkpoint WHERE scope = $1"].Execute(scope);
}
