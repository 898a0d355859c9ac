using System.Buffers;
using System.Text.Json;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Twins;

/// <summary>A twin with what the registry says of its identity, as a service sees it. Its JSON is <see cref="TwinJson"/>.</summary>
/// <param name="Identity">Holds keys, which are not shown.</param>
public sealed record TwinState(IdentityRecord Identity, bool IsConnected, TwinRecord Twin)
{
    public override string ToString() => Twin.ToString();
}

/// <summary>Twins as they are stored, and as what they mean.</summary>
internal static class TwinParts
{
    private static readonly byte[] NoProperties = "{}"u8.ToArray();

    /// <summary>The twin of a new identity.</summary>
    public static TwinRecord New(Identity identity, string generationId, DateTime now)
    {
        var stamps = TwinSection.New(now).EncodeStamps();
        return new TwinRecord
        {
            DeviceId = identity.DeviceId,
            ModuleId = identity.ModuleId,
            GenerationId = generationId,
            ETag = 1,
            Version = 2,
            Tags = NoProperties,
            Desired = new TwinPart(NoProperties, stamps, 1),
            Reported = new TwinPart(NoProperties, stamps, 1),
        };
    }

    public static TwinSection Section(this TwinPart part) => TwinSection.Decode(part.Json, part.Stamps, part.Version);

    public static TwinPart Part(this TwinSection section) => new(section.EncodeJson(), section.EncodeStamps(), section.Version);
}

/// <summary>A twin as Azure IoT Hub's REST and events show it.</summary>
public static class TwinJson
{
    // IoT Hub's way of saying "never" in a twin.
    private const string Never = "0001-01-01T00:00:00Z";

    private const int MaxTailBytes = 40;

    internal static readonly JsonWriterOptions Options = CompactJson.Options;

    public static byte[] Encode(TwinState state) => CompactJson.Write(state, WriteTo);

    /// <summary>What a device sees of its twin: no tags, no metadata.</summary>
    internal static byte[] EncodeForDevice(TwinProperties twin)
    {
        // The stored texts are objects without white space: their members go in as they are.
        ReadOnlySpan<byte> head = "{\"desired\":"u8, middle = ",\"reported\":"u8;
        Span<byte> desiredTail = stackalloc byte[MaxTailBytes], reportedTail = stackalloc byte[MaxTailBytes];
        desiredTail = desiredTail[..WriteTail(twin.Desired, twin.DesiredVersion, desiredTail)];
        reportedTail = reportedTail[..WriteTail(twin.Reported, twin.ReportedVersion, reportedTail)];
        return [.. head, .. twin.Desired.AsSpan(0, twin.Desired.Length - 1), .. desiredTail, .. middle, .. twin.Reported.AsSpan(0, twin.Reported.Length - 1), .. reportedTail, (byte)'}'];

        static int WriteTail(byte[] part, long version, Span<byte> tail)
        {
            var text = part.Length > 2 ? ",\"$version\":"u8 : "\"$version\":"u8;
            text.CopyTo(tail);
            version.TryFormat(tail[text.Length..], out var digits, provider: System.Globalization.CultureInfo.InvariantCulture);
            tail[text.Length + digits] = (byte)'}';
            return text.Length + digits + 1;
        }
    }

    /// <summary>What a device is told of its desired properties: what changed (null: it is gone), and the version.</summary>
    internal static byte[] EncodeDesired(TwinNode change, long version) => CompactJson.Write((change, version), static (json, told) =>
    {
        json.WriteStartObject();
        told.change.WriteMembersTo(json);
        json.WriteNumber("$version"u8, told.version);
        json.WriteEndObject();
    });

    /// <param name="about">How many bytes it will have.</param>
    internal static byte[] Write(int about, Action<Utf8JsonWriter> write)
    {
        var body = new ArrayBufferWriter<byte>(about);
        using (var json = new Utf8JsonWriter(body, Options))
            write(json);
        return body.WrittenSpan.ToArray();
    }

    internal static void WriteTo(Utf8JsonWriter json, TwinState state)
    {
        var (identity, isConnected, twin) = state;
        json.WriteStartObject();
        json.WriteString("deviceId"u8, identity.DeviceId);
        if (identity.ModuleId is not null)
            json.WriteString("moduleId"u8, identity.ModuleId);
        json.WriteString("etag"u8, EntityTag.Format(twin.ETag));
        json.WriteString("deviceEtag"u8, EntityTag.Format(identity.ETag));
        json.WriteString("status"u8, identity.Enabled ? "enabled" : "disabled");
        if (identity.StatusReason is not null)
            json.WriteString("statusReason"u8, identity.StatusReason);
        json.WriteString("statusUpdateTime"u8, TimeOrNever(identity.StatusUpdatedTime));
        json.WriteString("connectionState"u8, isConnected ? "Connected" : "Disconnected");
        json.WriteString("lastActivityTime"u8, TimeOrNever(identity.LastActivityTime));
        json.WriteNumber("cloudToDeviceMessageCount"u8, identity.CommandCount);
        json.WriteString("authenticationType"u8, JsonNamingPolicy.CamelCase.ConvertName(identity.Authentication.ToString()));
        json.WriteStartObject("x509Thumbprint"u8);
        json.WriteString("primaryThumbprint"u8, identity.PrimaryThumbprint);
        json.WriteString("secondaryThumbprint"u8, identity.SecondaryThumbprint);
        json.WriteEndObject();
        json.WriteString("modelId"u8, twin.ModelId ?? "");
        json.WriteNumber("version"u8, twin.Version);
        json.WritePropertyName("tags"u8);
        json.WriteRawValue(twin.Tags, skipInputValidation: true);
        json.WriteStartObject("properties"u8);
        json.WritePropertyName("desired"u8);
        StoredSection.Write(json, twin.Desired.Json, twin.Desired.Stamps, twin.Desired.Version);
        json.WritePropertyName("reported"u8);
        StoredSection.Write(json, twin.Reported.Json, twin.Reported.Stamps, twin.Reported.Version);
        json.WriteEndObject();
        if (identity.ModuleId is null)
            WriteDevice(json, identity);
        if (twin.Configurations is not null)
        {
            json.WritePropertyName("configurations");
            json.WriteRawValue(twin.Configurations, skipInputValidation: true);
        }

        json.WriteEndObject();
    }

    private static void WriteDevice(Utf8JsonWriter json, IdentityRecord identity)
    {
        json.WriteStartObject("capabilities"u8);
        json.WriteBoolean("iotEdge"u8, identity.IotEdge);
        json.WriteEndObject();
        if (identity.DeviceScope is not null)
            json.WriteString("deviceScope"u8, identity.DeviceScope);
        if (identity.ParentScopes.Count == 0)
            return;

        json.WriteStartArray("parentScopes"u8);
        foreach (var scope in identity.ParentScopes)
            json.WriteStringValue(scope);
        json.WriteEndArray();
    }

    internal static string TimeOrNever(DateTimeOffset? time) => time is { } at ? TwinTime.Text(at.UtcDateTime) : Never;
}
