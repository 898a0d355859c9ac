using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Twins;

/// <summary>A twin that a configuration changed. Immutable.</summary>
/// <param name="Told">What its device is told; null when its desired properties stay as they were.</param>
internal sealed record ConfiguredTwin(Identity Identity, DesiredChange? Told);

/// <content>What configurations change of twins: with the event in the same transaction, and told as any change.</content>
public sealed partial class DeviceTwins
{
    /// <summary>Merges into desired properties, and notes what the twin shows of its configurations and what they have set in it.</summary>
    /// <param name="before">As it is in this transaction.</param>
    /// <param name="patch">Null: the desired properties, and so version and <c>etag</c>, stay as they are.</param>
    /// <param name="correlationId">Says in the event why it was changed.</param>
    /// <returns>To be given to <see cref="Offer(IReadOnlyList{ConfiguredTwin})"/> behind the commit.</returns>
    /// <exception cref="HubException">400: there would be more than there may; nothing is changed.</exception>
    internal ConfiguredTwin Configure(MetadataTransaction tx, Identity identity, TwinRecord before, TwinNode? patch, byte[]? configurations, byte[]? configured, string correlationId)
    {
        var after = before with { Configurations = configurations, Configured = configured };
        if (patch is null)
        {
            _metadata.Twins.Put(tx, after);
            return new ConfiguredTwin(identity, null);
        }

        var section = before.Desired.Section().Patched(patch, TwinLimits.Desired, Now());
        after = after with { ETag = before.ETag + 1, Version = before.Version + 1, Desired = section.Part() };
        _metadata.Twins.Put(tx, after);
        _metadata.Outbox.Add(tx, _events.Updated(identity, new TwinChange(Replaces: false, Tags: null, patch), after.Version, section, correlationId));
        return new ConfiguredTwin(identity, new DesiredChange(section.Version, TwinJson.EncodeDesired(patch, section.Version)));
    }

    /// <summary>Tells the devices. On the writer's thread, in the order of the changes: links only queue it.</summary>
    internal void Offer(IReadOnlyList<ConfiguredTwin> changed)
    {
        foreach (var (identity, told) in changed)
        {
            if (told is not null && !_quarantine.Holds(identity.DeviceId) && _connected.Find(identity) is { TakesDesired: true } link)
                link.Offer(told);
        }
    }
}
