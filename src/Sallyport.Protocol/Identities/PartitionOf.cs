using System.Text;

namespace Sallyport.Protocol.Identities;

/// <summary>
/// Which partition a device's messages go to: FNV-1a of 64 bits over the UTF-8 bytes of the device id,
/// finished by the 64-bit mixer of MurmurHash3, modulo the partition count. Frozen: stored data depends on it
/// (<c>docs/formats/segment-log.md</c> has the test vectors).
/// </summary>
public static class PartitionOf
{
    public static int Device(string deviceId, int partitionCount)
    {
        Span<byte> utf8 = stackalloc byte[Identity.MaxIdLength * 3];
        var length = Encoding.UTF8.GetBytes(deviceId, utf8);
        return (int)(Hash(utf8[..length]) % (ulong)partitionCount);
    }

    public static ulong Hash(ReadOnlySpan<byte> utf8)
    {
        var hash = 14695981039346656037UL;
        foreach (var b in utf8)
            hash = (hash ^ b) * 1099511628211UL;

        hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdUL;
        hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53UL;
        return hash ^ (hash >> 33);
    }
}
