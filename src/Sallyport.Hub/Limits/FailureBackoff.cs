using System.Net;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Limits;

/// <summary>An address whose connections fail, as <c>limits show</c> tells of it.</summary>
/// <param name="RefusedFor">How much longer its connections are refused before TLS; zero: they are not.</param>
/// <param name="Refused">How many were, since it was first tracked.</param>
/// <param name="HasDevices">Somebody was let in from there lately, or is connected: it is never refused before TLS.</param>
public sealed record FailingAddress(IPAddress Address, double Failures, TimeSpan RefusedFor, long Refused, bool HasDevices);

/// <summary>
/// Remembers failing credentials by address and by (address, identity), never by identity alone: naming somebody else's device costs
/// only the one who names it. Thread-safe; every call costs one short lock and no allocation for an address that is known.
/// </summary>
/// <remarks>
/// A credential that is right is let in whatever failed before it: it is checked in any case. What backs off is an <em>address</em>,
/// from which nobody was let in and which fails again and again: its sockets are closed at accept. An address from which somebody was let
/// in (many devices behind one NAT) is never closed so; of its pairs, those that fail again and again lose their connection with each answer and their line in the log.
/// </remarks>
public sealed class FailureBackoff(BackoffOptions options, TimeProvider time)
{
    private const int MaxDescribed = 100;
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<IPAddress, Standing> _addresses = [];
    private readonly Dictionary<(IPAddress, Identity), Standing> _pairs = [];
    private readonly long _forgets = TicksOf(options.Forgets, time);
    private long _swept = long.MinValue;

    /// <summary>Told of each address whose sockets are closed from now on for a while. Must not block.</summary>
    public event Action<IPAddress>? BackedOff;

    /// <summary>Asked for each accepted socket, before anything is read of it.</summary>
    /// <returns>True: close it; it is counted.</returns>
    public bool IsRefused(IPAddress address)
    {
        var source = PeerSource.Of(address);
        lock (_gate)
        {
            if (!_addresses.TryGetValue(source, out var standing) || standing.Level == 0 || IsTrusted(standing))
                return false;

            if (standing.Until <= Now)
            {
                if (IsAtRest(standing))
                    return false;

                // One is let on to show what it has; the others wait for what becomes of it.
                (standing.IsProbed, standing.Until) = (true, Now + TicksOf(options.First, time));
                return false;
            }

            standing.Refused++;
        }

        LimitsMeter.Refused("address back-off");
        return true;
    }

    /// <summary>Somebody behind the address was let in, and stays until <see cref="Left"/>.</summary>
    public void Admitted(IPAddress address)
    {
        lock (_gate)
        {
            if (Track(_addresses, PeerSource.Of(address)) is not { } standing)
                return;

            standing.Connected++;
            standing.TrustedUntil = Now + TicksOf(options.Trust, time);
            (standing.Until, standing.Level, standing.IsProbed) = (0, 0, false);
        }
    }

    /// <summary>Who was <see cref="Admitted"/> is gone.</summary>
    public void Left(IPAddress address)
    {
        lock (_gate)
        {
            if (_addresses.TryGetValue(PeerSource.Of(address), out var standing) && standing.Connected > 0)
                standing.Connected--;
        }
    }

    /// <summary>A connection from the address did not authenticate.</summary>
    /// <returns>How long its next ones are refused from now on; zero when they are not.</returns>
    public TimeSpan Failed(IPAddress address)
    {
        var source = PeerSource.Of(address);
        var delay = TimeSpan.Zero;
        lock (_gate)
        {
            if (Track(_addresses, source) is { } standing && Fail(standing) && !IsTrusted(standing))
                delay = BackOff(standing);
        }

        if (delay > TimeSpan.Zero)
            BackedOff?.Invoke(source);
        return delay;
    }

    /// <summary>A credential for the identity was refused.</summary>
    /// <returns>True when the pair fails again and again: cut its connection once it has its answer, and write no more about it than the count.</returns>
    public bool Failed(IPAddress address, Identity identity)
    {
        lock (_gate)
        {
            if (Track(_pairs, (PeerSource.Of(address), identity)) is not { } standing)
                return false;

            if (standing.Until > Now)
                return true;
            if (Fail(standing))
                BackOff(standing);
            return standing.Until > Now;
        }
    }

