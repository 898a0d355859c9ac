using System.Globalization;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Shared access policies, operators and the use of their rights in SQLite. Stateless; thread-safe.</summary>
internal sealed class PolicyTable(SecretBox secrets) : IPolicyStore
{
    private const string Select = "SELECT name, rights, primary_key, secondary_key, generation, created_time, device_prefixes, consumer_groups, expires, certificate_thumbprint, disabled FROM policy";

    public PolicyRecord? Find(MetadataTransaction tx, string name) => SqliteSession.Of(tx)[Select + " WHERE name = $1"].First(Record, name);

    public IReadOnlyList<PolicyRecord> List(MetadataTransaction tx) => SqliteSession.Of(tx)[Select + " ORDER BY name"].All(Record);

    public void Put(MetadataTransaction tx, PolicyRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO policy VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"].Execute(
            record.Name, record.Rights, secrets.Seal(record.PrimaryKey, PlaceOf(record.Name, "primary_key", record.Generation)),
            secrets.Seal(record.SecondaryKey, PlaceOf(record.Name, "secondary_key", record.Generation)), record.Generation, record.CreatedTime.UtcTicks,
            ScopeColumn.Join(record.DevicePrefixes, record.DeviceTags), record.ConsumerGroups, record.Expires?.UtcTicks, record.CertificateThumbprint, record.Disabled);

    public bool Delete(MetadataTransaction tx, string name)
    {
        SqliteSession.Of(tx)["DELETE FROM right_use WHERE policy = $1"].Execute(name);
        return SqliteSession.Of(tx)["DELETE FROM policy WHERE name = $1"].Execute(name) > 0;
    }

    public IReadOnlyList<string> ListDeviceTags(MetadataTransaction tx) =>
        [.. SqliteSession.Of(tx)["SELECT DISTINCT device_prefixes FROM policy"].All(row => ScopeColumn.Split(row.GetString(0)).DeviceTags).Where(tags => tags.Length > 0)];

    public bool HasCertificate(MetadataTransaction tx, string thumbprint) =>
        SqliteSession.Of(tx)["SELECT 1 FROM policy WHERE certificate_thumbprint = $1"].All(row => row.GetInt64(0), thumbprint).Count > 0;

    public DateTimeOffset UseRecordedSince(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT since FROM right_use_recorded"].All(row => row.Time(0))[0];

    public IReadOnlyList<RightUseRecord> ListUse(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT policy, right_bit, last_used FROM right_use ORDER BY policy, right_bit"].All(row => new RightUseRecord(row.GetString(0), row.GetInt64(1), row.Time(2)));

    public void PutUse(MetadataTransaction tx, IReadOnlyList<RightUseRecord> uses)
    {
        foreach (var use in uses)
        {
            SqliteSession.Of(tx)["INSERT OR REPLACE INTO right_use SELECT name, $2, $3 FROM policy WHERE name = $1"]
                .Execute(use.Policy, use.Right, use.LastUsed.UtcTicks);
        }
    }

    internal static SecretPlace PlaceOf(string name, string column, long generation) =>
        new("policy", name, column, generation.ToString(CultureInfo.InvariantCulture));

    private PolicyRecord Record(SqliteRow row)
    {
        var name = row.GetString(0);
        var generation = row.GetInt64(4);
        var (devicePrefixes, deviceTags) = ScopeColumn.Split(row.GetString(6));
        return new PolicyRecord(
            name, row.GetInt64(1), secrets.Open(row.GetBytes(2), PlaceOf(name, "primary_key", generation)),
            secrets.Open(row.GetBytes(3), PlaceOf(name, "secondary_key", generation)), generation, row.Time(5))
        {
            DevicePrefixes = devicePrefixes,
            DeviceTags = deviceTags,
            ConsumerGroups = row.GetString(7),
            Expires = row.TimeOrNull(8),
            CertificateThumbprint = row.IsDBNull(9) ? null : row.GetString(9),
            Disabled = row.GetBoolean(10),
        };
    }
}
