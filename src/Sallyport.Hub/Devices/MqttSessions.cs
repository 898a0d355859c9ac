using System.Collections.Concurrent;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Devices;

/// <summary>
/// The MQTT sessions that outlive their connection (clean session 0): what each identity is subscribed to. Kept on disk, written only
/// when something changed, and cached, so that a storm of reconnects reads memory. Thread-safe.
/// </summary>
/// <param name="maxCached">How many sessions are kept in memory; at the bound one of them makes room and is read again when needed.</param>
public sealed class MqttSessions(IMetadata metadata, int maxCached = 131_072)
{
    private readonly ConcurrentDictionary<Identity, Session> _cache = new();

    /// <summary>The subscriptions of the identity's session; null when it has none.</summary>
    /// <param name="generationId">A session of a deleted namesake does not count.</param>
    public IReadOnlyList<SubscriptionRecord>? Find(Identity identity, string generationId)
    {
        if (_cache.TryGetValue(identity, out var cached) && cached.GenerationId == generationId)
            return cached.Subscriptions;

        var stored = metadata.Read(tx => metadata.Subscriptions.Find(tx, identity.DeviceId, identity.ModuleId, generationId));
        Keep(identity, new Session(generationId, stored));
        return stored;
    }

    /// <summary>Begins a session, or replaces its subscriptions; completes when that is on disk. Writes nothing when nothing changed.</summary>
    public async ValueTask SaveAsync(Identity identity, string generationId, IReadOnlyList<SubscriptionRecord> subscriptions, CancellationToken cancel)
    {
        if (Find(identity, generationId) is { } known && known.SequenceEqual(subscriptions))
            return;

        await metadata.WriteAsync(
            tx =>
            {
                metadata.Subscriptions.Put(tx, identity.DeviceId, identity.ModuleId, generationId, subscriptions);
                return true;
            },
            cancel).ConfigureAwait(false);
        Keep(identity, new Session(generationId, subscriptions));
    }

    /// <summary>Ends the session (clean session 1); completes when that is on disk. Writes nothing when there is none.</summary>
    public async ValueTask EndAsync(Identity identity, string generationId, CancellationToken cancel)
    {
        if (Find(identity, generationId) is null)
            return;

        await metadata.WriteAsync(
            tx =>
            {
                metadata.Subscriptions.Delete(tx, identity.DeviceId, identity.ModuleId);
                return true;
            },
            cancel).ConfigureAwait(false);
        Keep(identity, new Session(generationId, null));
    }

    private void Keep(Identity identity, Session session)
    {
        if (_cache.Count >= maxCached && !_cache.ContainsKey(identity))
        {
            foreach (var (other, _) in _cache)
            {
                _cache.TryRemove(other, out _);
                break;
            }
        }

        _cache[identity] = session;
    }

    // Subscriptions null: known to have no session.
    private sealed record Session(string GenerationId, IReadOnlyList<SubscriptionRecord>? Subscriptions);
}
