using System.Diagnostics.Metrics;

namespace Sallyport.Storage.EventLog;

/// <summary>What the event log tells about itself. Counted per commit, not per record. Thread-safe.</summary>
internal static class LogMeter
{
    public const string Name = "Sallyport.EventLog";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Records = Meter.CreateCounter<long>("sallyport.log.records", "{record}", "Records that are on disk.");
    private static readonly Counter<long> Bytes = Meter.CreateCounter<long>("sallyport.log.bytes", "By", "Bytes of the batches that are on disk.");
    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>("sallyport.log.commit.duration", "s", "One write and one sync.");
    private static readonly Counter<long> Failures = Meter.CreateCounter<long>("sallyport.log.commit.failures", "{commit}", "Commits that failed; the first one ends the process.");
    private static readonly Counter<long> Waits = Meter.CreateCounter<long>("sallyport.log.append.waits", "{append}", "Appends that found the commit buffer full.");
    private static readonly Counter<long> Dropped = Meter.CreateCounter<long>("sallyport.log.segments.dropped", "{segment}", "Segments that retention dropped.");
    private static readonly Counter<long> SkippedRecords = Meter.CreateCounter<long>("sallyport.log.skipped", "{record}", "Records dropped before a reader that holds them had read them.");
    private static readonly Counter<long> QuarantinedRanges = Meter.CreateCounter<long>("sallyport.log.quarantined", "{range}", "Ranges of the log that are not served because they are damaged.");

    public static void Committed(int records, int bytes, TimeSpan duration)
    {
        Records.Add(records);
        Bytes.Add(bytes);
        Duration.Record(duration.TotalSeconds);
    }

    public static void Failed() => Failures.Add(1);

    public static void Waited() => Waits.Add(1);

    public static void DroppedSegment() => Dropped.Add(1);

    public static void Skipped(long records) => SkippedRecords.Add(records);

    public static void Quarantined() => QuarantinedRanges.Add(1);
}
