namespace Sallyport.Storage.Metadata;

/// <summary>Which devices have which parent: devices by the one scope in their <see cref="IdentityRecord.ParentScopes"/>.</summary>
public interface IScopeStore
{
    /// <summary>Devices with this parent in the order of their ids (ordinal).</summary>
    /// <param name="after">Only those behind this id; null from the first.</param>
    /// <param name="onlyEdge">Only edge devices.</param>
    IReadOnlyList<IdentityRecord> ListChildren(MetadataTransaction tx, string parentScope, string? after, int top, bool onlyEdge = false);

    /// <summary>How many devices have this parent. Counts them.</summary>
    long CountChildren(MetadataTransaction tx, string parentScope);
}
