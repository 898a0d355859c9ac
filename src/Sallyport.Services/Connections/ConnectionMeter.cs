using System.Diagnostics.Metrics;

namespace Sallyport.Services.Connections;

/// <summary>The meter of service connections; every instrument has the tag <c>connection</c>.</summary>
internal static class ConnectionMeter
{
    public const string Name = "Sallyport.Connections";

    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Rows = Meter.CreateCounter<long>("sallyport.connections.rows", "{row}", "Rows written to targets.");

    private static readonly Counter<long> Commits = Meter.CreateCounter<long>("sallyport.connections.commits", "{commit}", "Transactions committed in targets.");

    private static readonly Counter<long> Skipped =
        Meter.CreateCounter<long>("sallyport.connections.skipped", "{record}", "Records that were gone before they could be written.");

    private static readonly Counter<long> Failures = Meter.CreateCounter<long>("sallyport.connections.failures", "{failure}", "Attempts that ended with an error.");

    public static void Committed(string connection, int rows, long skipped)
    {
        var tag = Tag(connection);
        Rows.Add(rows, tag);
        Commits.Add(1, tag);
        Skipped.Add(skipped, tag);
    }

    public static void Failed(string connection) => Failures.Add(1, Tag(connection));

    /// <summary>Shows how many records each connection is behind, for as long as the process lives.</summary>
    public static void ObserveBehind(Func<IEnumerable<(string Connection, long Records)>> look) =>
        Meter.CreateObservableGauge(
            "sallyport.connections.behind",
            () => look().Select(one => new Measurement<long>(one.Records, Tag(one.Connection))),
            "{record}",
            "Records not written to the target yet.");

    private static KeyValuePair<string, object?> Tag(string connection) => new("connection", connection);
}
