namespace Sallyport.Storage.Metadata;

/// <summary>Twins of devices and modules. One goes with its identity: <see cref="IIdentityStore.Delete"/> deletes it.</summary>
public interface ITwinStore
{
    /// <summary>
    /// Told behind each commit of the identities whose twin or record in the registry it may have changed, made or deleted (a module's id is empty for a device), before those who asked for the changes are.
    /// Activity is not told of. On the writer's thread: never block or throw.
    /// </summary>
    event Action<IReadOnlyList<(string DeviceId, string ModuleId)>>? Changed;

    TwinRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>The tags of a device's twin and nothing else of it: UTF-8 JSON, an object; null when there is no such device.</summary>
    byte[]? FindTags(MetadataTransaction tx, string deviceId);

    /// <summary>Where a twin stands, which costs much less than all of it; null when there is none.</summary>
    TwinVersions? FindVersions(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>What a device may see of its twin; null when there is none.</summary>
    TwinProperties? FindProperties(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>The reported properties and nothing else; null when there is no twin.</summary>
    TwinPart? FindReported(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>Inserts or replaces. The identity exists: whoever writes has looked in the same transaction. A part that is another has another version.</summary>
    void Put(MetadataTransaction tx, TwinRecord record);

    /// <summary>Replaces the reported properties and the version of the twin; nothing else of it. One that is gone is passed over.</summary>
    /// <param name="version">Of the twin.</param>
    void PutReported(MetadataTransaction tx, string deviceId, string? moduleId, long version, TwinPart reported);

    /// <summary>Replaces the model; nothing else of it. One that is gone is passed over.</summary>
    void PutModel(MetadataTransaction tx, string deviceId, string? moduleId, string modelId);

    /// <summary>Shows twins one after the other until <paramref name="visit"/> ends it. Others of this store may be asked within the visit.</summary>
    void Scan(MetadataTransaction tx, TwinScan scan, TwinVisitor visit);

    /// <summary>Shows one twin with its identity; false when there is none.</summary>
    bool Visit(MetadataTransaction tx, string deviceId, string? moduleId, TwinVisitor visit);

    /// <summary>How many devices, or modules, have a twin: all of them.</summary>
    long Count(MetadataTransaction tx, bool modules);
}

/// <summary>A twin as it is stored: what is in the parts is the business of <c>Protocol/Twins</c>. Holds no secret.</summary>
public sealed record TwinRecord
{
    public required string DeviceId { get; init; }
    public string? ModuleId { get; init; }

    /// <summary>Of the identity that it belongs to.</summary>
    public required string GenerationId { get; init; }

    /// <summary>Grows with each change of tags and desired properties; shown as base64.</summary>
    public required long ETag { get; init; }

    /// <summary>Grows with each change of anything.</summary>
    public required long Version { get; init; }

    /// <summary>UTF-8 JSON: an object.</summary>
    public required byte[] Tags { get; init; }

    public required TwinPart Desired { get; init; }
    public required TwinPart Reported { get; init; }

    /// <summary>The model that the device named when it connected last; null for none.</summary>
    public string? ModelId { get; init; }

    /// <summary>UTF-8 JSON: an object of what the twin shows of its automatic configurations; null for none.</summary>
    public byte[]? Configurations { get; init; }

    /// <summary>UTF-8 JSON: which of its desired properties automatic configurations have set (<c>docs/formats/metadata.md</c>); null for none.</summary>
    public byte[]? Configured { get; init; }

    public override string ToString() => ModuleId is null ? DeviceId : $"{DeviceId}/{ModuleId}";
}

/// <summary>Desired or reported properties.</summary>
/// <param name="Json">UTF-8 JSON: an object without <c>$metadata</c> and <c>$version</c>.</param>
/// <param name="Stamps">When each value was written last, in the order of the JSON (<c>docs/formats/metadata.md</c>).</param>
public sealed record TwinPart(byte[] Json, byte[] Stamps, long Version);

/// <summary>Where a twin stands.</summary>
public sealed record TwinVersions(string GenerationId, long Version, long ReportedVersion);

/// <summary>Desired and reported properties as JSON, with their versions.</summary>
public sealed record TwinProperties(string GenerationId, byte[] Desired, long DesiredVersion, byte[] Reported, long ReportedVersion);
