using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Security.Cryptography;

namespace Sallyport.Protocol.Sas;

/// <summary>
/// The SHA-256 of the decoded signature of a token: names exactly one token in log, audit and diagnosis, and cannot be used as one.
/// No secret. Immutable.
/// </summary>
public readonly record struct TokenFingerprint(ulong First, ulong Second, ulong Third, ulong Fourth)
{
    /// <summary>Hex digits of the text.</summary>
    public const int TextLength = 2 * SHA256.HashSizeInBytes;

    /// <param name="mac">Decoded.</param>
    internal static TokenFingerprint Of(ReadOnlySpan<byte> mac)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(mac, hash);
        return Read(hash);
    }

    /// <summary>Reads 64 hex digits of either case.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out TokenFingerprint fingerprint)
    {
        fingerprint = default;
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        if (text?.Length != TextLength || Convert.FromHexString(text, hash, out _, out _) != OperationStatus.Done)
            return false;

        fingerprint = Read(hash);
        return true;
    }

    /// <summary>64 lower-case hex digits.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{First:x16}{Second:x16}{Third:x16}{Fourth:x16}");

    private static TokenFingerprint Read(ReadOnlySpan<byte> hash) => new(
        BinaryPrimitives.ReadUInt64BigEndian(hash),
        BinaryPrimitives.ReadUInt64BigEndian(hash[8..]),
        BinaryPrimitives.ReadUInt64BigEndian(hash[16..]),
        BinaryPrimitives.ReadUInt64BigEndian(hash[24..]));
}
