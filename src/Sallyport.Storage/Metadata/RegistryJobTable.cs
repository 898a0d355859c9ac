using System.Globalization;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Import and export jobs in SQLite. Stateless; thread-safe.</summary>
internal sealed class RegistryJobTable(SecretBox secrets) : IRegistryJobStore
{
    private const string Ended = "status >= 2";

    private const string Select = """
        SELECT id, kind, status, settings, creator, creator_rights, created_time, started_time, ended_time, progress, phase, lines, settled_lines, errors, failure, secret
        FROM registry_job
        """;

    public RegistryJobRecord? Find(MetadataTransaction tx, string id) => SqliteSession.Of(tx)[Select + " WHERE id = $1"].First(WithSecret, id);

    public IReadOnlyList<RegistryJobRecord> List(MetadataTransaction tx, int top) =>
        SqliteSession.Of(tx)[Select + " ORDER BY created_time DESC, id LIMIT $1"].All(Record, Math.Max(top, 0));

    public RegistryJobRecord? FindActive(MetadataTransaction tx) =>
        SqliteSession.Of(tx)[Select + $" WHERE NOT ({Ended}) ORDER BY created_time, id LIMIT 1"].First(WithSecret);

    public void Put(MetadataTransaction tx, RegistryJobRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO registry_job VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"].Execute(
            record.Id, (int)record.Kind, (int)record.Status, record.Settings,
            record.Secret is null || record.HasEnded ? null : secrets.Seal(record.Secret, PlaceOf(record.Id, record.CreatedTime.UtcTicks)),
            record.Creator, record.CreatorRights, record.CreatedTime.UtcTicks, record.StartedTime?.UtcTicks, record.EndedTime?.UtcTicks,
            record.Progress, record.Phase, record.Lines, record.SettledLines, record.Errors, record.Failure);

    public void DeleteOld(MetadataTransaction tx, DateTimeOffset endedBefore, int max)
    {
        var session = SqliteSession.Of(tx);
        session[$"DELETE FROM registry_job WHERE {Ended} AND ended_time < $1"].Execute(endedBefore.UtcTicks);
        session[$"DELETE FROM registry_job WHERE {Ended} AND id NOT IN (SELECT id FROM registry_job ORDER BY created_time DESC, id LIMIT $1)"].Execute(max);
        session["DELETE FROM registry_job_error WHERE job NOT IN (SELECT id FROM registry_job)"].Execute();
    }

    public void AddError(MetadataTransaction tx, string job, long entry, string text) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO registry_job_error VALUES ($1, $2, $3)"].Execute(job, entry, text);

    public IReadOnlyList<(long Entry, string Text)> ListErrors(MetadataTransaction tx, string job, long after, int top) =>
        SqliteSession.Of(tx)["SELECT entry, text FROM registry_job_error WHERE job = $1 AND entry > $2 ORDER BY entry LIMIT $3"].All(
            row => (row.GetInt64(0), row.GetString(1)), job, after, Math.Max(top, 0));

    public void DeleteErrors(MetadataTransaction tx, string job) => SqliteSession.Of(tx)["DELETE FROM registry_job_error WHERE job = $1"].Execute(job);

    // The time of creation tells a job from a deleted namesake.
    internal static SecretPlace PlaceOf(string id, long createdTicks) => new("registry_job", id, "secret", createdTicks.ToString(CultureInfo.InvariantCulture));

    private RegistryJobRecord WithSecret(SqliteRow row)
    {
        var record = Record(row);
        return row.BytesOrNull(15) is { } sealedSecret ? record with { Secret = secrets.Open(sealedSecret, PlaceOf(record.Id, record.CreatedTime.UtcTicks)) } : record;
    }

    private static RegistryJobRecord Record(SqliteRow row) => new()
    {
        Id = row.GetString(0),
        Kind = (RegistryJobKind)row.GetByte(1),
        Status = (RegistryJobStatus)row.GetByte(2),
        Settings = row.GetString(3),
        Creator = row.GetString(4),
        CreatorRights = row.GetInt64(5),
        CreatedTime = row.Time(6),
        StartedTime = row.TimeOrNull(7),
        EndedTime = row.TimeOrNull(8),
        Progress = row.GetInt32(9),
        Phase = row.GetInt32(10),
        Lines = row.GetInt64(11),
        SettledLines = row.GetInt64(12),
        Errors = row.GetInt64(13),
        Failure = row.TextOrNull(14),
    };
}
