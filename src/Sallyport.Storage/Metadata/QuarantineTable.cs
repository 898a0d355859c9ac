namespace Sallyport.Storage.Metadata;

/// <summary>Devices in quarantine in SQLite. Stateless; thread-safe.</summary>
internal sealed class QuarantineTable : IQuarantineStore
{
    public IReadOnlyList<QuarantineRecord> List(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT device_id, since, placed_by, reason FROM quarantine ORDER BY device_id"].All(
            row => new QuarantineRecord(row.GetString(0), row.Time(1), row.GetString(2), row.GetString(3)));

    public void Put(MetadataTransaction tx, QuarantineRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO quarantine VALUES ($1, $2, $3, $4)"].Execute(
            record.DeviceId, record.Since.UtcTicks, record.PlacedBy, record.Reason);

    public bool Delete(MetadataTransaction tx, string deviceId) => SqliteSession.Of(tx)["DELETE FROM quarantine WHERE device_id = $1"].Execute(deviceId) > 0;
}
