using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// Which devices have the tags that rights and certificate authorities are limited to. What was found is remembered until the device's tags
/// change, so that whoever asks for each event or request reads no twin. Bounded: at the bound the half of the devices that was not asked for lately
/// is forgotten and read again when needed. Thread-safe.
/// </summary>
/// <remarks>Whoever changes tags calls <see cref="NoteChange"/>, and whoever makes or deletes a device <see cref="Forget"/>, once that is on disk and before its requester is answered.</remarks>
public sealed class KnownTags
{
    /// <summary>About 250 bytes each: 5 MB when full, whatever the number of registered devices.</summary>
    public const int DefaultCapacity = 20_000;

    /// <summary>Of one device; at the bound the answers for that device are forgotten.</summary>
    public const int MaxLimits = 16;

    private readonly IMetadata _metadata;
    private readonly int _halfCapacity;
    private readonly Lock _gate = new();

    // Devices are asked for in _young first; one that is found in _old moves there. When _young is full it becomes _old.
    private Dictionary<string, List<Answer>> _young = new(StringComparer.Ordinal);
    private Dictionary<string, List<Answer>> _old = new(StringComparer.Ordinal);

    // Grows with every Forget: what was read from the store before it is not remembered after it.
    private long _version;
    private volatile bool _isAsked;

    public KnownTags(IMetadata metadata, int capacity = DefaultCapacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 2);
        _metadata = metadata;
        _halfCapacity = capacity / 2;
    }

    /// <summary>Told of each device whose tags may have changed, once somebody was let in by its tags; on the thread of whoever changed them. Must not throw.</summary>
    public event Action<string>? Changed;

    /// <summary>How many devices are remembered now.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _young.Count + _old.Count;
        }
    }

    /// <summary>Forgets the device: it was made or deleted.</summary>
    public void Forget(string deviceId)
    {
        lock (_gate)
        {
            _version++;
            _young.Remove(deviceId);
            _old.Remove(deviceId);
        }
    }

    /// <summary>Forgets the device, and tells of it: its tags have changed.</summary>
    public void NoteChange(string deviceId)
    {
        Forget(deviceId);
        if (_isAsked)
            Changed?.Invoke(deviceId);
    }

    /// <summary>Whether a device is within the limit now; one that does not exist is not. Reads the store when that is not remembered.</summary>
    internal bool AreWithin(TagLimit limit, ReadOnlySpan<char> deviceId)
    {
        if (!_isAsked)
            _isAsked = true;
        long version;
        lock (_gate)
        {
            foreach (var answer in Recall(deviceId))
            {
                if (answer.Limit == limit.Text)
                    return answer.IsWithin;
            }

            version = _version;
        }

        var id = deviceId.ToString();
        var tags = _metadata.Read(tx => _metadata.Twins.FindTags(tx, id));
        var read = new Answer(limit.Text, tags is not null && limit.Allows(tags));
        lock (_gate)
        {
            if (_version == version)
                Remember(id, read);
        }

        return read.IsWithin;
    }

    private List<Answer> Recall(ReadOnlySpan<char> deviceId)
    {
        if (_young.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(deviceId, out var known))
            return known;
        if (!_old.GetAlternateLookup<ReadOnlySpan<char>>().Remove(deviceId, out var id, out known))
            return [];

        Keep(id, known);
        return known;
    }

    private void Remember(string deviceId, Answer answer)
    {
        var known = Recall(deviceId);
        if (known.Count is 0 or >= MaxLimits)
            Keep(deviceId, known = []);
        known.Add(answer);
    }

    private void Keep(string deviceId, List<Answer> answers)
    {
        if (_young.Count >= _halfCapacity && !_young.ContainsKey(deviceId))
            (_old, _young) = (_young, new Dictionary<string, List<Answer>>(StringComparer.Ordinal));
        _young[deviceId] = answers;
    }

    /// <param name="Limit">Its text.</param>
    private readonly record struct Answer(string Limit, bool IsWithin);
}
