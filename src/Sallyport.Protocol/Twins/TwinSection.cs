using System.Buffers;
using System.Buffers.Binary;
using System.Text.Json;
using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Twins;

/// <summary>
/// Desired or reported properties: the tree, each value with when it was last written, and the version of the whole.
/// Immutable; thread-safe.
/// </summary>
/// <param name="Version"><c>$version</c>: grows with each change.</param>
public sealed record TwinSection(TwinNode Root, long Version)
{
    private const byte StampsFormat = 1;
    private const int MaxStampBytes = sizeof(long) + 10;

    /// <summary>A section without properties, as a new identity has it: version 1.</summary>
    public static TwinSection New(DateTime now) => new(new TwinNode([], new TwinStamp(now, 1)), 1);

    /// <summary>The section with the patch merged into it; see <see cref="TwinNode.Merge"/>.</summary>
    /// <exception cref="HubException">400: it would hold more than it may; says how much.</exception>
    public TwinSection Patched(TwinNode patch, TwinLimits limits, DateTime now) =>
        new(Within(TwinNode.Merge(Root, patch, new TwinStamp(now, Version + 1)), limits), Version + 1);

    /// <summary>The section with <paramref name="whole"/> in the place of all there was; nulls in it are nothing.</summary>
    /// <exception cref="HubException">400: it would hold more than it may; says how much.</exception>
    public TwinSection Replaced(TwinNode whole, TwinLimits limits, DateTime now) =>
        new(Within(TwinNode.Merge(null, whole, new TwinStamp(now, Version + 1)), limits), Version + 1);

    /// <exception cref="HubException">400.</exception>
    public static TwinNode Within(TwinNode root, TwinLimits limits)
    {
        if (root.SizeBytes > limits.MaxBytes)
            throw new HubException(HubErrors.ArgumentInvalid, $"{limits.Path}: would have {root.SizeBytes} bytes of keys and values; at most {limits.MaxBytes} are allowed");
        if (root.JsonBytes > limits.MaxJsonBytes)
            throw new HubException(HubErrors.ArgumentInvalid, $"{limits.Path}: would have {root.JsonBytes} bytes of JSON; at most {limits.MaxJsonBytes} are allowed");
        return root;
    }

    /// <summary>Writes the properties, <c>$metadata</c> and <c>$version</c>: what a service sees.</summary>
    public void WriteTo(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        Root.WriteMembersTo(json);
        json.WritePropertyName("$metadata"u8);
        WriteMetadata(json, Root, Root.Stamp, ofPatch: false);
        json.WriteNumber("$version"u8, Version);
        json.WriteEndObject();
    }

    /// <summary>Writes what a patch changed, as <see cref="WriteTo"/> writes the whole: for the event that tells of it.</summary>
    public void WriteChangeTo(Utf8JsonWriter json, TwinNode patch)
    {
        json.WriteStartObject();
        patch.WriteMembersTo(json);
        json.WritePropertyName("$metadata"u8);
        WriteMetadata(json, patch, Root.Stamp, ofPatch: true);
        json.WriteNumber("$version"u8, Version);
        json.WriteEndObject();
    }

    /// <summary>The properties as JSON, to be stored.</summary>
    public byte[] EncodeJson() => Encode(Root);

    public static byte[] Encode(TwinNode node) => CompactJson.Write(node, static (json, one) => one.WriteTo(json));

    /// <summary>
    /// The stamps, to be stored: a byte 1, then per value, an object before its members (<c>docs/formats/metadata.md</c>), UTC ticks (64 bits,
    /// big-endian) and version (7 bits a byte, the low ones first).
    /// </summary>
    public byte[] EncodeStamps()
    {
        var stamps = ArrayPool<byte>.Shared.Rent(1 + (MaxStampBytes * CountOf(Root)));
        stamps[0] = StampsFormat;
        var length = 1;
        WriteStamps(stamps, ref length, Root);
        var encoded = stamps.AsSpan(0, length).ToArray();
        ArrayPool<byte>.Shared.Return(stamps);
        return encoded;
    }

