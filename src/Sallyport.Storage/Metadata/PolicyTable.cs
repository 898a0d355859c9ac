using System.Globalization;
using Microsoft.Data.Sqlite;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Shared access policies in SQLite. Stateless; thread-safe.</summary>
internal sealed class PolicyTable(SecretBox secrets) : IPolicyStore
{
    private const string Select = "SELECT name, rights, primary_key, secondary_key, generation, created_time FROM policy";

    public PolicyRecord? Find(MetadataTransaction tx, string name) => SqliteSession.Of(tx)[Select + " WHERE name = $1"].First(Record, name);

    public IReadOnlyList<PolicyRecord> List(MetadataTransaction tx) => SqliteSession.Of(tx)[Select + " ORDER BY name"].All(Record);

    public void Put(MetadataTransaction tx, PolicyRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO policy VALUES ($1, $2, $3, $4, $5, $6)"].Execute(
            record.Name, record.Rights, secrets.Seal(record.PrimaryKey, PlaceOf(record.Name, "primary_key", record.Generation)),
            secrets.Seal(record.SecondaryKey, PlaceOf(record.Name, "secondary_key", record.Generation)), record.Generation, record.CreatedTime.UtcTicks);

    public bool Delete(MetadataTransaction tx, string name) => SqliteSession.Of(tx)["DELETE FROM policy WHERE name = $1"].Execute(name) > 0;

    private static SecretPlace PlaceOf(string name, string column, long generation) =>
        new("policy", name, column, generation.ToString(CultureInfo.InvariantCulture));

    private PolicyRecord Record(SqliteDataReader row)
    {
        var name = row.GetString(0);
        var generation = row.GetInt64(4);
        return new PolicyRecord(
            name, row.GetInt64(1), secrets.Open(row.GetFieldValue<byte[]>(2), PlaceOf(name, "primary_key", generation)),
            secrets.Open(row.GetFieldValue<byte[]>(3), PlaceOf(name, "secondary_key", generation)), generation, row.Time(5));
    }
}
