using System.CommandLine;
using Sallyport.Storage.EventLog;

namespace Sallyport.Cli;

/// <summary><c>data verify</c>: whether the event log of a stopped hub is what was written.</summary>
internal static class DataCommand
{
    public static Command Create(Terminal terminal, TimeProvider time)
    {
        var offline = new OfflineOptions();
        return new Command("data", "The data directory of a stopped hub")
        {
            new Verb(
                "verify",
                "Read the whole event log and check every batch: checksums, authenticity, order, completeness. Changes nothing; exit 1 when something is wrong",
                "data verify --data /var/lib/sallyport",
                offline.All,
                async (parsed, cancel) =>
                {
                    var (data, keys) = OfflineOptions.Open(offline.Read(parsed), time);
                    using var held = data;
                    var progress = new SegmentLines(terminal.Error);
                    var found = await LogVerifier.VerifyAsync(data.LogPath, keys.Oldest.Derive("log-mac"), progress, cancel).ConfigureAwait(false);

                    foreach (var problem in found.Problems)
                        await terminal.Out.WriteLineAsync($"{problem.File} at byte {problem.Position}: {problem.What}").ConfigureAwait(false);
                    await terminal.Out.WriteLineAsync(
                        $"{(found.IsSound ? "sound" : $"{found.Problems.Count} problems")}: {found.Partitions} partitions, {found.Segments.Count} segments, {found.Batches} batches, {found.Records} records, {found.TornBytes} bytes of an unfinished batch").ConfigureAwait(false);
                    return found.IsSound ? 0 : CommandLine.Failed;
                }),
        };
    }

    /// <summary>Reports on the thread that verifies, so that lines come in order.</summary>
    private sealed class SegmentLines(TextWriter writer) : IProgress<SegmentVerification>
    {
        public void Report(SegmentVerification value) => writer.WriteLine($"{value.File}: {value.Batches} batches, {value.Records} records");
    }
}
