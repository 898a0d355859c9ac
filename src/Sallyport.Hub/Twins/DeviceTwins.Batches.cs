using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Twins;

/// <content>
/// Changes within somebody else's write, many at once: for those who note in the same write that they are done (jobs). They come in this order:
/// <see cref="Check"/> on a snapshot, the audit trail, <see cref="Change"/> in the write, <see cref="Tell"/> as what is told of its commit, <see cref="NoteTags"/> behind it.
/// </content>
public sealed partial class DeviceTwins
{
    /// <summary>Whether a change could be made.</summary>
    /// <exception cref="HubException">As <see cref="ChangeAsync(Actor, Identity, TwinChange, Registry.EntityTagCondition, CancellationToken)"/>; 404 also when it is another identity of that name.</exception>
    internal void Check(MetadataTransaction tx, Actor actor, Identity identity, string generationId, TwinChange change) =>
        Decide(tx, actor, identity, twin => OfGeneration(twin, identity, generationId, change), Registry.EntityTagCondition.Any);

    /// <summary>Makes a change, with the event that tells of it.</summary>
    /// <inheritdoc cref="Check" path="/exception"/>
    internal Decision Change(MetadataTransaction tx, Actor actor, Identity identity, string generationId, TwinChange change) =>
        Apply(tx, actor, identity, twin => OfGeneration(twin, identity, generationId, change), Registry.EntityTagCondition.Any);

    /// <summary>Tells connected devices of changes that are on disk. On the writer's thread, in the order of the writes: never blocks.</summary>
    internal void Tell(IReadOnlyList<Decision> changes)
    {
        foreach (var change in changes)
            Offer(change);
    }

    /// <summary>Tells those who let devices in by their tags of changes that are on disk; on the thread of whoever made them.</summary>
    internal void NoteTags(IReadOnlyList<Decision> changes)
    {
        foreach (var change in changes)
        {
            if (change.Change.Tags is not null && !change.Owner.IsModule)
                _tags.NoteChange(change.Owner.DeviceId);
        }
    }

    private static TwinChange OfGeneration(TwinRecord twin, Identity identity, string generationId, TwinChange change) =>
        twin.GenerationId == generationId ? change : throw Missing(identity);
}
