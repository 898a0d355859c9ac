using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Physical;

/// <summary>When two ends of one identity are taken for a device and its copy. Immutable.</summary>
/// <remarks>
/// Defaults: two copies that the hub throws out in turn come back within seconds, as SDKs retry at once and then every few seconds, so that six
/// returns take them about a minute. A device that changes networks leaves addresses behind, and one that hangs between two hands over only
/// when its old connection is not known to be dead yet: that is a few times an hour, not six times in ten minutes.
/// </remarks>
public sealed record CloneRule
{
    /// <summary>So many take-overs back to an address that the identity had before are suspicious. 2 to 100.</summary>
    public int Returns { get; init; } = 6;

    /// <summary>Within so much time. 10 s to 1 day.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Put the device into quarantine; otherwise only report.</summary>
    public bool Quarantines { get; init; }
}

/// <param name="Returns">How often the identity came back to an address that it had.</param>
public sealed record SuspectedClone(Identity Identity, IReadOnlyList<IPAddress> Addresses, int Returns, DateTimeOffset Time);

/// <summary>
/// Sees that the credential of one identity is used from addresses in turn: take-overs A-B-A-B, not mere change (A-B-C), as mobile networks
/// change addresses. Reports in log, audit trail and posture, at most once per window and identity, and quarantines where the rule says so.
/// Two copies behind one address are not seen. Thread-safe; watches at most <see cref="MaxWatched"/> identities, the one quiet longest makes room.
/// </summary>
public sealed class CloneSuspicion(CloneRule rule, Quarantine quarantine, IAuditTrail audit, TimeProvider time, ILogger<CloneSuspicion> log, int maxWatched = CloneSuspicion.MaxWatched)
{
    public const string Name = "rule:clone";
    public const int MaxWatched = 10_000;
    public const int MaxReported = 1000;

    // Addresses of an identity that are remembered; a device that changes among more is not told from one that moves.
    private const int MaxAddresses = 8;

    private static readonly Meter Meter = new("Sallyport.Physical");
    private static readonly Counter<long> Suspected = Meter.CreateCounter<long>(
        "sallyport.physical.suspected_clones", "{identity}", "Identities whose credential was used from addresses in turn.");

    private readonly Lock _gate = new();

    // Guarded by _gate; the one that was taken over last is last.
    private readonly Dictionary<Identity, LinkedListNode<Watched>> _watched = [];
    private readonly LinkedList<Watched> _byAge = [];
    private readonly Queue<SuspectedClone> _reported = new();

    /// <summary>What was reported since the start, the oldest first; at <see cref="MaxReported"/> the oldest is forgotten.</summary>
    public IReadOnlyList<SuspectedClone> Reported
    {
        get
        {
            lock (_gate)
                return [.. _reported];
        }
    }

    /// <summary>How many identities are watched.</summary>
    public int Watching
    {
        get
        {
            lock (_gate)
                return _watched.Count;
        }
    }

    /// <summary>A link was taken over by another one of the same identity. On the thread of a head; returns at once.</summary>
    public void TakenOver(Identity identity, Peer older, Peer newer)
    {
        if (older.Address?.Address is not { } from || newer.Address?.Address is not { } to || from.Equals(to))
            return;

        SuspectedClone? suspected;
        lock (_gate)
            suspected = Count(identity, from, to, time.GetUtcNow());
        if (suspected is null)
            return;

        Suspected.Add(1);
        var addresses = string.Join(", ", suspected.Addresses);
        var reason = $"the credential was used in turn from {addresses}: {suspected.Returns} returns within {rule.Window.TotalSeconds:0} s";
        log.CloneSuspected(identity.ToString(), addresses, suspected.Returns, rule.Window);
        audit.Note(new AuditEntry(Name, "", "clone suspicion", identity.ToString(), "done", reason, "", newer.Address!.ToString()));
        if (rule.Quarantines && !IsHeld(identity))
            _ = PlaceAsync(identity, reason, newer.Address!);
    }

    private SuspectedClone? Count(Identity identity, IPAddress from, IPAddress to, DateTimeOffset now)
    {
        if (!_watched.TryGetValue(identity, out var node))
        {
            if (_watched.Count >= maxWatched)
            {
                _watched.Remove(_byAge.First!.Value.Identity);
                _byAge.RemoveFirst();
            }

            node = new LinkedListNode<Watched>(new Watched(identity));
            _watched.Add(identity, node);
        }
        else
        {
            _byAge.Remove(node);
        }

        _byAge.AddLast(node);
        var watched = node.Value;
        watched.Has(from);
        if (watched.Has(to))
            watched.Returns.Enqueue(now);
        while (watched.Returns.TryPeek(out var first) && now - first > rule.Window)
            watched.Returns.Dequeue();
        if (watched.Returns.Count < rule.Returns || now - watched.LastReported <= rule.Window)
            return null;

        var suspected = new SuspectedClone(identity, [.. watched.Addresses], watched.Returns.Count, now);
        watched.LastReported = now;
        watched.Returns.Clear();
        if (_reported.Count == MaxReported)
            _reported.Dequeue();
        _reported.Enqueue(suspected);
        return suspected;
    }

    private bool IsHeld(Identity identity) => quarantine.Find(identity.DeviceId) is not null;

    private async Task PlaceAsync(Identity identity, string reason, IPEndPoint peer)
    {
        await Task.Yield();
        try
        {
            await quarantine.PlaceAsync(new Actor(Name, "", Rights.None, "", peer.ToString()), identity.DeviceId, reason, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception refusal) when (refusal is HubException or IOException or ObjectDisposedException)
        {
            // Nobody waits for the answer: it is said here, and the next suspicion tries again.
            log.CloneNotQuarantined(refusal, identity.ToString());
        }
    }

    /// <summary>Guarded by the gate.</summary>
    private sealed class Watched(Identity identity)
    {
        public Identity Identity { get; } = identity;

        public List<IPAddress> Addresses { get; } = new(2);

        public Queue<DateTimeOffset> Returns { get; } = new();

        public DateTimeOffset LastReported { get; set; } = DateTimeOffset.MinValue;

        /// <summary>Remembers the address; says whether it was known.</summary>
        public bool Has(IPAddress address)
        {
            if (Addresses.Contains(address))
                return true;

            if (Addresses.Count == MaxAddresses)
                Addresses.RemoveAt(0);
            Addresses.Add(address);
            return false;
        }
    }
}

internal static partial class PhysicalMessages
{
    [LoggerMessage(2501, LogLevel.Warning, "{Identity} may have been copied: its credential was used in turn from {Addresses}, {Returns} returns within {Window}.")]
    public static partial void CloneSuspected(this ILogger log, string identity, string addresses, int returns, TimeSpan window);

    [LoggerMessage(2502, LogLevel.Error, "{Identity} may have been copied, and could not be put into quarantine.")]
    public static partial void CloneNotQuarantined(this ILogger log, Exception reason, string identity);
}
