namespace Sallyport.Storage.Metadata;

/// <summary>IP filter rules in SQLite. Stateless; thread-safe.</summary>
internal sealed class IpFilterTable : IIpFilterStore
{
    public IReadOnlyList<IpFilterRecord> List(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT name, network, allows FROM ip_filter ORDER BY position"].All(
            row => new IpFilterRecord(row.GetString(0), row.GetString(1), row.GetBoolean(2)));

    public void Replace(MetadataTransaction tx, IReadOnlyList<IpFilterRecord> rules)
    {
        var session = SqliteSession.Of(tx);
        session["DELETE FROM ip_filter"].Execute();
        for (var position = 0; position < rules.Count; position++)
            session["INSERT INTO ip_filter VALUES ($1, $2, $3, $4)"].Execute(position, rules[position].Name, rules[position].Network, rules[position].Allows);
    }
}
