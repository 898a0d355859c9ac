using System.Buffers;
using System.Text.Encodings.Web;
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

    internal static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    public static byte[] Encode(TwinState state) => Write(1024, json => WriteTo(json, state));

    /// <summary>What a device sees of its twin: no tags, no metadata.</summary>
    internal static byte[] EncodeForDevice(TwinRecord twin) => Write(twin.Desired.Json.Length + twin.Reported.Json.Length + 128, json =>
    {
        json.WriteStartObject();
        WritePart("desired"u8, twin.Desired);
        WritePart("reported"u8, twin.Reported);
        json.WriteEndObject();

        void WritePart(ReadOnlySpan<byte> name, TwinPart part)
        {
            // The stored text is an object without white space: its members go in as they are.
            json.WritePropertyName(name);
            json.WriteRawValue([.. part.Json.AsSpan(0, part.Json.Length - 1), .. part.Json.Length > 2 ? ","u8 : [], .. "\"$version\":"u8, .. Digits(part.Version), (byte)'}'], skipInputValidation: true);
        }
    });

    /// <summary>What a device is told of its desired properties: what changed (null: it is gone), and the version.</summary>
    internal static byte[] EncodeDesired(TwinNode change, long version) => Write(change.JsonBytes + 64, json =>
    {
        json.WriteStartObject();
        change.WriteMembersTo(json);
        json.WriteNumber("$version"u8, version);
        json.WriteEndObject();
    });

    internal static byte[] Write(int about, Action<Utf8JsonWriter> write)
    {
        var body = new ArrayBufferWriter<byte>(about);
        using (var json = new Utf8JsonWriter(body, Options))
            write(json);
        return body.WrittenSpan.ToArray();
    }

    private static void WriteTo(Utf8JsonWriter json, TwinState state)
    {
        var (identity, isConnected, twin) = state;
        json.WriteStartObject();
        json.WriteString("deviceId", identity.DeviceId);
        if (identity.ModuleId is not null)
            json.WriteString("moduleId", identity.ModuleId);
        json.WriteString("etag", EntityTag.Format(twin.ETag));
        json.WriteString("deviceEtag", EntityTag.Format(identity.ETag));
        json.WriteString("status", identity.Enabled ? "enabled" : "disabled");
        if (identity.StatusReason is not null)
            json.WriteString("statusReason", identity.StatusReason);
        json.WriteString("statusUpdateTime", TimeOrNever(identity.StatusUpdatedTime));
        json.WriteString("connectionState", isConnected ? "Connected" : "Disconnected");
        json.WriteString("lastActivityTime", TimeOrNever(identity.LastActivityTime));
        json.WriteNumber("cloudToDeviceMessageCount", identity.CommandCount);
        json.WriteString("authenticationType", JsonNamingPolicy.CamelCase.ConvertName(identity.Authentication.ToString()));
        json.WriteStartObject("x509Thumbprint");
        json.WriteString("primaryThumbprint", identity.PrimaryThumbprint);
        json.WriteString("secondaryThumbprint", identity.SecondaryThumbprint);
        json.WriteEndObject();
        json.WriteString("modelId", twin.ModelId ?? "");
        json.WriteNumber("version", twin.Version);
        json.WritePropertyName("tags");
        json.WriteRawValue(twin.Tags, skipInputValidation: true);
        json.WriteStartObject("properties");
        json.WritePropertyName("desired");
        twin.Desired.Section().WriteTo(json);
        json.WritePropertyName("reported");
        twin.Reported.Section().WriteTo(json);
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
        json.WriteStartObject("capabilities");
        json.WriteBoolean("iotEdge", identity.IotEdge);
        json.WriteEndObject();
        if (identity.DeviceScope is not null)
            json.WriteString("deviceScope", identity.DeviceScope);
        if (identity.ParentScopes.Count == 0)
            return;

        json.WriteStartArray("parentScopes");
        foreach (var scope in identity.ParentScopes)
            json.WriteStringValue(scope);
        json.WriteEndArray();
    }

    internal static string TimeOrNever(DateTimeOffset? time) => time is { } at ? TwinTime.Text(at.UtcDateTime) : Never;

    private static byte[] Digits(long number) => System.Text.Encoding.ASCII.GetBytes(number.ToString(System.Globalization.CultureInfo.InvariantCulture));
}
