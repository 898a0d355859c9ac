namespace Sallyport.Storage.Metadata;

/// <summary>Feedback and its batches in SQLite. Stateless; thread-safe.</summary>
internal sealed class FeedbackTable : IFeedbackStore
{
    public int Add(MetadataTransaction tx, FeedbackRecord record, int max)
    {
        var session = SqliteSession.Of(tx);
        session["""
            INSERT INTO feedback (device_id, module_id, generation_id, message_id, time, status)
            SELECT device_id, module_id, generation_id, $4, $5, $6 FROM identity WHERE device_id = $1 AND module_id = $2 AND generation_id = $3
            """].Execute(record.DeviceId, record.ModuleId ?? "", record.GenerationId, record.MessageId, record.Time.UtcTicks, (int)record.Status);
        return (session["SELECT records FROM feedback_count"].Number() ?? 0) > max
            ? session["DELETE FROM feedback WHERE sequence = (SELECT min(sequence) FROM feedback)"].Execute()
            : 0;
    }

    public (int Count, DateTimeOffset? Oldest) Loose(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT count(*), min(time) FROM feedback WHERE batch IS NULL"].First(row => new Tuple<int, DateTimeOffset?>(row.GetInt32(0), row.TimeOrNull(1)))
            is { } loose ? (loose.Item1, loose.Item2) : default;

    public bool MakeBatch(MetadataTransaction tx, DateTimeOffset now, DateTimeOffset expires, int top)
    {
        var session = SqliteSession.Of(tx);
        if (session["SELECT 1 FROM feedback WHERE batch IS NULL LIMIT 1"].Number() is null)
            return false;

        var batch = session["INSERT INTO feedback_batch (enqueued_time, expires, delivery_count) VALUES ($1, $2, 0) RETURNING batch"].Number(now.UtcTicks, expires.UtcTicks);
        session["UPDATE feedback SET batch = $1 WHERE sequence IN (SELECT sequence FROM feedback WHERE batch IS NULL ORDER BY sequence LIMIT $2)"].Execute(batch, top);
        return true;
    }

    public IReadOnlyList<FeedbackBatchRecord> ListBatches(MetadataTransaction tx, long after, int top) =>
        SqliteSession.Of(tx)["SELECT batch, enqueued_time, expires, delivery_count FROM feedback_batch WHERE batch > $1 ORDER BY batch LIMIT $2"].All(
            row => new FeedbackBatchRecord(row.GetInt64(0), row.Time(1), row.Time(2), row.GetInt32(3)), after, Math.Max(top, 0));

    public IReadOnlyList<long> ListOver(MetadataTransaction tx, DateTimeOffset now, int top) =>
        SqliteSession.Of(tx)["""
            SELECT batch FROM feedback_batch
            WHERE expires <= $1 OR NOT EXISTS (SELECT 1 FROM feedback WHERE feedback.batch = feedback_batch.batch) ORDER BY batch LIMIT $2
            """].All(row => row.GetInt64(0), now.UtcTicks, Math.Max(top, 0));

    public IReadOnlyList<FeedbackRecord> ListRecords(MetadataTransaction tx, long batch) =>
        SqliteSession.Of(tx)["SELECT device_id, module_id, generation_id, message_id, time, status FROM feedback WHERE batch = $1 ORDER BY sequence"].All(
            row => new FeedbackRecord(
                row.GetString(0), row.GetString(1) is { Length: > 0 } module ? module : null, row.GetString(2), row.GetString(3), row.Time(4), (FeedbackStatus)row.GetByte(5)),
            batch);

    public void SetDeliveryCount(MetadataTransaction tx, long batch, int deliveryCount) =>
        SqliteSession.Of(tx)["UPDATE feedback_batch SET delivery_count = $2 WHERE batch = $1"].Execute(batch, deliveryCount);

    public bool DeleteBatch(MetadataTransaction tx, long batch)
    {
        var session = SqliteSession.Of(tx);
        session["DELETE FROM feedback WHERE batch = $1"].Execute(batch);
        return session["DELETE FROM feedback_batch WHERE batch = $1"].Execute(batch) > 0;
    }
}
