namespace Sallyport.Storage.EventLog;

/// <summary>
/// The last idempotency ids, so that what an outbox relay appends again after a crash is dropped. It keeps
/// <see cref="Capacity"/> of them: far more than a relay has on the way at once; the oldest is forgotten first.
/// </summary>
internal sealed class RecentIds
{
    public const int Capacity = 65_536;

    private readonly HashSet<Guid> _ids = [];
    private readonly Queue<Guid> _order = [];

    public bool Contains(Guid id) => _ids.Contains(id);

    /// <summary>False when it was there already.</summary>
    public bool Add(Guid id)
    {
        if (!_ids.Add(id))
            return false;

        _order.Enqueue(id);
        if (_order.Count > Capacity)
            _ids.Remove(_order.Dequeue());
        return true;
    }
}
