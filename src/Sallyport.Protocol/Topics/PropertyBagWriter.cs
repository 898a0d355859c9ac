using System.Buffers;
using System.Text;

namespace Sallyport.Protocol.Topics;

/// <summary>Writes a property bag into a topic as the Node and Python SDKs do: names and values percent-encoded, <c>$</c> as <c>%24</c>.</summary>
public static class PropertyBagWriter
{
    /// <summary>Appends one property, with <c>&amp;</c> before it unless it is the first.</summary>
    /// <param name="name">The property, or a system key such as <c>$.mid</c>.</param>
    /// <param name="value">Null writes the name alone.</param>
    public static void Append(IBufferWriter<byte> topic, string name, string? value, bool isFirst)
    {
        if (!isFirst)
            topic.Write("&"u8);
        AppendEncoded(topic, name);
        if (value is null)
            return;

        topic.Write("="u8);
        AppendEncoded(topic, value);
    }

    private static void AppendEncoded(IBufferWriter<byte> topic, string text) =>
        Encoding.UTF8.GetBytes(Uri.EscapeDataString(text), topic);
}
