namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>
/// The deliveries of a session that wait for the peer's outcome: a ring indexed by delivery id, so that a range costs what it settles and a
/// range of four billion costs nothing. Used under the lock of its connection; holds nothing until the first one.
/// </summary>
/// <param name="bound">How far the newest may be ahead of the oldest.</param>
internal sealed class OutgoingDeliveries(int bound)
{
    private const int SmallestRing = 16;
    private Entry[] _ring = [];
    private uint _oldest;
    private int _span;

    public bool HasRoomFor(uint id) => _span == 0 || id - _oldest < (uint)bound; // [AMQP-2.8.8]

    public void Add(uint id, AmqpSender link, object? context)
    {
        if (_span == 0)
            _oldest = id;

        // Settled ones need no entry, so ids may be passed over.
        var span = (int)(id - _oldest) + 1;
        if (span > _ring.Length)
            Grow(span);
        _span = span;
        _ring[id & (uint)(_ring.Length - 1)] = new Entry(link, context);
    }

    /// <summary>Takes the next delivery of a range that still waits.</summary>
    /// <param name="first">Moved behind it.</param>
    public bool TryTake(ref uint first, uint last, bool settle, out uint id, out AmqpSender link, out object? context)
    {
        var begin = (int)(first - _oldest) < 0 ? _oldest : first;
        var newest = _oldest + (uint)_span - 1;
        var end = (int)(last - newest) > 0 ? newest : last;
        for (id = begin; _span > 0 && (int)(end - id) >= 0; id++)
        {
            ref var entry = ref _ring[id & (uint)(_ring.Length - 1)];
            if (entry.Link is null)
                continue;

            first = id + 1;
            (link, context) = (entry.Link, entry.Context);
            if (settle)
            {
                entry = default;
                Shrink();
            }

            return true;
        }

        link = null!;
        context = null;
        return false;
    }

    /// <summary>The link is gone: nobody will tell what became of its deliveries.</summary>
    public void Forget(AmqpSender link)
    {
        for (var i = 0; i < _ring.Length; i++)
        {
            if (_ring[i].Link == link)
                _ring[i] = default;
        }

        Shrink();
    }

    /// <summary>The link has settled a range; other links' deliveries in it stay.</summary>
    public void Forget(AmqpSender link, uint first, uint last)
    {
        while (TryTake(ref first, last, settle: false, out var id, out var owner, out _))
        {
            if (owner == link)
                _ring[id & (uint)(_ring.Length - 1)] = default;
        }

        Shrink();
    }

    private void Shrink()
    {
        while (_span > 0 && _ring[_oldest & (uint)(_ring.Length - 1)].Link is null)
        {
            _oldest++;
            _span--;
        }
    }

    private void Grow(int needed)
    {
        var length = Math.Max(SmallestRing, _ring.Length);
        while (length < needed)
            length *= 2;

        var larger = new Entry[length];
        for (var i = 0; i < _span; i++)
            larger[(_oldest + i) & (uint)(length - 1)] = _ring[(_oldest + i) & (uint)(_ring.Length - 1)];
        _ring = larger;
    }

    private readonly record struct Entry(AmqpSender? Link, object? Context);
}
