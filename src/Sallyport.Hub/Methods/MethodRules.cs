using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Methods;

/// <summary>What a call of a direct method may look like. IoT Hub's bounds; the characters of names are ours, because a name is a part of an MQTT topic.</summary>
public static class MethodRules
{
    /// <summary>128 KB, each way.</summary>
    public const int MaxPayloadBytes = 128 * 1024;

    public const int MaxNameLength = 128;

    /// <summary>Seconds that a device may take to answer.</summary>
    public const int ResponseTimeoutMin = 5, ResponseTimeoutMax = 300;

    /// <summary>Seconds that a device is waited for; from 0 on.</summary>
    public const int ConnectTimeoutMax = 300;

    /// <exception cref="HubException">400: something is out of its bounds, and the message names it; 413: the payload is too large.</exception>
    public static void Check(MethodCall call)
    {
        if (!IsName(call.Name))
            throw new HubException(HubErrors.ArgumentInvalid, $"methodName: 1 to {MaxNameLength} characters without / ? # + and control characters");
        if (call.ResponseTimeout.TotalSeconds is < ResponseTimeoutMin or > ResponseTimeoutMax)
            throw new HubException(HubErrors.ArgumentInvalid, $"responseTimeoutInSeconds: {ResponseTimeoutMin} to {ResponseTimeoutMax}");
        if (call.ConnectTimeout.TotalSeconds is < 0 or > ConnectTimeoutMax)
            throw new HubException(HubErrors.ArgumentInvalid, $"connectTimeoutInSeconds: 0 to {ConnectTimeoutMax}");
        if (call.Payload.Length > MaxPayloadBytes)
            throw new HubException(HubErrors.MessageTooLarge, $"payload: {call.Payload.Length} bytes, of at most {MaxPayloadBytes}");
        if (!IsJson(call.Payload.Span))
            throw new HubException(HubErrors.FormatError, "payload: not JSON in UTF-8 of at most 64 levels");
    }

    /// <summary>Whether it is one JSON value, in UTF-8 and of at most 64 levels, and nothing else.</summary>
    internal static bool IsJson(ReadOnlySpan<byte> text)
    {
        if (!Utf8.IsValid(text))
            return false;

        var reader = new Utf8JsonReader(text);
        try
        {
            var any = false;
            while (reader.Read())
                any = true;
            return any;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool IsName(string name)
    {
        if (name.Length is 0 or > MaxNameLength)
            return false;

        foreach (var rune in name.EnumerateRunes())
        {
            // A half of a surrogate pair is read as U+FFFD.
            if (rune.Value is '/' or '?' or '#' or '+' or 0xFFFD || Rune.IsControl(rune))
                return false;
        }

        return true;
    }
}
