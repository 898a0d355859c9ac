using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>
/// What authentication needs of identities, in memory. Bounded: at the bound the half that was not asked for lately is forgotten
/// and read again when needed. Identities that do not exist are not remembered, so inventing names fills nothing.
/// Whoever changes an identity calls <see cref="Invalidate"/> after the change is on disk. Thread-safe.
/// </summary>
public sealed class IdentityCache
{
    /// <summary>About 300 bytes each: 6 MB when full, whatever the number of registered devices.</summary>
    public const int DefaultCapacity = 20_000;

    private readonly IMetadata _metadata;
    private readonly int _halfCapacity;
    private readonly Lock _gate = new();

    // Entries are asked for in _young first; one that is found in _old moves there. When _young is full it becomes _old.
    private Dictionary<Identity, IdentityCredentials> _young = [];
    private Dictionary<Identity, IdentityCredentials> _old = [];

    // Grows with every Invalidate: what was read from the store before it is not remembered after it.
    private long _version;

    public IdentityCache(IMetadata metadata, int capacity = DefaultCapacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 2);
        _metadata = metadata;
        _halfCapacity = capacity / 2;
    }

    /// <summary>How many identities are remembered now.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _young.Count + _old.Count;
        }
    }

    /// <summary>Forgets the identity. A device's modules need not be named: they are bound to its generation and ask for its status.</summary>
    public void Invalidate(Identity identity)
    {
        lock (_gate)
        {
            _version++;
            _young.Remove(identity);
            _old.Remove(identity);
        }
    }

    /// <summary>
    /// The identity's credentials as of now; null when it does not exist. A module's are disabled when its device is.
    /// Reads the store when they are not remembered.
    /// </summary>
    internal IdentityCredentials? Find(Identity identity)
    {
        if (!identity.IsModule)
            return Find(identity, deviceGenerationId: "");

        var device = Find(Identity.Of(identity.DeviceId), deviceGenerationId: "");
        if (device is null || Find(identity, device.GenerationId) is not { } module)
            return null;

        return device.Enabled ? module : module with { Enabled = false };
    }

    /// <summary>The device and, upwards, the edge devices that are its parent, its parent's parent, …; empty when it does not exist. Reads the store.</summary>
    internal IReadOnlyList<IdentityRecord> WithParents(string deviceId) => _metadata.Read(tx =>
    {
        var chain = new List<IdentityRecord>();
        for (var at = _metadata.Identities.Find(tx, deviceId, null); at is not null && chain.Count <= ParentRules.MaxDepth + 1; at = ParentRules.FindParent(_metadata, tx, at))
            chain.Add(at);
        return chain;
    });

    private IdentityCredentials? Find(Identity identity, string deviceGenerationId)
    {
        long version;
        lock (_gate)
        {
            if (TryRecall(identity, out var known) && known.DeviceGenerationId == deviceGenerationId)
                return known;

            version = _version;
        }

        var record = _metadata.Read(tx => _metadata.Identities.Find(tx, identity.DeviceId, identity.ModuleId));
        if (record is null)
            return null;

        var read = IdentityCredentials.Of(record, deviceGenerationId);
        lock (_gate)
        {
            if (_version == version)
                Remember(identity, read);
        }

        return read;
    }

    private bool TryRecall(Identity identity, out IdentityCredentials known)
    {
        if (_young.TryGetValue(identity, out known!))
            return true;
        if (!_old.Remove(identity, out known!))
            return false;

        Remember(identity, known);
        return true;
    }

    private void Remember(Identity identity, IdentityCredentials credentials)
    {
        _old.Remove(identity);
        if (_young.Count >= _halfCapacity && !_young.ContainsKey(identity))
            (_old, _young) = (_young, []);

        _young[identity] = credentials;
    }
}

/// <summary>What is remembered of an identity. Immutable; never printed.</summary>
/// <param name="DeviceGenerationId">Of the device that a module was read under: a module of a deleted namesake is told apart by it. Empty for devices.</param>
internal sealed record IdentityCredentials(
    string GenerationId, string DeviceGenerationId, bool Enabled, IdentityAuthentication Authentication, KeyPair Keys, Thumbprints Thumbprints)
{
    public static IdentityCredentials Of(IdentityRecord record, string deviceGenerationId) =>
        new(
            record.GenerationId, deviceGenerationId, record.Enabled, record.Authentication, KeyPair.Of(record.PrimaryKey, record.SecondaryKey),
            Thumbprints.Of(record.PrimaryThumbprint, record.SecondaryThumbprint));

    public override string ToString() => GenerationId;
}
