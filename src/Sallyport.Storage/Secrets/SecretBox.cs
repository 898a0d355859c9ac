using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Sallyport.Storage.Secrets;

/// <summary>Where a secret is stored. It is bound to this place: moved elsewhere, it does not open.</summary>
/// <param name="Generation">Of the thing that owns the secret, so that the secret of a deleted namesake does not open.</param>
public readonly record struct SecretPlace(string Table, string Identity, string Column, string Generation);

/// <summary>A stored secret cannot be read: it was altered, moved from elsewhere, or sealed with a key that is not here. Names the place, never the secret.</summary>
public sealed class SecretUnreadableException : Exception
{
    internal SecretUnreadableException(SecretPlace place, string reason)
        : base($"The secret '{place.Column}' of '{place.Identity}' in table '{place.Table}' cannot be read: {reason}.") => Place = place;

    public SecretPlace Place { get; }
}

/// <summary>
/// Encrypts secrets at rest: AES-256-GCM with a random nonce, bound to the place of the secret as associated data.
/// The envelope's bytes are in <c>docs/formats/metadata.md</c>. Thread-safe.
/// </summary>
/// <remarks>
/// With random 96-bit nonces a key is good for 2^32 secrets (NIST SP 800-38D, 8.3): a hub that rewrites 100,000 identities every
/// day gets there in 58 years.
/// </remarks>
public sealed class SecretBox : IDisposable
{
    internal const byte EnvelopeVersion = 1;
    internal const int NonceAt = 1 + KeyIdLength;
    internal const int SecretAt = NonceAt + NonceLength;

    private const int KeyIdLength = 8;
    private const int NonceLength = 12;
    private const int TagLength = 16;
    private const int MarkLength = 16;

    private volatile Sealing _sealing;

    public SecretBox(KeyRing keys) => _sealing = new Sealing(keys, null);

    /// <summary>The id of the key that seals now, and that <see cref="Mark"/> uses. Marks of another key must be made anew.</summary>
    public string KeyId => _sealing.KeyId;

    /// <summary>Seals with the newest of these keys from now on. What earlier keys sealed opens until the process ends: a look that began before may still hold it.</summary>
    public void Use(KeyRing keys) => _sealing = new Sealing(keys, _sealing);

    /// <summary>
    /// A keyed hash (HMAC-SHA256, 16 bytes) by which the same secret is found again without being told: who has the database alone
    /// cannot try guesses against it. Equal marks are a hint; whoever acts on one compares the secrets.
    /// </summary>
    public byte[] Mark(string secret)
    {
        var plain = Encoding.UTF8.GetBytes(secret);
        var mark = HMACSHA256.HashData(_sealing.MarkKeys[0], plain)[..MarkLength];
        CryptographicOperations.ZeroMemory(plain);
        return mark;
    }

    /// <summary>What <see cref="Mark"/> says and said: by each key of the key file, the newest first, for as long as rows may be marked with any of them.</summary>
    public IReadOnlyList<byte[]> Marks(string secret)
    {
        var plain = Encoding.UTF8.GetBytes(secret);
        var marks = _sealing.MarkKeys.Select(key => HMACSHA256.HashData(key, plain)[..MarkLength]).ToList();
        CryptographicOperations.ZeroMemory(plain);
        return marks;
    }

    /// <summary>Encrypts with the newest key.</summary>
    public byte[] Seal(string secret, in SecretPlace place)
    {
        var plain = Encoding.UTF8.GetBytes(secret);
        var envelope = Seal(plain, place);
        CryptographicOperations.ZeroMemory(plain);
        return envelope;
    }

    /// <summary>The same secret sealed with the newest key; null when it is already.</summary>
    /// <exception cref="SecretUnreadableException">It was altered, moved, or its key is not here.</exception>
    public byte[]? Reseal(ReadOnlySpan<byte> envelope, in SecretPlace place)
    {
        if (envelope.Length >= NonceAt && envelope[0] == EnvelopeVersion && BinaryPrimitives.ReadUInt64BigEndian(envelope[1..]) == _sealing.Current)
            return null;

        var plain = OpenBytes(envelope, place);
        var again = Seal(plain, place);
        CryptographicOperations.ZeroMemory(plain);
        return again;
    }

