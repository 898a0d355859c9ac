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

/// <summary>The keys of a data directory: the first seals, all of them open. Immutable.</summary>
public sealed class KeyRing
{
    /// <param name="keys">Newest first; at least one.</param>
    /// <exception cref="ArgumentException">No key, or one twice.</exception>
    public KeyRing(params IReadOnlyList<MasterKey> keys)
    {
        if (keys.Count == 0 || keys.Select(key => key.Id).Distinct().Count() != keys.Count)
            throw new ArgumentException("a key ring holds at least one key, and none twice", nameof(keys));

        Keys = [.. keys];
    }

    /// <summary>Newest first.</summary>
    public IReadOnlyList<MasterKey> Keys { get; }

    public MasterKey Current => Keys[0];

    /// <summary>What was never re-encrypted (the log's MAC chain) keeps the key that it began with.</summary>
    public MasterKey Oldest => Keys[^1];
}
