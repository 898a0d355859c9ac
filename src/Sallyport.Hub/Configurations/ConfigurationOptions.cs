namespace Sallyport.Hub.Configurations;

/// <summary>How many configurations there may be, and how much they say. Immutable. What happens at each bound is in <c>docs/bounds.md</c>.</summary>
public sealed record ConfigurationOptions
{
    /// <summary>The most that <see cref="MaxConfigurations"/> may say: a set of them is the bits of a number.</summary>
    public const int MostConfigurations = 128;

    /// <summary>Queries of one configuration. IoT Hub's.</summary>
    public const int MaxMetrics = 5;

    /// <summary>The content's JSON without white space. Ours.</summary>
    public const int MaxContentBytes = 128 * 1024;

    /// <summary>Paths that a configuration sets in a device or a module. Ours: 32 KB of properties hold no more that make sense.</summary>
    public const int MaxPaths = 100;

    /// <summary>Ours.</summary>
    public const int MaxLabels = 20;

    /// <summary>Characters of a label's key and of its value, of a metric's name and of the schema's version. IoT Hub's for labels.</summary>
    public const int MaxNameLength = 128;

    /// <summary>Automatic configurations and edge deployments together; another one is refused with 403009. Default 100: IoT Hub's, where it is 100 of each.</summary>
    public int MaxConfigurations { get; init; } = 100;

    /// <summary>Twins that changed and were not looked at yet; beyond it all are. Default 20,000. Ours.</summary>
    public int MaxNoted { get; init; } = 20_000;

    /// <summary>Twins that are looked at in a turn; the queue of what has changed has its turn between two. Default 1,000. Ours.</summary>
    public int TwinsPerTurn { get; init; } = 1_000;

    /// <summary>Twins that are written at once: others wait for that many at most. Default 64: some 20 ms (measured: <c>docs/benchmarks.md</c>). Ours.</summary>
    public int WritesAtOnce { get; init; } = 64;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (MaxConfigurations is < 1 or > MostConfigurations)
            yield return $"MaxConfigurations must be 1 to {MostConfigurations}";
    }
}
