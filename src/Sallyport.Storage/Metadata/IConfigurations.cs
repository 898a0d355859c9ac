namespace Sallyport.Storage.Metadata;

/// <summary>Automatic configurations, and what twins hold of them.</summary>
public interface IConfigurationStore
{
    ConfigurationRecord? Find(MetadataTransaction tx, string id);

    /// <summary>All of them, in the order of their making.</summary>
    IReadOnlyList<ConfigurationRecord> List(MetadataTransaction tx);

    /// <summary>Adds one; there is none of its id.</summary>
    /// <returns>Its number: higher than that of any before, also of those that are gone.</returns>
    long Add(MetadataTransaction tx, ConfigurationRecord record);

    /// <summary>Replaces what may change of the one of its id: all but its number, content, schema and time of making.</summary>
    void Update(MetadataTransaction tx, ConfigurationRecord record);

    bool Delete(MetadataTransaction tx, string id);

    /// <summary>How many twins say the same of their configurations. An index says it: no twin is read.</summary>
    IReadOnlyList<ConfiguredTwins> CountTwins(MetadataTransaction tx);

    /// <summary>Shows the twins that have configurations, without their identities, in no order.</summary>
    /// <param name="moduleId">Only of modules of this id; null for all.</param>
    void ScanTwins(MetadataTransaction tx, string? moduleId, TwinVisitor visit);
}

/// <param name="AreModules">Of modules; else of devices.</param>
/// <param name="Configurations">See <see cref="TwinRecord.Configurations"/>.</param>
public sealed record ConfiguredTwins(bool AreModules, byte[] Configurations, long Count);

/// <summary>An automatic configuration as it is stored: what is in the parts is the business of <c>Hub/Configurations</c>. Holds no secret.</summary>
public sealed record ConfigurationRecord
{
    public required string Id { get; init; }

    /// <summary>0 before it is stored.</summary>
    public long Number { get; init; }

    /// <summary>Grows with each change; shown as base64.</summary>
    public required long ETag { get; init; }
    public required string SchemaVersion { get; init; }

    /// <summary>UTF-8 JSON: an object of texts.</summary>
    public required byte[] Labels { get; init; }

    /// <summary>UTF-8 JSON: an object with one member, which says whose desired properties it is about.</summary>
    public required byte[] Content { get; init; }
    public required string TargetCondition { get; init; }
    public required int Priority { get; init; }

    /// <summary>UTF-8 JSON: an object, name and query.</summary>
    public required byte[] MetricQueries { get; init; }
    public required DateTimeOffset CreatedTime { get; init; }
    public required DateTimeOffset LastUpdatedTime { get; init; }

    /// <summary>Who wrote it last, as the audit trail says it: it reaches what they reach.</summary>
    public required string Writer { get; init; }

    /// <summary>What the writer held then.</summary>
    public required long WriterRights { get; init; }

    public override string ToString() => Id;
}
