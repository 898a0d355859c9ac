using System.Buffers;
using System.Security.Cryptography;

namespace Sallyport.Hub.Audit;

/// <summary>How a line's hash is made of the hash of the line before it and its own text. A mutant leaves the chain out.</summary>
internal delegate void LineHash(ReadOnlySpan<byte> previous, ReadOnlySpan<byte> body, Span<byte> hash);

/// <summary>
/// What ends each line of a file of version 2 (<c>docs/formats/audit.md</c>): <c>,"hash":"64 hex digits","mac":"32 hex digits"}</c>,
/// at fixed width, so that what is hashed is the bytes before it and never a second way to write the same JSON.
/// </summary>
internal readonly ref struct AuditSeal
{
    public const int HashLength = SHA256.HashSizeInBytes;
    public const int MacLength = 16;

    /// <summary>Of the seal, with the brace.</summary>
    public const int Length = 9 + (2 * HashLength) + 9 + (2 * MacLength) + 2;

    private AuditSeal(ReadOnlySpan<byte> body, byte[] hash, byte[] mac)
    {
        Body = body;
        Hash = hash;
        Mac = mac;
    }

    /// <summary>The line before its seal: without its last brace.</summary>
    public ReadOnlySpan<byte> Body { get; }

    public byte[] Hash { get; }

    public byte[] Mac { get; }

    private static ReadOnlySpan<byte> BeforeHash => ",\"hash\":\""u8;

    private static ReadOnlySpan<byte> BeforeMac => "\",\"mac\":\""u8;

    /// <summary>SHA-256 over the previous hash and the body: whoever has the file can follow it, without any key.</summary>
    public static void Chain(ReadOnlySpan<byte> previous, ReadOnlySpan<byte> body, Span<byte> hash)
    {
        using var sha = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        sha.AppendData(previous);
        sha.AppendData(body);
        sha.GetHashAndReset(hash);
    }

    /// <summary>Puts body, seal and end of line behind what is there.</summary>
    /// <param name="object">A whole JSON object; its last brace comes after the seal.</param>
    /// <returns>The hash, which is the previous one of the next line.</returns>
    public static byte[] Write(IBufferWriter<byte> lines, ReadOnlySpan<byte> @object, ReadOnlySpan<byte> previous, ReadOnlySpan<byte> key, LineHash chain)
    {
        var body = @object[..^1];
        var hash = new byte[HashLength];
        chain(previous, body, hash);
        Span<byte> mac = stackalloc byte[MacLength];
        AuditKeys.Sign(key, hash, body, mac);

        lines.Write(body);
        lines.Write(BeforeHash);
        WriteHex(lines, hash);
        lines.Write(BeforeMac);
        WriteHex(lines, mac);
        lines.Write("\"}\n"u8);
        return hash;
    }

    /// <param name="line">Without its end of line.</param>
    public static bool TryRead(ReadOnlySpan<byte> line, out AuditSeal seal)
    {
        seal = default;
        if (line.Length <= Length || line[0] != (byte)'{')
            return false;

        var rest = line[^Length..];
        var hash = new byte[HashLength];
        var mac = new byte[MacLength];
        if (!rest.StartsWith(BeforeHash) || !TryReadHex(rest.Slice(9, 2 * HashLength), hash)
            || !rest[(9 + (2 * HashLength))..].StartsWith(BeforeMac) || !TryReadHex(rest.Slice(18 + (2 * HashLength), 2 * MacLength), mac)
            || !rest.EndsWith("\"}"u8))
        {
            return false;
        }

        seal = new AuditSeal(line[..^Length], hash, mac);
        return true;
    }

    /// <summary>Whether the line follows the one with that hash.</summary>
    public bool Follows(ReadOnlySpan<byte> previous, LineHash chain)
    {
        Span<byte> hash = stackalloc byte[HashLength];
        chain(previous, Body, hash);
        return CryptographicOperations.FixedTimeEquals(hash, Hash);
    }

    /// <summary>Whether it was written by who holds the key.</summary>
    public bool IsSignedWith(ReadOnlySpan<byte> key)
    {
        Span<byte> mac = stackalloc byte[MacLength];
        AuditKeys.Sign(key, Hash, Body, mac);
        return CryptographicOperations.FixedTimeEquals(mac, Mac);
    }

    private static void WriteHex(IBufferWriter<byte> lines, ReadOnlySpan<byte> bytes)
    {
        var hex = lines.GetSpan(2 * bytes.Length);
        Convert.TryToHexStringLower(bytes, hex, out var written);
        lines.Advance(written);
    }

    // Lower case only: one line has one spelling.
    private static bool TryReadHex(ReadOnlySpan<byte> hex, Span<byte> bytes) =>
        hex.IndexOfAnyInRange((byte)'A', (byte)'F') < 0 && Convert.FromHexString(hex, bytes, out _, out var written) is OperationStatus.Done && written == bytes.Length;
}
