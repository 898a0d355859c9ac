using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Named positions of readers, per consumer group: for each partition the sequence number that the reader takes next.
/// The last writer wins. They go with their group (<see cref="ConsumerGroups.DeleteAsync"/>). Thread-safe.
/// </summary>
public sealed class Checkpoints(IMetadata metadata)
{
    public const int MaxNameLength = 128;

    /// <summary>Checkpoints of a consumer group.</summary>
    public const int MaxNames = 10_000;

    /// <summary>1 to 128 ASCII letters, digits and <c>- . _</c>.</summary>
    public static bool IsValidName(string name) =>
        name.Length is > 0 and <= MaxNameLength && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_');

    /// <summary>Empty when there is none of that name.</summary>
    public IReadOnlyDictionary<int, long> Find(string group, string name) =>
        metadata.Read(tx => metadata.Checkpoints.Find(tx, ScopeOf(group), name));

    /// <summary>Saves the positions of the partitions named; the others keep theirs. Durable when it completes.</summary>
    /// <exception cref="HubException">404: the group is gone; 403: the name is new, and there are <see cref="MaxNames"/>.</exception>
    public async ValueTask SaveAsync(string group, string name, IReadOnlyDictionary<int, long> next, CancellationToken cancel) =>
        await metadata.WriteAsync(
            tx =>
            {
                // Looked at here, so that a reader that is a little late leaves nothing for a later group of the same name.
                if (!metadata.ConsumerGroups.Exists(tx, group))
                    throw new HubException(HubErrors.NotFound, "the hub has no such consumer group any more");
                if (metadata.Checkpoints.Find(tx, ScopeOf(group), name).Count == 0 && metadata.Checkpoints.Count(tx, ScopeOf(group)) >= MaxNames)
                    throw new HubException(HubErrors.QuotaExceeded, $"a consumer group has at most {MaxNames} checkpoints; delete one that is not used any more");

                foreach (var (partition, sequence) in next)
                    metadata.Checkpoints.Put(tx, ScopeOf(group), name, partition, sequence);
                return true;
            },
            cancel).ConfigureAwait(false);

    /// <summary>False when there was none.</summary>
    public ValueTask<bool> DeleteAsync(string group, string name, CancellationToken cancel) => metadata.WriteAsync(
        tx =>
        {
            var exists = metadata.Checkpoints.Find(tx, ScopeOf(group), name).Count > 0;
            metadata.Checkpoints.Delete(tx, ScopeOf(group), name);
            return exists;
        },
        cancel);

    // Group names are ASCII by then: one that does not exist does not get here.
    internal static string ScopeOf(string group) => $"consumer-group/{group.ToUpperInvariant()}";
}
