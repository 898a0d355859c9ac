using System.Buffers;
using System.Buffers.Text;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>The two decoded keys of an identity or policy; either signs. Never printed.</summary>
internal sealed class KeyPair
{
    private const int MaxLength = 64;
    private const int MaxTextLength = (MaxLength + 2) / 3 * 4;

    private readonly byte[] _primary;
    private readonly byte[] _secondary;

    // Which one signed last: it is tried first, so that whoever stays with the secondary key pays for one MAC as well. Any thread's word counts.
    private volatile bool _isSecondaryInUse;

    private KeyPair(byte[] primary, byte[] secondary)
    {
        _primary = primary;
        _secondary = secondary;
    }

    /// <summary>
    /// Keys that nobody has. What is unknown is checked against them, so that a wrong signature takes as long to compute for
    /// a device or policy that does not exist as for one that does.
    /// </summary>
    public static KeyPair Decoy { get; } = new(RandomNumberGenerator.GetBytes(32), RandomNumberGenerator.GetBytes(32));

    /// <summary>The same without the secondary key.</summary>
    public KeyPair OnlyPrimary => new(_primary, []);

    /// <summary>The same without the primary key.</summary>
    public KeyPair OnlySecondary => new([], _secondary);

    /// <summary>Decodes base64 keys; null stays none.</summary>
    public static KeyPair Of(string? primary, string? secondary) => new(Decode(primary), Decode(secondary));

    /// <summary>A new random key of 32 bytes, in base64.</summary>
    public static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    /// <summary>Tells keys apart and cannot be used as one: 64 hex digits.</summary>
    public static string DigestOf(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));

    /// <summary>Whether the text is the canonical base64 of 16 to 64 bytes: two texts must never be one key.</summary>
    public static bool IsKey(string base64)
    {
        Span<byte> key = stackalloc byte[MaxLength];
        return Convert.TryFromBase64String(base64, key, out var length) && length >= 16 && Convert.ToBase64String(key[..length]) == base64;
    }

    /// <summary>
    /// Whether one of the two signed the token, read in the one way that its kind demands (<see cref="SharedAccessSignature.IsForEventHubs"/>).
    /// Allocates nothing; compares in constant time.
    /// </summary>
    public bool HasSigned(in SharedAccessSignature token) => HasSigned(token, asText: token.IsForEventHubs);

    /// <param name="asText">The keys are the bytes of their base64, not what that decodes to.</param>
    public bool HasSigned(in SharedAccessSignature token, bool asText)
    {
        if (!asText)
            return HasSigned(token, _primary, _secondary);

        // The base64 of a key is canonical (IsKey), so this is the text that clients have.
        Span<byte> primary = stackalloc byte[MaxTextLength], secondary = stackalloc byte[MaxTextLength];
        var isSigned = HasSigned(token, TextOf(_primary, primary), TextOf(_secondary, secondary));
        CryptographicOperations.ZeroMemory(primary);
        CryptographicOperations.ZeroMemory(secondary);
        return isSigned;
    }

    /// <summary>Whether the text is one of the two keys, as it stands in a connection string. Compares in constant time.</summary>
    public bool Has(ReadOnlySpan<char> text)
    {
        Span<byte> shown = stackalloc byte[MaxTextLength], primary = stackalloc byte[MaxTextLength], secondary = stackalloc byte[MaxTextLength];
        if (Ascii.FromUtf16(text, shown, out var length) is not OperationStatus.Done || length == 0)
            return false;

        var has = CryptographicOperations.FixedTimeEquals(shown[..length], TextOf(_primary, primary))
            | CryptographicOperations.FixedTimeEquals(shown[..length], TextOf(_secondary, secondary));
        CryptographicOperations.ZeroMemory(shown);
        CryptographicOperations.ZeroMemory(primary);
        CryptographicOperations.ZeroMemory(secondary);
        return has;
    }

    /// <summary>Whether two keys or thumbprints are the same text, in a time that does not tell where they differ.</summary>
    public static bool AreSame(string? one, string? other) =>
        one is not null && other is not null && CryptographicOperations.FixedTimeEquals(MemoryMarshal.AsBytes(one.AsSpan()), MemoryMarshal.AsBytes(other.AsSpan()));

    public override string ToString() => "keys";

    private bool HasSigned(in SharedAccessSignature token, ReadOnlySpan<byte> primary, ReadOnlySpan<byte> secondary)
    {
        var secondaryFirst = _isSecondaryInUse;
        var isSigned = secondaryFirst ? token.IsSignedWith(secondary, primary, out var isFirst) : token.IsSignedWith(primary, secondary, out isFirst);
        if (isSigned && !isFirst)
            _isSecondaryInUse = !secondaryFirst;
        return isSigned;
    }

    private static ReadOnlySpan<byte> TextOf(ReadOnlySpan<byte> key, Span<byte> text) =>
        Base64.EncodeToUtf8(key, text, out _, out var length) is OperationStatus.Done ? text[..length] : default;

    private static byte[] Decode(string? key) => key is null ? [] : Convert.FromBase64String(key);
}
