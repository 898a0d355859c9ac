using System.Net;

namespace Sallyport.Hub.Diagnosis;

/// <summary>
/// What happened to whoever tried to connect: the last <see cref="MaxPerSubject"/> lines of each device, module and policy that exists,
/// and one pool of <see cref="MaxOfStrangers"/> lines for names that do not exist, so that inventing names drives nobody's history out.
/// In memory only; the audit trail is what lasts. Thread-safe; noting costs a lookup and a short lock, and waits for nothing.
/// </summary>
/// <remarks>
/// At <see cref="MaxLines"/> lines or <see cref="MaxBytes"/> the history of whom nothing was heard for the longest time is forgotten.
/// </remarks>
/// <param name="exists">Whether the subject of an attempt is a registered identity or a policy; asked only of whom there is no history.</param>
public sealed class Attempts(Func<string, bool> exists, TimeProvider time)
{
    /// <summary>Lines of one device, module or policy.</summary>
    public const int MaxPerSubject = 50;

    /// <summary>Lines of all names together that do not exist.</summary>
    public const int MaxOfStrangers = 1000;

    /// <summary>Lines in all.</summary>
    public const int MaxLines = 50_000;

    /// <summary>About so many bytes of memory in all.</summary>
    public const int MaxBytes = 48 * 1024 * 1024;

    /// <summary>So many take-overs between the same two addresses within <see cref="DuelWindow"/> are a duel.</summary>
    public const int DuelTakeOvers = 3;

    public static readonly TimeSpan DuelWindow = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();

    // Guarded by _gate. In _byAge the subject noted last is first.
    private readonly Dictionary<string, LinkedListNode<AttemptRing>> _bySubject = new(StringComparer.Ordinal);
    private readonly LinkedList<AttemptRing> _byAge = [];
    private readonly AttemptRing _strangers = new("", MaxOfStrangers);
    private int _lines;
    private long _bytes;

    /// <summary>Lines that are remembered of subjects that exist.</summary>
    public int Lines
    {
        get
        {
            lock (_gate)
                return _lines;
        }
    }

    /// <summary>
    /// Remembers an attempt. To be called where it is decided whether somebody is let in, and where a link ends; from any thread.
    /// </summary>
    public void Note(Attempt attempt)
    {
        attempt = Cut(attempt);
        var now = time.GetUtcNow();
        lock (_gate)
        {
            if (_bySubject.TryGetValue(attempt.Subject, out var node))
            {
                Add(node, attempt, now);
                return;
            }
        }

        // May read the store: not under the lock.
        var isKnown = attempt.Subject.Length > 0 && exists(attempt.Subject);
        lock (_gate)
        {
            if (!isKnown)
            {
                _strangers.Add(attempt, now);
                return;
            }

            if (!_bySubject.TryGetValue(attempt.Subject, out var node))
            {
                node = new LinkedListNode<AttemptRing>(new AttemptRing(attempt.Subject, MaxPerSubject));
                _bySubject.Add(attempt.Subject, node);
                _byAge.AddFirst(node);
                _bytes += node.Value.Bytes;
            }

            Add(node, attempt, now);
        }
    }

    /// <summary>What happened to a device, module or policy, the newest first; of a name that does not exist, what strangers tried under it.</summary>
    public IReadOnlyList<Attempt> Of(string subject)
    {
        lock (_gate)
        {
            return _bySubject.TryGetValue(subject, out var node)
                ? [.. node.Value.NewestFirst()]
                : [.. _strangers.NewestFirst().Where(attempt => attempt.Subject == subject).Take(MaxPerSubject)];
        }
    }

    /// <summary>What was tried with a credential whose fingerprint starts so, in no order.</summary>
    public IReadOnlyList<Attempt> WithFingerprint(string start)
    {
        lock (_gate)
        {
            return [.. _byAge.Append(_strangers).SelectMany(ring => ring.NewestFirst())
                .Where(attempt => attempt.Fingerprint.StartsWith(start, StringComparison.Ordinal)).Take(MaxPerSubject)];
        }
    }

    /// <summary>What was tried under names that do not exist, the newest first.</summary>
    public IReadOnlyList<Attempt> OfStrangers()
    {
        lock (_gate)
            return [.. _strangers.NewestFirst()];
    }

    /// <summary>Who keeps taking the identity from whom, out of <paramref name="attempts"/>.</summary>
    /// <param name="attempts">The newest first, as <see cref="Of"/> gives them.</param>
    public static IReadOnlyList<Duel> DuelsIn(IReadOnlyList<Attempt> attempts) =>
        [.. attempts
            .Where(attempt => attempt is { Outcome: AttemptOutcome.TakenOver, Peer.Address: not null, TakenOverBy: not null })
            .GroupBy(attempt => Pair(attempt.Peer.Address!.Address, attempt.TakenOverBy!.Address))
            .Where(between => IsDuel([.. between]))
            .Select(between => new Duel(
                between.Key.One, between.Key.Other, between.Sum(one => one.Count), between.Min(one => one.First), between.Max(one => one.Last)))];

    private static bool IsDuel(IReadOnlyList<Attempt> newestFirst)
    {
        for (var from = 0; from < newestFirst.Count; from++)
        {
            long takeOvers = 0;
            for (var to = from; to < newestFirst.Count && newestFirst[from].Last - newestFirst[to].First <= DuelWindow; to++)
            {
                takeOvers += newestFirst[to].Count;
                if (takeOvers >= DuelTakeOvers)
                    return true;
            }
        }

        return false;
    }

    // The same key whoever of the two came first.
    private static (IPAddress One, IPAddress Other) Pair(IPAddress a, IPAddress b) =>
        a.GetAddressBytes().AsSpan().SequenceCompareTo(b.GetAddressBytes()) <= 0 ? (a, b) : (b, a);

    private void Add(LinkedListNode<AttemptRing> node, Attempt attempt, DateTimeOffset now)
    {
        var ring = node.Value;
        var (lines, bytes) = (ring.Count, ring.Bytes);
        ring.Add(attempt with { Subject = ring.Subject }, now);
        _lines += ring.Count - lines;
        _bytes += ring.Bytes - bytes;
        if (node.Previous is not null)
        {
            _byAge.Remove(node);
            _byAge.AddFirst(node);
        }

        while ((_lines > MaxLines - MaxOfStrangers || _bytes > MaxBytes) && _byAge.Last is { } oldest && oldest != node)
        {
            _byAge.Remove(oldest);
            _bySubject.Remove(oldest.Value.Subject);
            _lines -= oldest.Value.Count;
            _bytes -= oldest.Value.Bytes;
        }
    }

    private static Attempt Cut(Attempt attempt) =>
        attempt.Reason.Length <= Attempt.MaxReasonLength && attempt.Certificates.Length <= Attempt.MaxCertificatesLength
            ? attempt
            : attempt with
            {
                Reason = attempt.Reason[..Math.Min(attempt.Reason.Length, Attempt.MaxReasonLength)],
                Certificates = attempt.Certificates[..Math.Min(attempt.Certificates.Length, Attempt.MaxCertificatesLength)],
            };
}
