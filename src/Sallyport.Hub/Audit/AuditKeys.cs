using System.Collections.Concurrent;
using System.Security.Cryptography;
using Sallyport.Storage.Secrets;

namespace Sallyport.Hub.Audit;

/// <summary>
/// Whose trail it is and the keys that sign its lines, derived from the hub's master keys. Never printed. Thread-safe.
/// </summary>
/// <param name="hubId">The id of the data directory: a file of another hub is told apart by it.</param>
/// <param name="keys">The newest signs, all of them verify: a key that was rotated stays good for the files that it signed.</param>
public sealed class AuditKeys(string hubId, KeyRing keys)
{
    private volatile KeyRing _keys = keys;
    private readonly ConcurrentDictionary<string, byte[]> _derived = new();

    public string HubId { get; } = hubId;

    /// <summary>The id of the key that signs from now on.</summary>
    public string CurrentId => _keys.Current.Id;

    /// <summary>The key of that id; null when it is not here.</summary>
    internal byte[]? Find(string keyId)
    {
        if (_derived.TryGetValue(keyId, out var known))
            return known;

        return _keys.AuditMacKey(keyId) is { } key ? _derived.GetOrAdd(keyId, key) : null;
    }

    /// <summary>Signs with the newest of these keys from the next entry on, which begins a new file.</summary>
    public void Use(KeyRing keys) => _keys = keys;

    /// <summary>Signs a line: the first 16 bytes of HMAC-SHA256 over its hash and its text.</summary>
    internal static void Sign(ReadOnlySpan<byte> key, ReadOnlySpan<byte> hash, ReadOnlySpan<byte> body, Span<byte> mac)
    {
        using var signing = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, key);
        signing.AppendData(hash);
        signing.AppendData(body);
        Span<byte> whole = stackalloc byte[HMACSHA256.HashSizeInBytes];
        signing.GetHashAndReset(whole);
        whole[..AuditSeal.MacLength].CopyTo(mac);
    }
}
