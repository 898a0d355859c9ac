using System.Collections.Concurrent;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Devices;

/// <summary>
/// Which identities are connected: one link each, across protocols. Decides take-over: the newer connection wins, exactly once.
/// Thread-safe.
/// </summary>
public sealed class ConnectedDevices(Attempts attempts, TimeProvider time)
{
    /// <summary>Take-overs of an identity within a minute that cost nothing; each later one is kept back.</summary>
    public const int FreeTakeOvers = 5;

    /// <summary>A take-over beyond <see cref="FreeTakeOvers"/> waits for its place in the minute, at most this long: so the newer connection always wins, five seconds later.</summary>
    public static readonly TimeSpan LongestTakeOverDelay = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<Identity, Entry> _links = new();

    // Held while an identity comes or goes and Changed tells of it, so that who listens hears it in that order. Innermost: what listens takes no lock of ours.
    private readonly Lock[] _comings = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];

    public int Count => _links.Count;

    /// <summary>
    /// Told of each identity that comes (true) or goes (false), in the order in which that one does, on the thread of the head. Must not block, nor call
    /// this table.
    /// </summary>
    public event Action<Identity, bool, DateTimeOffset>? Changed;

    /// <summary>Told of each take-over: from whom, by whom; on the thread of the head. Must not block.</summary>
    public event Action<Identity, Access.Peer, Access.Peer>? TakenOver;

    /// <summary>
    /// Told that what a link takes changed (it subscribed or unsubscribed, attached, granted credit), and once it takes anything; often, on the
    /// thread of the head. Must not block, nor call the link.
    /// </summary>
    public event Action<IDeviceLink>? LinkChanged;

    /// <summary>Told of each link that is not its identity's any more: it went, or a newer one took over. Once or twice; must not block, nor call the link.</summary>
    public event Action<IDeviceLink>? LinkEnded;

    /// <summary>Told when a connected identity sent or received something, on the thread of the head; often, so it must cost next to nothing.</summary>
    public event Action<Identity>? Active;

    /// <summary>The identity's link sent or received something: heads say so once per batch of messages.</summary>
    public void Seen(Identity identity) => Active?.Invoke(identity);

    /// <summary>What the link takes changed: heads say so, outside their locks.</summary>
    public void TellChanged(IDeviceLink link) => LinkChanged?.Invoke(link);

    /// <summary>
    /// How long a newcomer waits before it takes the identity over: zero, unless there is a link already that took it over itself
    /// and <see cref="FreeTakeOvers"/> were before it within the minute (two devices with one identity, each throwing the other out).
    /// </summary>
    public TimeSpan TakeOverDelay(Identity identity)
    {
        if (!_links.TryGetValue(identity, out var entry) || entry.TakeOvers is not { } takeOvers)
            return TimeSpan.Zero;

        var ticks = takeOvers.WaitTicks(time.GetTimestamp());
        if (ticks == 0)
            return TimeSpan.Zero;

        var wait = TimeSpan.FromSeconds(ticks / (double)time.TimestampFrequency);
        return wait < LongestTakeOverDelay ? wait : LongestTakeOverDelay;
    }

    /// <summary>Makes <paramref name="link"/> the identity's one link; the one before it is closed.</summary>
    public void Attach(IDeviceLink link)
    {
        var now = time.GetUtcNow();
        while (true)
        {
            if (_links.TryGetValue(link.Identity, out var older))
            {
                var takeOvers = older.TakeOvers ?? new TokenBucket(FreeTakeOvers / 60.0, TimeSpan.FromMinutes(1), time.TimestampFrequency);
                if (!_links.TryUpdate(link.Identity, new Entry(link, now, takeOvers), older))
                    continue;

                takeOvers.Take(1, time.GetTimestamp());

                var error = HubErrors.ConnectionForcefullyClosedOnNewConnection;
                attempts.Note(new Attempt(link.Identity.ToString(), older.Link.Peer, AttemptOutcome.TakenOver, error.Code, "the same identity connected again") { TakenOverBy = link.Peer.Address });
                TakenOver?.Invoke(link.Identity, older.Link.Peer, link.Peer);
                LinkEnded?.Invoke(older.Link);
                older.Link.Close(error, $"the same identity connected again from {link.Peer.Address}");
                return;
            }

            lock (ComingsOf(link.Identity))
            {
                if (!_links.TryAdd(link.Identity, new Entry(link, now, null)))
                    continue;

                Changed?.Invoke(link.Identity, true, now);
                return;
            }
        }
    }

    /// <summary>Forgets the link, unless a newer one has taken over.</summary>
    public void Detach(IDeviceLink link)
    {
        lock (ComingsOf(link.Identity))
        {
            if (_links.TryGetValue(link.Identity, out var entry) && ReferenceEquals(entry.Link, link)
                && _links.TryRemove(KeyValuePair.Create(link.Identity, entry)))
            {
                Changed?.Invoke(link.Identity, false, time.GetUtcNow());
            }
        }

        LinkEnded?.Invoke(link);
    }

    public bool IsConnected(Identity identity) => _links.ContainsKey(identity);

    /// <summary>When the present link came; null when not connected.</summary>
    public DateTimeOffset? ConnectedSince(Identity identity) => _links.TryGetValue(identity, out var entry) ? entry.Since : null;

    /// <summary>Ends the identity's link, if there is one: it was disabled, deleted or got new keys.</summary>
    public void Close(Identity identity, HubError error, string reason)
    {
        if (_links.TryGetValue(identity, out var entry))
            entry.Link.Close(error, reason);
    }

    /// <summary>The present link; null when not connected.</summary>
    public IDeviceLink? Find(Identity identity) => _links.TryGetValue(identity, out var entry) ? entry.Link : null;

    /// <summary>Ends the links of a device and of all its modules.</summary>
    public void CloseDevice(string deviceId, HubError error, string reason)
    {
        foreach (var (identity, entry) in _links)
        {
            if (identity.DeviceId == deviceId)
                entry.Link.Close(error, reason);
        }
    }

    /// <summary>Ends the links of which something is true: what let them in is gone. Looks at every link there is.</summary>
    public void CloseWhere(Func<IDeviceLink, bool> isMeant, HubError error, string reason)
    {
        foreach (var (_, entry) in _links)
        {
            if (isMeant(entry.Link))
                entry.Link.Close(error, reason);
        }
    }

    private Lock ComingsOf(Identity identity) => _comings[(uint)identity.GetHashCode() % (uint)_comings.Length];

    // Take-overs go with the entry from link to link: a duel is exactly this, that there is always one.
    private readonly record struct Entry(IDeviceLink Link, DateTimeOffset Since, TokenBucket? TakeOvers);
}
