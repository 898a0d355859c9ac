using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Storage.Secrets;

/// <summary>
/// 32 random bytes from which every key at rest is derived (HKDF-SHA256, RFC 5869). Immutable, thread-safe. Never printed;
/// its <see cref="Id"/> may be.
/// </summary>
public sealed class MasterKey
{
    public const int Length = 32;

    private readonly byte[] _key;

    /// <exception cref="ArgumentException">Not <see cref="Length"/> bytes.</exception>
    public MasterKey(ReadOnlySpan<byte> key)
    {
        if (key.Length != Length)
            throw new ArgumentException($"a master key has {Length} bytes", nameof(key));

        _key = key.ToArray();
        Id = Convert.ToHexStringLower(Derive("key-id", 8));
    }

    /// <summary>16 hex digits that tell keys apart and give nothing away.</summary>
    public string Id { get; }

    public static MasterKey Random() => new(RandomNumberGenerator.GetBytes(Length));

    /// <summary>The key for one purpose, for example <c>metadata-secrets</c> or <c>log-mac</c>. Names are frozen: what is stored depends on them.</summary>
    /// <param name="length">In bytes, 1 to 8160.</param>
    public byte[] Derive(string purpose, int length = 32) =>
        HKDF.DeriveKey(HashAlgorithmName.SHA256, _key, length, info: Encoding.UTF8.GetBytes("sallyport/" + purpose));

    /// <summary>For the one who writes the key file.</summary>
    internal string ToBase64() => Convert.ToBase64String(_key);

    public override string ToString() => $"key {Id}";
}

/// <summary>The keys of a data directory: the first seals, all of them open; and what is left of keys that were taken out. Immutable.</summary>
public sealed class KeyRing
{
    private const string LogMacPurpose = "log-mac";
    private const string AuditMacPurpose = "audit-mac";

    /// <param name="keys">Newest first; at least one.</param>
    /// <exception cref="ArgumentException">No key, or one twice.</exception>
    public KeyRing(params IReadOnlyList<MasterKey> keys)
        : this(keys, RetiredKeys.None)
    {
    }

    /// <inheritdoc cref="KeyRing(IReadOnlyList{MasterKey})"/>
    /// <param name="retired">What goes on being signed with, or checked by, keys that are here no more.</param>
    internal KeyRing(IReadOnlyList<MasterKey> keys, RetiredKeys retired)
    {
        Retired = retired;
        if (keys.Count == 0 || keys.Select(key => key.Id).Distinct().Count() != keys.Count)
            throw new ArgumentException("a key ring holds at least one key, and none twice", nameof(keys));

        Keys = [.. keys];
    }

    /// <summary>Newest first.</summary>
    public IReadOnlyList<MasterKey> Keys { get; }

    public MasterKey Current => Keys[0];

    public MasterKey Oldest => Keys[^1];

    internal RetiredKeys Retired { get; }

    /// <summary>The key of the event log's MAC chain: the log is never rewritten, so it keeps the one that it began with.</summary>
    public byte[] LogMacKey() => Retired.LogMac?.ToArray() ?? Oldest.Derive(LogMacPurpose);

    /// <summary>The key that signs, or once signed, files of the audit trail under that master key; null when it is not here.</summary>
    public byte[]? AuditMacKey(string keyId) =>
        Keys.FirstOrDefault(key => key.Id == keyId)?.Derive(AuditMacPurpose) ?? Retired.AuditMacs.GetValueOrDefault(keyId)?.ToArray();

    /// <summary>The same ring with a key in front.</summary>
    internal KeyRing With(MasterKey newest) => new([newest, .. Keys], Retired);

    /// <summary>What must be kept of all keys but the newest when they are taken out.</summary>
    internal RetiredKeys Retire() => new(
        LogMacKey(), Retired.AuditMacs.Concat(Keys.Skip(1).Select(key => KeyValuePair.Create(key.Id, key.Derive(AuditMacPurpose)))).DistinctBy(key => key.Key).ToDictionary());
}