    /// <summary>Addresses whose credentials for the identity fail, the worst first.</summary>
    public IReadOnlyList<FailingAddress> Describe(Identity identity)
    {
        lock (_gate)
            return Describe(_pairs.Where(pair => pair.Key.Item2 == identity).Select(pair => KeyValuePair.Create(pair.Key.Item1, pair.Value)), MaxDescribed);
    }

    /// <summary>Addresses that fail, the worst first.</summary>
    public IReadOnlyList<FailingAddress> Describe(int top = MaxDescribed)
    {
        lock (_gate)
            return Describe(_addresses, top);
    }

    private List<FailingAddress> Describe(IEnumerable<KeyValuePair<IPAddress, Standing>> standings, int top) =>
        [.. standings.Where(pair => Score(pair.Value) > 0 || pair.Value.Until > Now)
            .Select(pair => new FailingAddress(pair.Key, Math.Round(Score(pair.Value), 1), RefusedFor(pair.Value), pair.Value.Refused, IsTrusted(pair.Value)))
            .OrderByDescending(failing => failing.RefusedFor).ThenByDescending(failing => failing.Failures).Take(top)];

    private long Now => time.GetTimestamp();

    // True when it has failed more often than is forgiven.
    private bool Fail(Standing standing)
    {
        var score = Score(standing);
        if (score <= 0)
            standing.Began = Now;
        (standing.Score, standing.At) = (score + 1, Now);

        // After a back-off one failure is enough.
        return standing.Level > 0
            ? standing.IsProbed || standing.Until <= Now
            : standing.Score >= options.Failures && Now - standing.Began >= TicksOf(options.Grace, time);
    }

    private TimeSpan BackOff(Standing standing)
    {
        var delay = TimeSpan.FromTicks(Math.Min(options.Longest.Ticks, options.First.Ticks << Math.Min(standing.Level, 20)));
        standing.Level++;
        standing.IsProbed = false;
        standing.Until = Now + TicksOf(delay, time);
        return delay;
    }

    private double Score(Standing standing) => Math.Max(0, standing.Score - ((Now - standing.At) / (double)_forgets));

    private TimeSpan RefusedFor(Standing standing) => standing.Until > Now ? time.GetElapsedTime(Now, standing.Until) : TimeSpan.Zero;

    private bool IsTrusted(Standing standing) => standing.Connected > 0 || standing.TrustedUntil > Now;

    // Quiet for as long as the longest back-off, with nobody connected: as if it had never been seen.
    private bool IsAtRest(Standing standing) =>
        !IsTrusted(standing) && Score(standing) <= 0 && Now - standing.Until >= TicksOf(options.Longest, time);

    private Standing? Track<TKey>(Dictionary<TKey, Standing> table, TKey key)
        where TKey : notnull
    {
        if (table.TryGetValue(key, out var known))
        {
            if (IsAtRest(known))
                known.Level = 0;
            return known;
        }

        if (table.Count >= options.MaxTracked)
            Sweep();
        if (table.Count >= options.MaxTracked)
            return null;

        var standing = new Standing();
        table.Add(key, standing);
        return standing;
    }

    private void Sweep()
    {
        if (_swept != long.MinValue && time.GetElapsedTime(_swept, Now) < SweepInterval)
            return;

        _swept = Now;
        foreach (var (key, standing) in _addresses)
        {
            if (IsAtRest(standing))
                _addresses.Remove(key);
        }

        foreach (var (key, standing) in _pairs)
        {
            if (IsAtRest(standing))
                _pairs.Remove(key);
        }
    }

    private static long TicksOf(TimeSpan span, TimeProvider time) => (long)(span.TotalSeconds * time.TimestampFrequency);

    // Owned by the table, under its lock. Times are timestamps of the clock.
    private sealed class Standing
    {
        public double Score;
        public long At;
        public long Began;
        public long Until;
        public int Level;
        public bool IsProbed;
        public long TrustedUntil;
        public int Connected;
        public long Refused;
    }
}
