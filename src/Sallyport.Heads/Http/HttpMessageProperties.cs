using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Messages;

namespace Sallyport.Heads.Http;

/// <summary>
/// A message's properties as HTTP spells them: system properties under IoT Hub's header names, application properties as
/// <c>iothub-app-NAME</c>. In headers, values are visible ASCII and spaces; other headers are not the message's.
/// </summary>
internal static class HttpMessageProperties
{
    private const string ApplicationPrefix = "iothub-app-";

    private static readonly (string Name, SystemProperty Key)[] SystemNames =
    [
        ("iothub-messageid", SystemProperty.MessageId),
        ("iothub-correlationid", SystemProperty.CorrelationId),
        ("iothub-userid", SystemProperty.UserId),
        ("iothub-to", SystemProperty.To),
        ("iothub-expiry", SystemProperty.AbsoluteExpiryTime),
        ("iothub-contenttype", SystemProperty.ContentType),
        ("iothub-contentencoding", SystemProperty.ContentEncoding),
        ("iothub-creationtimeutc", SystemProperty.CreationTimeUtc),
        ("iothub-messageschema", SystemProperty.MessageSchema),
        ("iothub-interface-id", SystemProperty.InterfaceId),
        ("dt-subject", SystemProperty.Subject),
        ("iothub-ack", SystemProperty.Ack),
        ("iothub-operation", SystemProperty.Operation),
    ];

    /// <summary>Takes the properties out of the headers of a request with one message.</summary>
    /// <exception cref="HubException">400: a header comes twice, or holds what a header may not.</exception>
    public static void Read(IHeaderDictionary headers, MessageProperties properties)
    {
        foreach (var (name, values) in headers)
        {
            var isApplication = name.StartsWith(ApplicationPrefix, StringComparison.OrdinalIgnoreCase);
            if (!isApplication && SystemKey(name) is null)
                continue;

            var value = values.Count == 1 ? values.ToString() : throw new HubException(HubErrors.ArgumentInvalid, $"{name}: is there more than once");
            if (value.AsSpan().IndexOfAnyExceptInRange(' ', '~') >= 0)
                throw new HubException(HubErrors.ArgumentInvalid, $"{name}: a header holds visible ASCII characters and spaces");
            if (!TryAdd(properties, name, Encoding.ASCII.GetBytes(value), isNull: false))
                throw TooMany();
        }
    }

    /// <summary>Adds a property under its HTTP name; one that HTTP does not know is an application property under its own name.</summary>
    /// <returns>False when it is there already, has no name, or a bound is reached.</returns>
    public static bool TryAdd(MessageProperties properties, string name, ReadOnlySpan<byte> value, bool isNull)
    {
        if (name.StartsWith(ApplicationPrefix, StringComparison.OrdinalIgnoreCase))
            name = name[ApplicationPrefix.Length..];
        else if (SystemKey(name) is { } key)
            return isNull || properties.TrySet(key, value);

        return name.Length > 0 && properties.TryAdd(Encoding.UTF8.GetBytes(name), value, isNull);
    }

    /// <summary>
    /// Puts the properties of a message into the headers of an answer. What a header cannot hold (not visible ASCII, or in a name no token) is
    /// percent-encoded there; a null value is empty. Names that differ in case only are one header with several values.
    /// </summary>
    public static void Write(IHeaderDictionary headers, MessageProperties properties)
    {
        foreach (var (name, key) in SystemNames)
        {
            if (properties.Has(key))
                headers[name] = Encoded(properties.System(key), static b => b is >= (byte)' ' and <= (byte)'~');
        }

        for (var i = 0; i < properties.Count; i++)
        {
            var name = ApplicationPrefix + Encoded(properties.Name(i), IsTokenByte);
            headers[name] = StringValues.Concat(headers[name], Encoded(properties.Value(i), static b => b is >= (byte)' ' and <= (byte)'~'));
        }
    }

    private static bool IsTokenByte(byte b) => char.IsAsciiLetterOrDigit((char)b) || "!#$%&'*+-.^_`|~".Contains((char)b, StringComparison.Ordinal);

    private static string Encoded(ReadOnlySpan<byte> utf8, Func<byte, bool> isPlain)
    {
        var text = new StringBuilder(utf8.Length);
        foreach (var b in utf8)
        {
            if (isPlain(b))
                text.Append((char)b);
            else
                text.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    /// <summary>Answers a message that is not taken.</summary>
    /// <exception cref="HubException">413 or 400.</exception>
    public static void Check(TelemetryOutcome outcome)
    {
        switch (outcome)
        {
            case TelemetryOutcome.TooLarge:
                throw TooLarge();
            case TelemetryOutcome.BadProperty:
                throw new HubException(
                    HubErrors.ArgumentInvalid,
                    "a property is not allowed: a message id has at most 128 visible ASCII characters, an expiry time is ISO 8601, content type and encoding are ASCII, text is UTF-8, and no name comes twice");
            default:
                break;
        }
    }

    public static HubException TooLarge() => new(HubErrors.MessageTooLarge, HubErrors.MessageTooLarge.Meaning);

    public static HubException TooMany() =>
        new(HubErrors.ArgumentInvalid, $"a property comes twice or has no name, or there are more than {MessageProperties.MaxCount}");

    private static SystemProperty? SystemKey(string name)
    {
        foreach (var (known, key) in SystemNames)
        {
            if (known.Equals(name, StringComparison.OrdinalIgnoreCase))
                return key;
        }

        return null;
    }
}
