namespace Sallyport.Hub.Diagnosis;

/// <summary>The last attempts of somebody, the oldest overwritten. Not thread-safe: <see cref="Attempts"/> guards it.</summary>
/// <param name="capacity">At the bound the oldest makes room.</param>
internal sealed class AttemptRing(string subject, int capacity)
{
    private const int FirstSlots = 4;

    // Objects and array slots that every attempt costs, measured; its texts come on top.
    private const int AttemptBytes = 320;
    private const int RingBytes = 300;

    private Attempt[] _slots = new Attempt[Math.Min(FirstSlots, capacity)];
    private int _oldest;

    public string Subject { get; } = subject;

    /// <summary>Lines, a row of repeats being one.</summary>
    public int Count { get; private set; }

    /// <summary>About what it costs, in bytes of memory.</summary>
    public int Bytes { get; private set; } = RingBytes + (2 * subject.Length);

    public void Add(Attempt attempt, DateTimeOffset now)
    {
        if (Count > 0)
        {
            ref var newest = ref _slots[(_oldest + Count - 1) % _slots.Length];
            if (attempt.Repeats(newest))
            {
                newest = newest with { Peer = attempt.Peer, TakenOverBy = attempt.TakenOverBy, ClockSkew = attempt.ClockSkew, Count = newest.Count + 1, Last = now };
                return;
            }

            // One text in memory for what comes again and again.
            if (attempt.Certificates == newest.Certificates)
                attempt = attempt with { Certificates = newest.Certificates };
            if (attempt.Fingerprint == newest.Fingerprint)
                attempt = attempt with { Fingerprint = newest.Fingerprint };
        }

        if (Count == _slots.Length && Count < capacity)
            Grow();
        if (Count == capacity)
        {
            Bytes -= CostOf(_slots[_oldest]);
            _oldest = (_oldest + 1) % _slots.Length;
            Count--;
        }

        _slots[(_oldest + Count) % _slots.Length] = attempt with { First = now, Last = now };
        Count++;
        Bytes += CostOf(attempt);
    }

    /// <summary>The newest first.</summary>
    public IEnumerable<Attempt> NewestFirst()
    {
        for (var i = Count - 1; i >= 0; i--)
            yield return _slots[(_oldest + i) % _slots.Length];
    }

    private void Grow()
    {
        var slots = new Attempt[Math.Min(2 * _slots.Length, capacity)];
        for (var i = 0; i < Count; i++)
            slots[i] = _slots[(_oldest + i) % _slots.Length];
        (_slots, _oldest) = (slots, 0);
    }

    private static int CostOf(Attempt attempt) =>
        AttemptBytes + (2 * (attempt.Reason.Length + attempt.Certificates.Length + attempt.Fingerprint.Length));
}
