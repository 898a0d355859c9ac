using System.CommandLine;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Audit;
using Sallyport.Storage;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Cli;

/// <summary><c>data verify</c>: whether the data of a stopped hub is what was written.</summary>
internal static class DataCommand
{
    public static Command Create(Terminal terminal, TimeProvider time)
    {
        var offline = new OfflineOptions();
        return new Command("data", "The data directory of a stopped hub")
        {
            new Verb(
                "verify",
                "Read everything and check it: the event log batch by batch (checksums, authenticity, order, completeness), the metadata, that every secret opens, and the audit trail line by line. Exit 1 when something is wrong",
                "data verify --data /var/lib/sallyport",
                offline.All,
                async (parsed, cancel) =>
                {
                    var (data, keys) = OfflineOptions.Open(offline.Read(parsed), time);
                    using var held = data;
                    var log = await LogVerifier.VerifyAsync(data.LogPath, keys.LogMacKey(), new SegmentLines(terminal.Error), cancel).ConfigureAwait(false);
                    var problems = log.Problems.Select(problem => $"{problem.File} at byte {problem.Position}: {problem.What}")
                        .Concat(await VerifyMetadataAsync(data, keys, time, cancel).ConfigureAwait(false))
                        .Concat(AuditVerifier.Verify(data.AuditPath, new AuditKeys(data.Id, keys), [], cancel).Findings.Select(finding => $"{finding.File} at line {finding.Line}: {finding.What}"))
                        .ToList();

                    foreach (var problem in problems)
                        await terminal.Out.WriteLineAsync(problem).ConfigureAwait(false);
                    await terminal.Out.WriteLineAsync(
                        $"{(problems.Count == 0 ? "sound" : $"{problems.Count} problems")}: {log.Partitions} partitions, {log.Segments.Count} segments, {log.Batches} batches, {log.Records} records, {log.TornBytes} bytes of an unfinished batch").ConfigureAwait(false);
                    return problems.Count == 0 ? 0 : CommandLine.Failed;
                }),
        };
    }

    private static async Task<IReadOnlyList<string>> VerifyMetadataAsync(DataDirectory data, KeyRing keys, TimeProvider time, CancellationToken cancel)
    {
        using var secrets = new SecretBox(keys);
        var metadata = await SqliteMetadata.OpenAsync(data.MetadataPath, secrets, time, NullLogger.Instance).ConfigureAwait(false);
        await using var close = metadata.ConfigureAwait(false);
        return MetadataVerification.Verify(metadata, cancel);
    }

    /// <summary>Reports on the thread that verifies, so that lines come in order.</summary>
    private sealed class SegmentLines(TextWriter writer) : IProgress<SegmentVerification>
    {
        public void Report(SegmentVerification value) => writer.WriteLine($"{value.File}: {value.Batches} batches, {value.Records} records");
    }
}
