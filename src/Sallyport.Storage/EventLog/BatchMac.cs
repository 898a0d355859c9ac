using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// AES-256-GMAC over batches under a key derived from the log's key and a salt. Every open of the log draws a new salt, so a
/// nonce (the batch number) never repeats under a key, whatever of the directory was rolled back, copied or cut off in between.
/// Not thread-safe.
/// </summary>
internal sealed class BatchMac : IDisposable
{
    public const int SaltLength = 16;

    private readonly AesGcm _gcm;
    private readonly byte[] _salt;

    public BatchMac(ReadOnlySpan<byte> logKey, ReadOnlySpan<byte> salt)
    {
        _salt = salt.ToArray();
        Span<byte> key = stackalloc byte[32];
        HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, key, salt, "sallyport segment log: batch"u8);
        _gcm = new AesGcm(key, BatchFormat.MacLength);
        CryptographicOperations.ZeroMemory(key);
    }

    public ReadOnlySpan<byte> Salt => _salt;

    public static BatchMac WithNewSalt(ReadOnlySpan<byte> logKey)
    {
        Span<byte> salt = stackalloc byte[SaltLength];
        RandomNumberGenerator.Fill(salt);
        return new BatchMac(logKey, salt);
    }

    public void Compute(ReadOnlySpan<byte> batch, Span<byte> mac)
    {
        Span<byte> nonce = stackalloc byte[12];
        nonce.Clear();
        BinaryPrimitives.WriteInt64LittleEndian(nonce, BatchFormat.Number(batch));
        _gcm.Encrypt(nonce, [], [], mac, batch[BatchFormat.MacedFrom..]);
    }

    public void Dispose() => _gcm.Dispose();
}

/// <summary>Checks MACs of batches of any open; remembers the last salt's key, as neighbours share it. Not thread-safe.</summary>
internal sealed class BatchMacCheck(byte[] logKey) : IDisposable
{
    private BatchMac? _mac;

    public bool Matches(ReadOnlySpan<byte> batch)
    {
        if (_mac is null || !_mac.Salt.SequenceEqual(BatchFormat.Salt(batch)))
        {
            _mac?.Dispose();
            _mac = new BatchMac(logKey, BatchFormat.Salt(batch));
        }

        Span<byte> mac = stackalloc byte[BatchFormat.MacLength];
        _mac.Compute(batch, mac);
        return CryptographicOperations.FixedTimeEquals(mac, BatchFormat.Mac(batch));
    }

    public void Dispose() => _mac?.Dispose();
}
