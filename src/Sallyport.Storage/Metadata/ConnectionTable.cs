using System.Globalization;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Service connections in SQLite. Stateless; thread-safe.</summary>
internal sealed class ConnectionTable(SecretBox secrets) : IConnectionStore
{
    private const string Select = "SELECT name, kind, settings, secret, paused, creator, creator_rights, epoch, created_time FROM connection";

    public ConnectionRecord? Find(MetadataTransaction tx, string name) => SqliteSession.Of(tx)[Select + " WHERE name = $1"].First(Record, name);

    public IReadOnlyList<ConnectionRecord> List(MetadataTransaction tx) => SqliteSession.Of(tx)[Select + " ORDER BY name"].All(Record);

    public void Put(MetadataTransaction tx, ConnectionRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO connection VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"].Execute(
            record.Name, record.Kind, record.Settings, secrets.Seal(record.Secret, PlaceOf(record.Name, record.CreatedTime.UtcTicks)), record.Paused,
            record.Creator, record.CreatorRights, record.Epoch, record.CreatedTime.UtcTicks);

    public bool Delete(MetadataTransaction tx, string name) => SqliteSession.Of(tx)["DELETE FROM connection WHERE name = $1"].Execute(name) > 0;

    // The time of creation tells a connection from a deleted namesake.
    internal static SecretPlace PlaceOf(string name, long createdTicks) =>
        new("connection", name, "secret", createdTicks.ToString(CultureInfo.InvariantCulture));

    private ConnectionRecord Record(SqliteRow row)
    {
        var name = row.GetString(0);
        var secret = secrets.Open(row.GetBytes(3), PlaceOf(name, row.GetInt64(8)));
        return new ConnectionRecord(
            name, row.GetString(1), row.GetString(2), secret, row.GetBoolean(4), row.GetString(5), row.GetInt64(6), row.GetInt64(7), row.Time(8));
    }
}