    /// <summary>Puts together what was stored.</summary>
    /// <exception cref="FormatException">It is not what <see cref="EncodeJson"/> and <see cref="EncodeStamps"/> made.</exception>
    public static TwinSection Decode(ReadOnlySpan<byte> json, ReadOnlySpan<byte> stamps, long version)
    {
        try
        {
            var rest = StampsOf(stamps);
            var root = WithStamps(TwinReader.ReadStored(json), ref rest);
            return rest.IsEmpty ? new TwinSection(root, version) : throw new FormatException("a twin has more stamps than values");
        }
        catch (Exception e) when (e is JsonException or HubException or InvalidOperationException)
        {
            throw new FormatException("a stored twin is not JSON", e);
        }
    }

    public static TwinNode Decode(ReadOnlySpan<byte> json) => TwinReader.ReadStored(json);

    /// <summary>The stamps themselves.</summary>
    /// <exception cref="FormatException">They are of another format.</exception>
    internal static ReadOnlySpan<byte> StampsOf(ReadOnlySpan<byte> stored) =>
        stored is [StampsFormat, .. var stamps] ? stamps : throw new FormatException("the stamps of a twin are of an unknown format");

    private static void WriteMetadata(Utf8JsonWriter json, TwinNode node, TwinStamp changed, bool ofPatch)
    {
        var stamp = ofPatch ? changed : node.Stamp;
        Span<byte> time = stackalloc byte[TwinTime.MaxBytes];
        json.WriteStartObject();
        json.WriteString("$lastUpdated"u8, time[..TwinTime.Write(stamp.Time, time)]);
        json.WriteNumber("$lastUpdatedVersion"u8, stamp.Version);
        foreach (var (name, value) in node.Members)
        {
            if (value.IsNull)
                continue;

            json.WritePropertyName(name);
            WriteMetadata(json, value, changed, ofPatch);
        }

        json.WriteEndObject();
    }

    private static int CountOf(TwinNode node)
    {
        var count = 1;
        foreach (var (_, value) in node.Members)
            count += CountOf(value);
        return count;
    }

    private static void WriteStamps(byte[] stamps, ref int length, TwinNode node)
    {
        BinaryPrimitives.WriteInt64BigEndian(stamps.AsSpan(length), node.Stamp.Time.Ticks);
        length += sizeof(long);
        var version = (ulong)node.Stamp.Version;
        for (; version >= 0x80; version >>= 7)
            stamps[length++] = (byte)(version | 0x80);
        stamps[length++] = (byte)version;
        foreach (var (_, value) in node.Members)
            WriteStamps(stamps, ref length, value);
    }

    private static TwinNode WithStamps(TwinNode node, ref ReadOnlySpan<byte> stamps)
    {
        var stamp = NextStamp(ref stamps);
        if (!node.IsObject)
            return new TwinNode(node.Json.ToArray(), node.SizeBytes, stamp);

        var members = new TwinMember[node.Members.Length];
        for (var i = 0; i < members.Length; i++)
            members[i] = new TwinMember(node.Members[i].Name, WithStamps(node.Members[i].Value, ref stamps));
        return new TwinNode(members, stamp);
    }

    internal static TwinStamp NextStamp(ref ReadOnlySpan<byte> stamps)
    {
        if (!BinaryPrimitives.TryReadInt64BigEndian(stamps, out var ticks) || ticks < 0 || ticks > DateTime.MaxValue.Ticks)
            throw new FormatException("a twin has fewer stamps than values");

        ulong version = 0;
        for (int at = sizeof(long), shift = 0; at < stamps.Length && shift < 64; at++, shift += 7)
        {
            version |= (ulong)(stamps[at] & 0x7F) << shift;
            if (stamps[at] >= 0x80)
                continue;

            stamps = stamps[(at + 1)..];
            return new TwinStamp(new DateTime(ticks, DateTimeKind.Utc), (long)version);
        }

        throw new FormatException("a twin has fewer stamps than values");
    }
}

/// <summary>Times in a twin.</summary>
public static class TwinTime
{
    /// <summary>The length of every <see cref="Text"/>, and of what <see cref="Write"/> writes.</summary>
    public const int MaxBytes = 28;

    /// <summary>UTC with seven digits: <c>2026-01-02T03:04:05.0000000Z</c>.</summary>
    public static string Text(DateTime utc) => utc.ToString("O", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Writes it as ASCII.</summary>
    /// <returns>How many bytes it has.</returns>
    public static int Write(DateTime utc, Span<byte> target)
    {
        utc.TryFormat(target, out var length, "O", System.Globalization.CultureInfo.InvariantCulture);
        return length;
    }
}
