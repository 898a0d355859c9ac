using System.Buffers;
using System.Text;
using Sallyport.Protocol.Messages;

namespace Sallyport.Protocol.Topics;

/// <summary>
/// The properties at the end of an MQTT topic: <c>k=v&amp;k2=&amp;k3</c>, percent-encoded by most SDKs and not at all by the C SDK.
/// A name alone is a property whose value is null; <c>k=</c> has an empty value; the first <c>=</c> splits; empty pairs are passed over;
/// <c>+</c> is a plus. Names that begin with <c>$.</c> are system properties.
/// </summary>
/// <remarks>Source: Azure IoT Hub MQTT guide; what SDKs send was observed. Pure, allocates nothing.</remarks>
public static class PropertyBag
{
    /// <summary>Reads a bag into <paramref name="properties"/>, which it does not clear.</summary>
    /// <param name="bag">What follows <c>messages/events/</c>, without the terminating <c>/</c>.</param>
    /// <returns>What is wrong, in words; null when nothing is.</returns>
    public static string? Read(ReadOnlySpan<byte> bag, MessageProperties properties)
    {
        if (bag.IsEmpty)
            return null;

        var decodes = bag.Contains((byte)'%');
        var scratch = decodes ? ArrayPool<byte>.Shared.Rent(bag.Length) : null;
        try
        {
            while (!bag.IsEmpty)
            {
                var end = bag.IndexOf((byte)'&');
                var pair = end < 0 ? bag : bag[..end];
                bag = end < 0 ? default : bag[(end + 1)..];
                if (!pair.IsEmpty && ReadPair(pair, scratch, properties) is { } wrong)
                    return wrong;
            }

            return null;
        }
        finally
        {
            if (scratch is not null)
                ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static string? ReadPair(ReadOnlySpan<byte> pair, Span<byte> scratch, MessageProperties properties)
    {
        var split = pair.IndexOf((byte)'=');
        var name = split < 0 ? pair : pair[..split];
        var value = split < 0 ? default : pair[(split + 1)..];
        if (!PercentBytes.TryDecode(ref name, ref scratch) || !PercentBytes.TryDecode(ref value, ref scratch))
            return "a percent escape in the property bag is not two hex digits";
        if (name.IsEmpty)
            return "a property in the bag has no name";

        if (name.StartsWith("$."u8))
        {
            if (IsStampedByHub(name))
                return null;
            if (KeyOf(name) is { } key)
                return properties.TrySet(key, value) ? null : $"the property bag sets {Encoding.UTF8.GetString(name)} twice, or is too long";
        }

        return properties.TryAdd(name, value, isNull: split < 0) ? null : "the property bag has too many properties, or is too long";
    }

    /// <summary>The system property that a bag calls by this name; null for another name.</summary>
    public static SystemProperty? KeyOf(ReadOnlySpan<byte> name) => name switch
    {
        _ when name.SequenceEqual("$.mid"u8) => SystemProperty.MessageId,
        _ when name.SequenceEqual("$.cid"u8) => SystemProperty.CorrelationId,
        _ when name.SequenceEqual("$.uid"u8) => SystemProperty.UserId,
        _ when name.SequenceEqual("$.to"u8) => SystemProperty.To,
        _ when name.SequenceEqual("$.exp"u8) => SystemProperty.AbsoluteExpiryTime,
        _ when name.SequenceEqual("$.ct"u8) => SystemProperty.ContentType,
        _ when name.SequenceEqual("$.ce"u8) => SystemProperty.ContentEncoding,
        _ when name.SequenceEqual("$.ctime"u8) => SystemProperty.CreationTimeUtc,
        _ when name.SequenceEqual("$.schema"u8) => SystemProperty.MessageSchema,
        _ when name.SequenceEqual("$.on"u8) => SystemProperty.OutputName,
        _ when name.SequenceEqual("$.ifid"u8) => SystemProperty.InterfaceId,
        _ when name.SequenceEqual("$.sub"u8) => SystemProperty.Subject,
        _ when name.SequenceEqual("$.diagid"u8) => SystemProperty.DiagnosticId,
        _ when name.SequenceEqual("$.diagctx"u8) => SystemProperty.DiagnosticContext,
        _ => null,
    };

    // The hub says by itself who is connected; what the Java SDK sends here is passed over, not believed.
    private static bool IsStampedByHub(ReadOnlySpan<byte> name) => name.SequenceEqual("$.cdid"u8) || name.SequenceEqual("$.cmid"u8);
}
