using System.Text;
using System.Text.Unicode;
using Sallyport.Protocol.Messages;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Which properties a device-to-cloud message may have. A breach makes the message <see cref="TelemetryOutcome.BadProperty"/>;
/// names that belong to the hub are removed instead, because SDKs pass such properties on without knowing. Pure; allocates nothing.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>Text is valid UTF-8; content type and encoding are ASCII, because AMQP stores them as symbols.</item>
/// <item>A message id has at most 128 visible ASCII characters. Azure documents a narrower set, but devices in the field send
/// others (<c>/</c>), and over MQTT a refusal would cost them the connection.</item>
/// <item>An expiry time is ISO 8601 (UTC when it has no offset): AMQP stores a timestamp, and a time that cannot be stored would be lost in silence.</item>
/// <item>No application property comes twice: an AMQP map holds a key once, and which one would win is not for us to guess.</item>
/// </list>
/// </remarks>
internal static class TelemetryRules
{
    private const int MaxMessageIdLength = 128;

    /// <summary>Whether the message may be taken.</summary>
    /// <param name="expiryMs">The expiry time in Unix milliseconds, when it has one.</param>
    public static bool Allow(MessageProperties properties, out long expiryMs)
    {
        expiryMs = 0;
        for (var key = SystemProperty.MessageId; key <= SystemProperty.MessageType; key++)
        {
            if (!properties.Has(key))
                continue;

            var value = properties.System(key);
            var fine = key switch
            {
                SystemProperty.MessageId => IsMessageId(value),
                SystemProperty.ContentType or SystemProperty.ContentEncoding => Ascii.IsValid(value),
                SystemProperty.AbsoluteExpiryTime => TryParseTime(value, out expiryMs),
                _ => Utf8.IsValid(value),
            };
            if (!fine)
                return false;
        }

        for (var i = 0; i < properties.Count; i++)
        {
            if (!Utf8.IsValid(properties.Name(i)) || !Utf8.IsValid(properties.Value(i)))
                return false;
        }

        return properties.Count < 2 || !HasDoubledName(properties);
    }

    /// <summary>
    /// Whether the application property at <paramref name="index"/> is stored. Names that only the hub may set are not, in any case of
    /// letters: <c>x-opt-…</c> and <c>iothub-…</c>, but for the few that senders set, where no system property says the same.
    /// </summary>
    public static bool IsKept(MessageProperties properties, int index)
    {
        var name = properties.Name(index);
        if (!StartsWith(name, "iothub-"u8))
            return !StartsWith(name, "x-opt-"u8);

        return SenderProperty(name) is { } key && !properties.Has(key);
    }

    /// <summary>The system property that an AMQP sender gives as an application property of this name; null for any other name.</summary>
    private static SystemProperty? SenderProperty(ReadOnlySpan<byte> name)
    {
        if (Ascii.EqualsIgnoreCase(name, "iothub-creation-time-utc"u8))
            return SystemProperty.CreationTimeUtc;
        if (Ascii.EqualsIgnoreCase(name, "iothub-message-schema"u8))
            return SystemProperty.MessageSchema;
        if (Ascii.EqualsIgnoreCase(name, "iothub-outputname"u8))
            return SystemProperty.OutputName;
        if (Ascii.EqualsIgnoreCase(name, "iothub-ack"u8))
            return SystemProperty.Ack;
        return Ascii.EqualsIgnoreCase(name, "iothub-operation"u8) ? SystemProperty.Operation : null;
    }

    private static bool StartsWith(ReadOnlySpan<byte> name, ReadOnlySpan<byte> lowerPrefix) =>
        name.Length >= lowerPrefix.Length && Ascii.EqualsIgnoreCase(name[..lowerPrefix.Length], lowerPrefix);

    private static bool IsMessageId(ReadOnlySpan<byte> value) =>
        value.Length <= MaxMessageIdLength && value.IndexOfAnyExceptInRange((byte)'!', (byte)'~') < 0;

    private static bool TryParseTime(ReadOnlySpan<byte> value, out long unixMs)
    {
        unixMs = 0;
        Span<char> text = stackalloc char[IsoTime.MaxLength];
        if (value.Length > IsoTime.MaxLength || !Ascii.IsValid(value))
            return false;

        Encoding.ASCII.GetChars(value, text);
        if (!IsoTime.TryParse(text[..value.Length], out var time))
            return false;

        unixMs = time.ToUnixTimeMilliseconds();
        return true;
    }

    // A table of slots on the stack, so that a thousand names cost a thousand steps and not a million.
    private static bool HasDoubledName(MessageProperties properties)
    {
        var size = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)properties.Count * 2);
        Span<short> slots = stackalloc short[MessageProperties.MaxCount * 2];
        slots = slots[..size];
        slots.Clear();
        for (var i = 0; i < properties.Count; i++)
        {
            var hash = default(HashCode);
            hash.AddBytes(properties.Name(i));
            var slot = hash.ToHashCode() & (size - 1);
            for (; slots[slot] != 0; slot = (slot + 1) & (size - 1))
            {
                if (properties.Name(slots[slot] - 1).SequenceEqual(properties.Name(i)))
                    return true;
            }

            slots[slot] = (short)(i + 1);
        }

        return false;
    }
}
