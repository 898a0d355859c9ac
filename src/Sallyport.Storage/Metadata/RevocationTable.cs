namespace Sallyport.Storage.Metadata;

/// <summary>Revoked tokens and resets in SQLite. Stateless; thread-safe.</summary>
internal sealed class RevocationTable : IRevocationStore
{
    public IReadOnlyList<RevokedTokenRecord> ListTokens(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT fingerprint, subject, accepted_until, revoked_time FROM revoked_token ORDER BY revoked_time, fingerprint"]
            .All(row => new RevokedTokenRecord(row.GetString(0), row.GetString(1), row.TimeOrNull(2), row.Time(3)));

    public void PutToken(MetadataTransaction tx, RevokedTokenRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO revoked_token VALUES ($1, $2, $3, $4)"]
            .Execute(record.Fingerprint, record.Subject, record.AcceptedUntil?.UtcTicks, record.RevokedTime.UtcTicks);

    public IReadOnlyList<TokenResetRecord> ListResets(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT device_id, module_id, generation_id, refused_until, reset_time FROM token_reset ORDER BY device_id, module_id"]
            .All(row => new TokenResetRecord(row.GetString(0), row.GetString(1) is { Length: > 0 } module ? module : null, row.GetString(2), row.Time(3), row.Time(4)));

    public void PutReset(MetadataTransaction tx, TokenResetRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO token_reset VALUES ($1, $2, $3, $4, $5)"]
            .Execute(record.DeviceId, record.ModuleId ?? "", record.GenerationId, record.RefusedUntil.UtcTicks, record.ResetTime.UtcTicks);

    public void DeleteEnded(MetadataTransaction tx, DateTimeOffset acceptedUntil, DateTimeOffset refusedUntil)
    {
        SqliteSession.Of(tx)["DELETE FROM revoked_token WHERE accepted_until < $1"].Execute(acceptedUntil.UtcTicks);
        SqliteSession.Of(tx)["DELETE FROM token_reset WHERE refused_until < $1"].Execute(refusedUntil.UtcTicks);
    }
}
