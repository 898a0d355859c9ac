using System.Text.Json;

namespace Sallyport.Storage.Metadata;

/// <summary>MQTT sessions and their subscriptions in SQLite. Stateless; thread-safe.</summary>
internal sealed class SubscriptionTable : ISubscriptionStore
{
    public IReadOnlyList<SubscriptionRecord>? Find(MetadataTransaction tx, string deviceId, string? moduleId, string generationId) =>
        SqliteSession.Of(tx)["SELECT subscriptions FROM mqtt_session WHERE device_id = $1 AND module_id = $2 AND generation_id = $3"]
            .First(row => JsonSerializer.Deserialize<SubscriptionRecord[]>(row.GetString(0))!, deviceId, moduleId ?? "", generationId);

    public void Put(MetadataTransaction tx, string deviceId, string? moduleId, string generationId, IReadOnlyList<SubscriptionRecord> subscriptions) =>
        SqliteSession.Of(tx)["""
            INSERT OR REPLACE INTO mqtt_session
            SELECT device_id, module_id, generation_id, $4 FROM identity WHERE device_id = $1 AND module_id = $2 AND generation_id = $3
            """].Execute(deviceId, moduleId ?? "", generationId, JsonSerializer.Serialize(subscriptions));

    public void Delete(MetadataTransaction tx, string deviceId, string? moduleId) =>
        SqliteSession.Of(tx)["DELETE FROM mqtt_session WHERE device_id = $1 AND module_id = $2"].Execute(deviceId, moduleId ?? "");
}
