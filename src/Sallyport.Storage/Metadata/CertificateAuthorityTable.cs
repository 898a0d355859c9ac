namespace Sallyport.Storage.Metadata;

/// <summary>Certificate authorities in SQLite. Stateless; thread-safe.</summary>
internal sealed class CertificateAuthorityTable : ICertificateAuthorityStore
{
    private const string Columns = "name, certificate, etag, verified, id_prefix, verification_code, revocation, crl_url, created_time, updated_time";

    public IReadOnlyList<CertificateAuthorityRecord> List(MetadataTransaction tx) =>
        SqliteSession.Of(tx)[$"SELECT {Columns} FROM certificate_authority ORDER BY name"].All(row => new CertificateAuthorityRecord
        {
            Name = row.GetString(0),
            Certificate = row.GetBytes(1),
            ETag = row.GetInt64(2),
            Verified = row.GetBoolean(3),
            IdPrefix = ScopeColumn.Split(row.GetString(4)).Prefixes,
            DeviceTags = ScopeColumn.Split(row.GetString(4)).DeviceTags,
            VerificationCode = row.TextOrNull(5),
            Revocation = (RevocationCheck)row.GetByte(6),
            CrlUrl = row.TextOrNull(7),
            CreatedTime = row.Time(8),
            UpdatedTime = row.Time(9),
        });

    public void Put(MetadataTransaction tx, CertificateAuthorityRecord record) =>
        SqliteSession.Of(tx)[$"INSERT OR REPLACE INTO certificate_authority ({Columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"].Execute(
            record.Name, record.Certificate, record.ETag, record.Verified, ScopeColumn.Join(record.IdPrefix, record.DeviceTags), record.VerificationCode, (long)record.Revocation, record.CrlUrl,
            record.CreatedTime.UtcTicks, record.UpdatedTime.UtcTicks);

    public bool Delete(MetadataTransaction tx, string name)
    {
        DeleteRevocationList(tx, name);
        SqliteSession.Of(tx)["DELETE FROM intermediate_certificate WHERE authority = $1"].Execute(name);
        return SqliteSession.Of(tx)["DELETE FROM certificate_authority WHERE name = $1"].Execute(name) > 0;
    }

    public RevocationListRecord? FindRevocationList(MetadataTransaction tx, string authority) =>
        SqliteSession.Of(tx)["SELECT authority, lists, taken_time FROM revocation_list WHERE authority = $1"].First(
            row => new RevocationListRecord(row.GetString(0), row.GetBytes(1), row.Time(2)), authority);

    public void PutRevocationList(MetadataTransaction tx, RevocationListRecord record) =>
        SqliteSession.Of(tx)["INSERT OR REPLACE INTO revocation_list SELECT $1, $2, $3 WHERE EXISTS (SELECT 1 FROM certificate_authority WHERE name = $1)"].Execute(
            record.Authority, record.Lists, record.TakenTime.UtcTicks);

    public void DeleteRevocationList(MetadataTransaction tx, string authority) =>
        SqliteSession.Of(tx)["DELETE FROM revocation_list WHERE authority = $1"].Execute(authority);

    public IReadOnlyList<IntermediateRecord> ListIntermediates(MetadataTransaction tx) =>
        SqliteSession.Of(tx)["SELECT authority, thumbprint, certificate, added_time FROM intermediate_certificate ORDER BY added_time, authority, thumbprint"].All(
            row => new IntermediateRecord(row.GetString(0), row.GetString(1), row.GetBytes(2), row.Time(3)));

    public void PutIntermediate(MetadataTransaction tx, IntermediateRecord record) =>
        SqliteSession.Of(tx)["INSERT OR IGNORE INTO intermediate_certificate SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM certificate_authority WHERE name = $1)"].Execute(
            record.Authority, record.Thumbprint, record.Certificate, record.AddedTime.UtcTicks);

    public void DeleteIntermediate(MetadataTransaction tx, string authority, string thumbprint) =>
        SqliteSession.Of(tx)["DELETE FROM intermediate_certificate WHERE authority = $1 AND thumbprint = $2"].Execute(authority, thumbprint);
}
