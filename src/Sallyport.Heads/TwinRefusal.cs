using System.Buffers;
using System.Text.Json;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads;

/// <summary>The body of an answer that refuses a device's twin request: SDKs over MQTT know an error only by its <c>errorCode</c>.</summary>
internal static class TwinRefusal
{
    public static byte[] Encode(HubException refusal)
    {
        var body = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteNumber("errorCode", refusal.Error.Code);
            json.WriteString("message", refusal.Message);
            json.WriteEndObject();
        }

        return body.WrittenSpan.ToArray();
    }
}
