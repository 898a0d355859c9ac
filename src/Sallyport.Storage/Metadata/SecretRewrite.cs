using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <param name="Count">How many could not be opened, and stay as they are.</param>
/// <param name="First">Which, the first ones; without secrets.</param>
public sealed record UnreadableSecrets(long Count, IReadOnlyList<string> First);

/// <summary>
/// Seals every secret anew that an older key sealed: identities a page a transaction, so that other acts have their turn, then policies,
/// connections and jobs; then makes the marks anew (<see cref="SecretBox.Mark"/>). What is sealed with the newest key already is passed over, so a run that was killed is done by running again.
/// </summary>
public static class SecretRewrite
{
    internal const int PerCommit = 500;

    private const int MaxNamed = 20;

    /// <summary>How many secrets each key seals, by the id in their envelopes. Reads every row, without opening any.</summary>
    public static IReadOnlyDictionary<string, long> CountByKey(SqliteMetadata metadata) => metadata.Read(tx =>
        ((string[])["primary_key FROM identity", "secondary_key FROM identity", "primary_key FROM policy", "secondary_key FROM policy", "secret FROM connection", "secret FROM registry_job"])
            .SelectMany(source =>
            {
                var (column, table) = (source.Split(' ')[0], source.Split(' ')[2]);
                return SqliteSession.Of(tx)[$"SELECT lower(hex(substr({column}, 2, 8))), count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"]
                    .All(row => (KeyId: row.GetString(0), Count: row.GetInt64(1)));
            })
            .GroupBy(found => found.KeyId)
            .ToDictionary(found => found.Key, found => found.Sum(one => one.Count)));

    /// <summary>Seals all of them with the newest key of the store's box.</summary>
    /// <param name="afterCommit">Told how many more are sealed with it, after each transaction.</param>
    /// <exception cref="MetadataWriteException">It could not be made durable; what was told is.</exception>
    public static async Task<UnreadableSecrets> RunAsync(SqliteMetadata metadata, Func<long, Task> afterCommit, CancellationToken cancel)
    {
        var unreadable = new List<string>();
        (string Device, string Module)? at = ("", "");
        while (at is { } from)
        {
            (at, var done) = await metadata.WriteAsync(tx => Identities(SqliteSession.Of(tx), metadata.Secrets, from, unreadable), cancel).ConfigureAwait(false);
            await afterCommit(done).ConfigureAwait(false);
        }

        await afterCommit(await metadata.WriteAsync(tx => Policies(SqliteSession.Of(tx), metadata.Secrets, unreadable), cancel).ConfigureAwait(false)).ConfigureAwait(false);
        await afterCommit(await metadata.WriteAsync(tx => Connections(SqliteSession.Of(tx), metadata.Secrets, unreadable) + RegistryJobs(SqliteSession.Of(tx), metadata.Secrets, unreadable), cancel).ConfigureAwait(false)).ConfigureAwait(false);
        await metadata.MarkIdentitiesAsync().ConfigureAwait(false);
        return new UnreadableSecrets(unreadable.Count, [.. unreadable.Take(MaxNamed)]);
    }

    private static ((string Device, string Module)? At, long Done) Identities(SqliteSession session, SecretBox box, (string Device, string Module) after, List<string> unreadable)
    {
        var page = session["""
            SELECT device_id, module_id, generation_id, primary_key, secondary_key FROM identity
            WHERE (device_id, module_id) > ($1, $2) ORDER BY device_id, module_id LIMIT $3
            """].All(
            row => (Device: row.GetString(0), Module: row.GetString(1), Generation: row.GetString(2), Primary: row.BytesOrNull(3), Secondary: row.BytesOrNull(4)),
            after.Device, after.Module, PerCommit);
        var done = 0L;
        foreach (var row in page)
        {
            var primary = Again(box, row.Primary, IdentityTable.PlaceOf(row.Device, row.Module, "primary_key", row.Generation), unreadable, ref done);
            var secondary = Again(box, row.Secondary, IdentityTable.PlaceOf(row.Device, row.Module, "secondary_key", row.Generation), unreadable, ref done);
            if (primary is not null || secondary is not null)
            {
                session["UPDATE identity SET primary_key = coalesce($3, primary_key), secondary_key = coalesce($4, secondary_key) WHERE device_id = $1 AND module_id = $2"]
                    .Execute(row.Device, row.Module, primary, secondary);
            }
        }

        return (page.Count == PerCommit ? (page[^1].Device, page[^1].Module) : null, done);
    }

    private static long Policies(SqliteSession session, SecretBox box, List<string> unreadable)
    {
        var done = 0L;
        foreach (var row in session["SELECT name, generation, primary_key, secondary_key FROM policy"].All(
            row => (Name: row.GetString(0), Generation: row.GetInt64(1), Primary: row.BytesOrNull(2), Secondary: row.BytesOrNull(3))))
        {
            session["UPDATE policy SET primary_key = coalesce($2, primary_key), secondary_key = coalesce($3, secondary_key) WHERE name = $1"].Execute(
                row.Name, Again(box, row.Primary, PolicyTable.PlaceOf(row.Name, "primary_key", row.Generation), unreadable, ref done),
                Again(box, row.Secondary, PolicyTable.PlaceOf(row.Name, "secondary_key", row.Generation), unreadable, ref done));
        }

        return done;
    }

    private static long Connections(SqliteSession session, SecretBox box, List<string> unreadable)
    {
        var done = 0L;
        foreach (var row in session["SELECT name, created_time, secret FROM connection"].All(row => (Name: row.GetString(0), Created: row.GetInt64(1), Secret: row.BytesOrNull(2))))
        {
            session["UPDATE connection SET secret = coalesce($2, secret) WHERE name = $1"].Execute(
                row.Name, Again(box, row.Secret, ConnectionTable.PlaceOf(row.Name, row.Created), unreadable, ref done));
        }

        return done;
    }

    private static long RegistryJobs(SqliteSession session, SecretBox box, List<string> unreadable)
    {
        var done = 0L;
        foreach (var row in session["SELECT id, created_time, secret FROM registry_job WHERE secret IS NOT NULL"].All(row => (Id: row.GetString(0), Created: row.GetInt64(1), Secret: row.BytesOrNull(2))))
        {
            session["UPDATE registry_job SET secret = coalesce($2, secret) WHERE id = $1"].Execute(
                row.Id, Again(box, row.Secret, RegistryJobTable.PlaceOf(row.Id, row.Created), unreadable, ref done));
        }

        return done;
    }

    // Null leaves what is stored.
    private static byte[]? Again(SecretBox box, byte[]? envelope, in SecretPlace place, List<string> unreadable, ref long done)
    {
        if (envelope is null)
            return null;

        try
        {
            var again = box.Reseal(envelope, place);
            done += again is null ? 0 : 1;
            return again;
        }
        catch (SecretUnreadableException exception)
        {
            unreadable.Add(exception.Message);
            return null;
        }
    }
}
