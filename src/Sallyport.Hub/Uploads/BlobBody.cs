using System.Security.Cryptography;

namespace Sallyport.Hub.Uploads;

/// <summary>A body that a client sends to the blob endpoint.</summary>
/// <param name="Length">As its Content-Length says.</param>
/// <param name="Md5">What it must have, 16 bytes; null when the client did not tell.</param>
/// <param name="Crc64">What it must have, 8 bytes, little-endian; null when the client did not tell.</param>
public sealed record BlobBody(Stream Content, long Length, byte[]? Md5, byte[]? Crc64);

/// <summary>Checks a body, as it passes, against what its client told of it.</summary>
internal sealed class BodyDigest(BlobBody body) : IDisposable
{
    private readonly IncrementalHash? _md5 = body.Md5 is null ? null : IncrementalHash.CreateHash(HashAlgorithmName.MD5);
    private Crc64 _crc = new();

    public void Add(ReadOnlySpan<byte> data)
    {
        _md5?.AppendData(data);
        if (body.Crc64 is not null)
            _crc.Add(data);
    }

    /// <exception cref="BlobException">400: it is another body.</exception>
    public void Require()
    {
        if (_md5 is not null && !_md5.GetHashAndReset().AsSpan().SequenceEqual(body.Md5))
            throw new BlobException(BlobErrors.Md5Mismatch);
        if (body.Crc64 is not null && !_crc.ToBytes().AsSpan().SequenceEqual(body.Crc64))
            throw new BlobException(BlobErrors.Crc64Mismatch);
    }

    public void Dispose() => _md5?.Dispose();
}

/// <summary>Azure Storage's CRC64: that of NVM Express (polynomial AD93D23594C93659, reflected, all ones before and after).</summary>
internal struct Crc64
{
    private const ulong Reflected = 0x9A6C9329AC4BC9B5;
    private static readonly ulong[] Table = [.. Enumerable.Range(0, 256).Select(Entry)];

    private ulong _state = ulong.MaxValue;

    public Crc64()
    {
    }

    public void Add(ReadOnlySpan<byte> data)
    {
        var state = _state;
        foreach (var one in data)
            state = Table[(byte)state ^ one] ^ (state >> 8);
        _state = state;
    }

    /// <summary>Little-endian.</summary>
    public readonly byte[] ToBytes() => BitConverter.GetBytes(~_state);

    private static ulong Entry(int of)
    {
        var entry = (ulong)of;
        for (var bit = 0; bit < 8; bit++)
            entry = (entry & 1) == 0 ? entry >> 1 : (entry >> 1) ^ Reflected;
        return entry;
    }
}
