using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Sallyport.Hub.Access;

/// <summary>The two decoded keys of an identity or policy; either signs. Never printed.</summary>
internal sealed class KeyPair
{
    private readonly byte[] _primary;
    private readonly byte[] _secondary;

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

    public ReadOnlySpan<byte> Primary => _primary;

    public ReadOnlySpan<byte> Secondary => _secondary;

    /// <summary>Decodes base64 keys; null stays none.</summary>
    public static KeyPair Of(string? primary, string? secondary) => new(Decode(primary), Decode(secondary));

    /// <summary>A new random key of 32 bytes, in base64.</summary>
    public static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    /// <summary>Whether the text is the canonical base64 of 16 to 64 bytes: two texts must never be one key.</summary>
    public static bool IsKey(string base64)
    {
        Span<byte> key = stackalloc byte[64];
        return Convert.TryFromBase64String(base64, key, out var length) && length >= 16 && Convert.ToBase64String(key[..length]) == base64;
    }

    /// <summary>Whether two keys or thumbprints are the same text, in a time that does not tell where they differ.</summary>
    public static bool AreSame(string? one, string? other) =>
        one is not null && other is not null && CryptographicOperations.FixedTimeEquals(MemoryMarshal.AsBytes(one.AsSpan()), MemoryMarshal.AsBytes(other.AsSpan()));

    public override string ToString() => "keys";

    private static byte[] Decode(string? key) => key is null ? [] : Convert.FromBase64String(key);
}
