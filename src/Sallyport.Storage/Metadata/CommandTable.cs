namespace Sallyport.Storage.Metadata;

/// <summary>Commands and dead commands in SQLite. Stateless; thread-safe.</summary>
internal sealed class CommandTable : ICommandStore
{
    private const string Columns = "sequence, device_id, module_id, generation_id, message_id, enqueued_time, expires, ack, delivery_count, message";

    public long? Add(MetadataTransaction tx, CommandRecord record) =>
        SqliteSession.Of(tx)["""
            INSERT INTO command (device_id, module_id, generation_id, message_id, enqueued_time, expires, ack, delivery_count, message)
            SELECT device_id, module_id, generation_id, $3, $4, $5, $6, $7, $8 FROM identity WHERE device_id = $1 AND module_id = $2
            RETURNING sequence
            """].Number(
            record.DeviceId, record.ModuleId ?? "", record.MessageId, record.EnqueuedTime.UtcTicks, record.Expires.UtcTicks, (int)record.Ack, record.DeliveryCount, record.Message);

    public CommandRecord? Find(MetadataTransaction tx, long sequence) =>
        SqliteSession.Of(tx)[$"SELECT {Columns} FROM command WHERE sequence = $1"].First(row => Record(row, 0), sequence);

    public bool Exists(MetadataTransaction tx, long sequence) => SqliteSession.Of(tx)["SELECT 1 FROM command WHERE sequence = $1"].Number(sequence) is not null;

    public int Count(MetadataTransaction tx, string deviceId, string? moduleId) =>
        (int)(SqliteSession.Of(tx)["SELECT count(*) FROM command WHERE device_id = $1 AND module_id = $2"].Number(deviceId, moduleId ?? "") ?? 0);

    public IReadOnlyList<WaitingCommand> ListWaiting(MetadataTransaction tx, string deviceId, string? moduleId, string generationId, long after, int top) =>
        SqliteSession.Of(tx)["""
            SELECT sequence, expires FROM command
            WHERE device_id = $1 AND module_id = $2 AND generation_id = $3 AND sequence > $4 ORDER BY sequence LIMIT $5
            """].All(row => new WaitingCommand(row.GetInt64(0), row.Time(1)), deviceId, moduleId ?? "", generationId, after, Math.Max(top, 0));

    public IReadOnlyList<ExpiredCommand> ListExpired(MetadataTransaction tx, DateTimeOffset now, ExpiredCommand? after, int top) =>
        SqliteSession.Of(tx)["""
            SELECT sequence, expires, device_id, module_id FROM command WHERE expires <= $1 AND (expires, sequence) > ($2, $3) ORDER BY expires, sequence LIMIT $4
            """].All(
            row => new ExpiredCommand(row.GetInt64(0), row.Time(1), row.GetString(2), row.GetString(3) is { Length: > 0 } module ? module : null),
            now.UtcTicks, after?.Expires.UtcTicks ?? 0, after?.Sequence ?? 0, Math.Max(top, 0));

    public void SetDeliveryCount(MetadataTransaction tx, long sequence, int deliveryCount) =>
        SqliteSession.Of(tx)["UPDATE command SET delivery_count = $2 WHERE sequence = $1"].Execute(sequence, deliveryCount);

    public bool Delete(MetadataTransaction tx, long sequence) => SqliteSession.Of(tx)["DELETE FROM command WHERE sequence = $1"].Execute(sequence) > 0;

