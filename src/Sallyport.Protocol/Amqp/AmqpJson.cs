using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Sallyport.Protocol.Amqp;

/// <summary>AMQP values as JSON. Pure; whatever the bytes, valid JSON comes out.</summary>
public static class AmqpJson
{
    /// <summary>Deeper values are written as null.</summary>
    public const int MaxDepth = 64;

    private const long MinUnixMs = -62_135_596_800_000;
    private const long MaxUnixMs = 253_402_300_799_999;

    private static readonly string[] PropertyNames =
    [
        "message-id", "user-id", "to", "subject", "reply-to", "correlation-id", "content-type", "content-encoding",
        "absolute-expiry-time", "creation-time", "group-id", "group-sequence", "reply-to-group-id",
    ];

    /// <summary>The name of a field of the properties section (AMQP 1.0 part 3, 3.2.4), which is IoT Hub's name for the system property.</summary>
    public static string NameOf(AmqpProperty property) => PropertyNames[(int)property];

    /// <summary>Writes a member named <paramref name="key"/>; base64 where it is not UTF-8.</summary>
    public static void WriteName(Utf8JsonWriter json, ReadOnlySpan<byte> key)
    {
        if (Utf8.IsValid(key))
            json.WritePropertyName(key);
        else
            json.WritePropertyName(Convert.ToBase64String(key));
    }

    /// <summary>
    /// Writes one value: numbers, booleans and text as such; times in ISO 8601; binaries, decimals and text that is not UTF-8 in
    /// base64; a map as an object when its keys are text, other compounds as arrays; what JSON cannot say as null.
    /// </summary>
    public static void WriteValue(Utf8JsonWriter json, AmqpValue value) => WriteValue(json, value, 0);

    /// <summary>Writes a field of the properties section: as any value, but a user id as text where it is.</summary>
    public static void WriteValue(Utf8JsonWriter json, AmqpProperty property, AmqpValue value)
    {
        if (property == AmqpProperty.UserId && Utf8.IsValid(value.Content))
            json.WriteStringValue(value.Content);
        else
            WriteValue(json, value);
    }

    private static void WriteValue(Utf8JsonWriter json, AmqpValue value, int depth)
    {
        switch (value.Type)
        {
            case AmqpType.Boolean:
                json.WriteBooleanValue(value.Boolean);
                break;
            case AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong:
                json.WriteNumberValue(value.Unsigned);
                break;
            case AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long:
                json.WriteNumberValue(value.Signed);
                break;
            case AmqpType.Float or AmqpType.Double when double.IsFinite(value.Real):
                json.WriteNumberValue(value.Real);
                break;
            case AmqpType.Char when Rune.IsValid((uint)value.Unsigned):
                json.WriteStringValue(new Rune((uint)value.Unsigned).ToString());
                break;
            case AmqpType.Timestamp when value.Signed is >= MinUnixMs and <= MaxUnixMs:
                json.WriteStringValue(DateTimeOffset.FromUnixTimeMilliseconds(value.Signed).UtcDateTime);
                break;
            case AmqpType.Timestamp:
                json.WriteNumberValue(value.Signed);
                break;
            case AmqpType.Uuid:
                json.WriteStringValue(value.Uuid);
                break;
            case AmqpType.String or AmqpType.Symbol when Utf8.IsValid(value.Content):
                json.WriteStringValue(value.Content);
                break;
            case AmqpType.Binary or AmqpType.Decimal or AmqpType.String or AmqpType.Symbol:
                json.WriteBase64StringValue(value.Content);
                break;
            case AmqpType.List or AmqpType.Array or AmqpType.Map or AmqpType.Described when depth < MaxDepth:
                WriteCompound(json, value, depth + 1);
                break;
            default:
                json.WriteNullValue();
                break;
        }
    }

    // A map is an object when its keys are text, else a list of keys and values in turn; of a described value the descriptor comes first.
    private static void WriteCompound(Utf8JsonWriter json, AmqpValue value, int depth)
    {
        var elements = value.Elements();
        if (value.Type == AmqpType.Map && HasTextKeys(value))
        {
            json.WriteStartObject();
            while (elements.TryRead(out var key) && elements.TryRead(out var element))
            {
                WriteName(json, key.Content);
                WriteValue(json, element, depth);
            }

            json.WriteEndObject();
            return;
        }

        json.WriteStartArray();
        while (elements.TryRead(out var element))
            WriteValue(json, element, depth);
        json.WriteEndArray();
    }

    private static bool HasTextKeys(AmqpValue map)
    {
        var elements = map.Elements();
        for (var isKey = true; elements.TryRead(out var element); isKey = !isKey)
        {
            if (isKey && !element.IsText)
                return false;
        }

        return true;
    }
}
