using System.Text.Json;

namespace Sallyport.Storage.Metadata;

/// <summary>Children of edge devices in SQLite: rows of the table of identities. Stateless; thread-safe.</summary>
internal sealed class ScopeTable(IdentityTable identities) : IScopeStore
{
    public IReadOnlyList<IdentityRecord> ListChildren(MetadataTransaction tx, string parentScope, string? after, int top, bool onlyEdge) =>
        [.. SqliteSession.Of(tx)[
            "SELECT device_id FROM identity WHERE parent_scopes = $1 AND module_id = '' AND device_id > $2" + (onlyEdge ? " AND iot_edge = 1" : "") + " ORDER BY device_id LIMIT $3"]
            .All(row => row.GetString(0), Stored([parentScope]), after ?? "", Math.Max(top, 0))
            .Select(id => identities.Find(tx, id, null)!)];

    public long CountChildren(MetadataTransaction tx, string parentScope) =>
        SqliteSession.Of(tx)["SELECT count(*) FROM identity WHERE parent_scopes = $1 AND module_id = ''"].Number(Stored([parentScope])) ?? 0;

    /// <summary>Scopes as a row has them: the same list is always the same text, so that they are found by it.</summary>
    internal static string? Stored(IReadOnlyList<string> scopes) => scopes.Count == 0 ? null : JsonSerializer.Serialize(scopes);
}
