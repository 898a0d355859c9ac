using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Queries;

/// <summary>
/// Where the next page of a query begins. Opaque to who carries it: base64url of a byte 2 (the format), the rows that TOP leaves (64 bits, −1 for no TOP), two texts
/// (16 bits of length, UTF-8), and the first 8 bytes of SHA-256 over the query's text and what stands before. No secret: it only says from where on to look, among the rows
/// that its bearer may see.
/// </summary>
/// <param name="After">A device's id; of groups the order of the last one; of the rows of jobs a job's number, a slash and a device's id.</param>
/// <param name="ModuleId">Empty for devices and groups.</param>
/// <param name="Left">Null: the query has no TOP.</param>
internal sealed record QueryContinuation(string After, string ModuleId, long? Left)
{
    public const int MaxLength = 2048;

    private const byte Format = 2;
    private const int DigestBytes = 8;

    public string Encode(string query)
    {
        var bytes = new ArrayBufferWriter<byte>(128);
        bytes.Write([Format]);
        BinaryPrimitives.WriteInt64BigEndian(bytes.GetSpan(sizeof(long)), Left ?? -1);
        bytes.Advance(sizeof(long));
        foreach (var text in (ReadOnlySpan<string>)[After, ModuleId])
        {
            var encoded = Encoding.UTF8.GetBytes(text);
            BinaryPrimitives.WriteUInt16BigEndian(bytes.GetSpan(sizeof(ushort)), (ushort)encoded.Length);
            bytes.Advance(sizeof(ushort));
            bytes.Write(encoded);
        }

        bytes.Write(Digest(query, bytes.WrittenSpan));
        return Base64Url.EncodeToString(bytes.WrittenSpan);
    }

    /// <exception cref="HubException">400: it is none, or was made for another query.</exception>
    public static QueryContinuation Read(string token, string query, bool ofTwins)
    {
        Span<byte> buffer = stackalloc byte[MaxLength];
        if (token.Length > MaxLength || Base64Url.DecodeFromChars(token, buffer, out _, out var length) is not OperationStatus.Done || length < 1 + sizeof(long) + DigestBytes)
            throw Wrong();

        ReadOnlySpan<byte> bytes = buffer[..length];
        var body = bytes[..^DigestBytes];
        if (body[0] != Format || !Digest(query, body).SequenceEqual(bytes[^DigestBytes..]))
            throw Wrong();

        var left = BinaryPrimitives.ReadInt64BigEndian(body[1..]);
        var rest = body[(1 + sizeof(long))..];
        var (after, module) = (Text(ref rest), Text(ref rest));
        if (!rest.IsEmpty || left < -1 || (ofTwins && !Identity.TryCreate(after, module.Length == 0 ? null : module, out _)))
            throw Wrong();
        return new QueryContinuation(after, module, left < 0 ? null : left);
    }

    private static string Text(ref ReadOnlySpan<byte> rest)
    {
        if (!BinaryPrimitives.TryReadUInt16BigEndian(rest, out var length) || rest.Length < sizeof(ushort) + length)
            throw Wrong();

        var text = Encoding.UTF8.GetString(rest.Slice(sizeof(ushort), length));
        rest = rest[(sizeof(ushort) + length)..];
        return text;
    }

    private static ReadOnlySpan<byte> Digest(string query, ReadOnlySpan<byte> body)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(body);
        hash.AppendData(Encoding.UTF8.GetBytes(query));
        return hash.GetHashAndReset().AsSpan(0, DigestBytes);
    }

    private static HubException Wrong() =>
        new(HubErrors.ArgumentInvalid, "x-ms-continuation: is not what a page of this query gave; send the query without it to begin anew");
}
