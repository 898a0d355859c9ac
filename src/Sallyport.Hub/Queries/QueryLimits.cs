namespace Sallyport.Hub.Queries;

/// <summary>What a query may cost. Immutable. What happens at each bound is in <c>docs/bounds.md</c>.</summary>
public sealed record QueryLimits
{
    /// <summary>Rows of a page when the request does not say. Default 100: IoT Hub's.</summary>
    public int DefaultPageRows { get; init; } = 100;

    /// <summary>Rows of a page at most. Default 1,000: what IoT Hub takes.</summary>
    public int MaxPageRows { get; init; } = 1000;

    /// <summary>A page ends behind the row with which it is as large as this. Default 4 MiB. Ours.</summary>
    public int MaxPageBytes { get; init; } = 4 << 20;

    /// <summary>
    /// Rows that are gone through in the order of their ids. When the page is not full then, the others are gone through as they lie in the file, which takes a quarter of the time
    /// a row (measured: <c>docs/benchmarks.md</c>), and the first of those found are taken. Default 4,096.
    /// </summary>
    public int RowsInOrder { get; init; } = 4096;

    /// <summary>How long a request goes through rows. Default 10 s: a third of what SDKs wait. Ours.</summary>
    public TimeSpan MaxTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Paths whose values are kept in memory, of devices and of modules each. At the bound the one used longest ago is forgotten. Default 32. Ours.</summary>
    public int MaxColumns { get; init; } = 32;

    /// <summary>What those values take, of devices and of modules each. Beyond it others are forgotten, and paths that are too large alone are not kept. Default 128 MiB: 50 paths of 100,000 devices. Ours.</summary>
    public long MaxColumnBytes { get; init; } = 128L << 20;

    /// <summary>Rows that changed between two queries, of which the values are read anew; beyond it those of all rows are. Default 20,000. Ours.</summary>
    public int MaxChangedRows { get; init; } = 20_000;

    /// <summary>Groups of an aggregate. Default 10,000. Ours.</summary>
    public int MaxGroups { get; init; } = 10_000;

    /// <summary>Aggregates in all groups together. Default 100,000: some 10 MB. Ours.</summary>
    public int MaxTallies { get; init; } = 100_000;

    /// <summary>Characters of the texts that groups, MIN and MAX hold. Default 8 Mi: 16 MB. Ours.</summary>
    public int MaxGroupCharacters { get; init; } = 8 << 20;

    /// <summary>Queries that go through rows at once. Default: half of the processors, so that telemetry has the others. Ours.</summary>
    public int AtOnce { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>Queries that wait for their turn, <see cref="MaxTime"/> at most. Default 64. Ours.</summary>
    public int MaxWaiting { get; init; } = 64;
}