    private byte[] Seal(byte[] plain, in SecretPlace place)
    {
        var sealing = _sealing;
        var length = plain.Length;
        var envelope = new byte[SecretAt + length + TagLength];
        envelope[0] = EnvelopeVersion;
        BinaryPrimitives.WriteUInt64BigEndian(envelope.AsSpan(1), sealing.Current);
        RandomNumberGenerator.Fill(envelope.AsSpan(NonceAt, NonceLength));
        var bound = AssociatedData(envelope.AsSpan(0, NonceAt), place);
        var cipher = sealing.Ciphers[sealing.Current];
        lock (cipher) // AesGcm may not be used by two threads at once; one use takes about a microsecond.
        {
            cipher.Encrypt(envelope.AsSpan(NonceAt, NonceLength), plain, envelope.AsSpan(SecretAt, length), envelope.AsSpan(SecretAt + length), bound);
        }

        return envelope;
    }

    /// <summary>Decrypts with whichever key sealed it.</summary>
    /// <exception cref="SecretUnreadableException">It was altered, moved, or its key is not here.</exception>
    public string Open(ReadOnlySpan<byte> envelope, in SecretPlace place)
    {
        var plain = OpenBytes(envelope, place);
        var secret = Encoding.UTF8.GetString(plain);
        CryptographicOperations.ZeroMemory(plain);
        return secret;
    }

    private byte[] OpenBytes(ReadOnlySpan<byte> envelope, in SecretPlace place)
    {
        if (envelope.Length < SecretAt + TagLength)
            throw new SecretUnreadableException(place, "the stored value is too short");
        if (envelope[0] != EnvelopeVersion)
            throw new SecretUnreadableException(place, $"its envelope has version {envelope[0]}, this program knows {EnvelopeVersion}");

        var number = BinaryPrimitives.ReadUInt64BigEndian(envelope[1..]);
        if (!_sealing.Ciphers.TryGetValue(number, out var cipher))
            throw new SecretUnreadableException(place, $"it was sealed with key {number:x16}, which the key file does not hold");

        var plain = new byte[envelope.Length - SecretAt - TagLength];
        var bound = AssociatedData(envelope[..NonceAt], place);
        try
        {
            lock (cipher)
            {
                cipher.Decrypt(envelope.Slice(NonceAt, NonceLength), envelope.Slice(SecretAt, plain.Length), envelope[^TagLength..], plain, bound);
            }
        }
        catch (AuthenticationTagMismatchException)
        {
            throw new SecretUnreadableException(place, "the stored value was altered or comes from elsewhere");
        }

        return plain;
    }

    public void Dispose()
    {
        foreach (var cipher in _sealing.Ciphers.Values)
            cipher.Dispose();
        foreach (var key in _sealing.MarkKeys)
            CryptographicOperations.ZeroMemory(key);
    }

    private static ulong NumberOf(MasterKey key) => Convert.ToUInt64(key.Id, 16);

    // Each part has its length before it: "ab"|"c" and "a"|"bc" are different places.
    private static byte[] AssociatedData(ReadOnlySpan<byte> head, in SecretPlace place)
    {
        string[] parts = [place.Table, place.Identity, place.Column, place.Generation];
        var bound = new byte[head.Length + parts.Sum(part => 4 + Encoding.UTF8.GetByteCount(part))];
        head.CopyTo(bound);
        var at = head.Length;
        foreach (var part in parts)
        {
            var length = Encoding.UTF8.GetBytes(part, bound.AsSpan(at + 4));
            BinaryPrimitives.WriteInt32BigEndian(bound.AsSpan(at), length);
            at += 4 + length;
        }

        return bound;
    }

    /// <summary>The keys in use. Replaced whole.</summary>
    private sealed class Sealing
    {
        public Sealing(KeyRing keys, Sealing? before)
        {
            KeyId = keys.Current.Id;
            Current = NumberOf(keys.Current);
            Ciphers = before is null ? [] : new(before.Ciphers);
            foreach (var key in keys.Keys.Where(key => !Ciphers.ContainsKey(NumberOf(key))))
                Ciphers.Add(NumberOf(key), new AesGcm(key.Derive("metadata-secrets"), TagLength));
            MarkKeys = [.. keys.Keys.Select(key => key.Derive("credential-mark"))];
        }

        public string KeyId { get; }

        public ulong Current { get; }

        public Dictionary<ulong, AesGcm> Ciphers { get; }

        /// <summary>Newest first.</summary>
        public IReadOnlyList<byte[]> MarkKeys { get; }
    }
}
