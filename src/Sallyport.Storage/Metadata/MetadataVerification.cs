using Microsoft.Data.Sqlite;
using Sallyport.Storage.Secrets;

namespace Sallyport.Storage.Metadata;

/// <summary>Looks a metadata store through, for <c>data verify</c>.</summary>
public static class MetadataVerification
{
    /// <summary>Checks the file's structure, that the kept counts are right, and that every secret opens. Reads everything.</summary>
    /// <param name="metadata">Open; nobody else writes it meanwhile.</param>
    /// <returns>A sentence per finding, without secrets; empty when all is well.</returns>
    public static IReadOnlyList<string> Verify(SqliteMetadata metadata, CancellationToken cancel) => metadata.Read(tx =>
    {
        List<string> findings = [];
        try
        {
            var session = SqliteSession.Of(tx);
            findings.AddRange(session["PRAGMA integrity_check(20)"].All(row => row.GetString(0)).Where(line => line != "ok").Select(line => "The database is damaged: " + line));
            foreach (var (enabled, kept) in session["SELECT enabled, devices FROM device_count"].All(row => (row.GetInt32(0), row.GetInt64(1))))
            {
                var counted = session["SELECT count(*) FROM identity WHERE module_id = '' AND enabled = $1"].Number(enabled);
                if (counted != kept)
                    findings.Add($"There are {counted} {(enabled == 1 ? "enabled" : "disabled")} devices, and the kept count says {kept}.");
            }

            foreach (var (device, blobs, bytes) in session["SELECT device_id, blobs, bytes FROM blob_use"].All(row => (row.GetString(0), row.GetInt64(1), row.GetInt64(2))))
            {
                var counted = session["SELECT count(*), coalesce(sum(bytes), 0) FROM blob WHERE $1 IN (device_id, '')"].First(row => new Tuple<long, long>(row.GetInt64(0), row.GetInt64(1)), device)!;
                if ((counted.Item1, counted.Item2) != (blobs, bytes))
                    findings.Add($"There are {counted.Item1} uploaded files of {counted.Item2} bytes{(device.Length == 0 ? "" : $" of {device}")}, and the kept counts say {blobs} of {bytes}.");
            }

            foreach (var (device, module) in session["SELECT device_id, module_id FROM identity"].All(row => (row.GetString(0), row.GetString(1))))
            {
                cancel.ThrowIfCancellationRequested();
                Try(() => metadata.Identities.Find(tx, device, module.Length == 0 ? null : module));
            }

            foreach (var name in session["SELECT name FROM policy"].All(row => row.GetString(0)))
                Try(() => metadata.Policies.Find(tx, name));
            foreach (var name in session["SELECT name FROM connection"].All(row => row.GetString(0)))
                Try(() => metadata.Connections.Find(tx, name));
            foreach (var id in session["SELECT id FROM registry_job"].All(row => row.GetString(0)))
                Try(() => metadata.RegistryJobs.Find(tx, id));
        }
        catch (SqliteException exception)
        {
            findings.Add("The database is damaged: " + exception.Message);
        }

        return findings;

        void Try(Func<object?> read)
        {
            try
            {
                read();
            }
            catch (SecretUnreadableException exception)
            {
                findings.Add(exception.Message);
            }
        }
    });
}
