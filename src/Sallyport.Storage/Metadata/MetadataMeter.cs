using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;

namespace Sallyport.Storage.Metadata;

/// <summary>What the metadata store tells about itself.</summary>
internal static class MetadataMeter
{
    public const string Name = "Sallyport.Metadata";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Acts = Meter.CreateCounter<long>("sallyport.metadata.acts", "{act}", "Changes that were committed.");
    private static readonly Counter<long> Failures = Meter.CreateCounter<long>("sallyport.metadata.commit.failures", "{commit}", "Commits that failed.");
    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>("sallyport.metadata.commit.duration", "s", "From the first act of a commit until it is on disk.");

    public static void Committed(int acts, TimeSpan duration)
    {
        Acts.Add(acts);
        Duration.Record(duration.TotalSeconds);
    }

    public static void Failed() => Failures.Add(1);
}

/// <summary>Stable ids of log events: 2100 to 2199.</summary>
internal static class MetadataEvents
{
    public static readonly EventId Migrated = new(2100, "MetadataMigrated");
    public static readonly EventId WriteRefused = new(2101, "MetadataWriteRefused");
    public static readonly EventId WriteFailed = new(2102, "MetadataWriteFailed");
}
