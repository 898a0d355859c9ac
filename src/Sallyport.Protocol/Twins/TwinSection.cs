using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
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

    internal static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

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

    public static byte[] Encode(TwinNode node)
    {
        var text = new ArrayBufferWriter<byte>(Math.Max(node.JsonBytes, 16));
        using (var json = new Utf8JsonWriter(text, Compact))
            node.WriteTo(json);
        return text.WrittenSpan.ToArray();
    }

    /// <summary>
    /// The stamps, to be stored: a byte 1, then per value, an object before its members (<c>docs/formats/metadata.md</c>), UTC ticks (64 bits,
    /// big-endian) and version (7 bits a byte, the low ones first).
    /// </summary>
    public byte[] EncodeStamps()
    {
        var stamps = new ArrayBufferWriter<byte>(256);
        stamps.GetSpan(1)[0] = StampsFormat;
        stamps.Advance(1);
        WriteStamps(stamps, Root);
        return stamps.WrittenSpan.ToArray();
    }

    /// <summary>Puts together what was stored.</summary>
    /// <exception cref="FormatException">It is not what <see cref="EncodeJson"/> and <see cref="EncodeStamps"/> made.</exception>
    public static TwinSection Decode(ReadOnlySpan<byte> json, ReadOnlySpan<byte> stamps, long version)
    {
        try
        {
            if (stamps is not [StampsFormat, .. var rest])
                throw new FormatException("the stamps of a twin are of an unknown format");
            var root = WithStamps(TwinReader.ReadStored(json), ref rest);
            return rest.IsEmpty ? new TwinSection(root, version) : throw new FormatException("a twin has more stamps than values");
        }
        catch (Exception e) when (e is JsonException or HubException or InvalidOperationException)
        {
            throw new FormatException("a stored twin is not JSON", e);
        }
    }

    public static TwinNode Decode(ReadOnlySpan<byte> json) => TwinReader.ReadStored(json);

    private static void WriteMetadata(Utf8JsonWriter json, TwinNode node, TwinStamp changed, bool ofPatch)
    {
        var stamp = ofPatch ? changed : node.Stamp;
        json.WriteStartObject();
        json.WriteString("$lastUpdated"u8, TwinTime.Text(stamp.Time));
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

    private static void WriteStamps(ArrayBufferWriter<byte> stamps, TwinNode node)
    {
        var target = stamps.GetSpan(sizeof(long) + 10);
        BinaryPrimitives.WriteInt64BigEndian(target, node.Stamp.Time.Ticks);
        var length = sizeof(long);
        var version = (ulong)node.Stamp.Version;
        for (; version >= 0x80; version >>= 7)
            target[length++] = (byte)(version | 0x80);
        target[length++] = (byte)version;
        stamps.Advance(length);
        foreach (var (_, value) in node.Members)
            WriteStamps(stamps, value);
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

    private static TwinStamp NextStamp(ref ReadOnlySpan<byte> stamps)
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
    /// <summary>UTC with seven digits: <c>2026-01-02T03:04:05.0000000Z</c>.</summary>
    public static string Text(DateTime utc) => utc.ToString("O", System.Globalization.CultureInfo.InvariantCulture);
}