    public void AddDead(MetadataTransaction tx, DeadCommandRecord record, int maxOfIdentity, int max)
    {
        var session = SqliteSession.Of(tx);
        var command = record.Command;
        session["""
            INSERT INTO dead_command (device_id, module_id, generation_id, message_id, enqueued_time, expires, ack, delivery_count, message, reason, dead_time)
            SELECT device_id, module_id, generation_id, $4, $5, $6, $7, $8, $9, $10, $11 FROM identity
            WHERE device_id = $1 AND module_id = $2 AND generation_id = $3
            """].Execute(
            command.DeviceId, command.ModuleId ?? "", command.GenerationId, command.MessageId, command.EnqueuedTime.UtcTicks, command.Expires.UtcTicks,
            (int)command.Ack, command.DeliveryCount, command.Message, (int)record.Reason, record.DeadTime.UtcTicks);
        session["""
            DELETE FROM dead_command WHERE sequence IN (
                SELECT sequence FROM dead_command WHERE device_id = $1 AND module_id = $2 ORDER BY sequence DESC LIMIT -1 OFFSET $3)
            """].Execute(command.DeviceId, command.ModuleId ?? "", maxOfIdentity);
        if ((session["SELECT commands FROM dead_command_count"].Number() ?? 0) > max)
            session["DELETE FROM dead_command WHERE sequence = (SELECT min(sequence) FROM dead_command)"].Execute();
    }

    public DeadCommandRecord? FindDead(MetadataTransaction tx, long sequence) =>
        SqliteSession.Of(tx)[$"SELECT reason, dead_time, {Columns} FROM dead_command WHERE sequence = $1"].First(Dead, sequence);

    public IReadOnlyList<DeadCommandRecord> ListDead(MetadataTransaction tx, string? deviceId, long after, int top) =>
        deviceId is null
            ? SqliteSession.Of(tx)[$"SELECT reason, dead_time, {Columns} FROM dead_command WHERE sequence > $1 ORDER BY sequence LIMIT $2"].All(Dead, after, Math.Max(top, 0))
            : SqliteSession.Of(tx)[$"SELECT reason, dead_time, {Columns} FROM dead_command WHERE device_id = $3 AND sequence > $1 ORDER BY sequence LIMIT $2"].All(Dead, after, Math.Max(top, 0), deviceId);

    public bool DeleteDead(MetadataTransaction tx, long sequence) => SqliteSession.Of(tx)["DELETE FROM dead_command WHERE sequence = $1"].Execute(sequence) > 0;

    /// <summary>Forgets what is kept of an identity, but of the generation that lives.</summary>
    /// <param name="moduleId">Null: of the device with all its modules.</param>
    /// <param name="generationId">Null: nothing of it lives.</param>
    public static void Forget(SqliteSession session, string deviceId, string? moduleId, string? generationId)
    {
        if (moduleId is null && generationId is null)
        {
            session["DELETE FROM command WHERE device_id = $1"].Execute(deviceId);
            session["DELETE FROM dead_command WHERE device_id = $1"].Execute(deviceId);
            session["DELETE FROM feedback WHERE device_id = $1"].Execute(deviceId);
            return;
        }

        var (module, living) = (moduleId ?? "", generationId ?? "");
        session["DELETE FROM command WHERE device_id = $1 AND module_id = $2 AND generation_id <> $3"].Execute(deviceId, module, living);
        session["DELETE FROM dead_command WHERE device_id = $1 AND module_id = $2 AND generation_id <> $3"].Execute(deviceId, module, living);
        session["DELETE FROM feedback WHERE device_id = $1 AND module_id = $2 AND generation_id <> $3"].Execute(deviceId, module, living);
    }

    private static DeadCommandRecord Dead(SqliteRow row) => new(row.GetInt64(2), Record(row, 2), (DeadReason)row.GetByte(0), row.Time(1));

    private static CommandRecord Record(SqliteRow row, int at) => new()
    {
        Sequence = row.GetInt64(at),
        DeviceId = row.GetString(at + 1),
        ModuleId = row.GetString(at + 2) is { Length: > 0 } module ? module : null,
        GenerationId = row.GetString(at + 3),
        MessageId = row.GetString(at + 4),
        EnqueuedTime = row.Time(at + 5),
        Expires = row.Time(at + 6),
        Ack = (CommandAck)row.GetByte(at + 7),
        DeliveryCount = row.GetInt32(at + 8),
        Message = row.GetBytes(at + 9),
    };
}
