using System.Buffers;
using System.Text;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Topics;

namespace Sallyport.Heads.Mqtt;

/// <summary>
/// The topic of a command: the address and the properties, percent-encoded, <c>/</c> too. System properties come first and there is always one
/// (<c>%24.to</c>): the .NET SDK closes the connection over an empty bag, Java looks from the first <c>%24</c> on. Pure.
/// </summary>
internal static class CommandTopic
{
    private static readonly (SystemProperty Key, string Name)[] SystemKeys =
    [
        (SystemProperty.To, "$.to"),
        (SystemProperty.MessageId, "$.mid"),
        (SystemProperty.CorrelationId, "$.cid"),
        (SystemProperty.UserId, "$.uid"),
        (SystemProperty.AbsoluteExpiryTime, "$.exp"),
        (SystemProperty.ContentType, "$.ct"),
        (SystemProperty.ContentEncoding, "$.ce"),
        (SystemProperty.CreationTimeUtc, "$.ctime"),
        (SystemProperty.MessageSchema, "$.schema"),

        // The client calls these as they are; whatever it does not know it gives to the application.
        (SystemProperty.Ack, "iothub-ack"),
        (SystemProperty.Operation, "iothub-operation"),
    ];

    /// <param name="root"><c>devices/{d}[/modules/{m}]/messages/devicebound/</c>.</param>
    /// <param name="properties">Of the command; it has a <c>to</c>.</param>
    public static ReadOnlyMemory<byte> Of(string root, MessageProperties properties)
    {
        var topic = new ArrayBufferWriter<byte>(256);
        Encoding.UTF8.GetBytes(root, topic);
        var isFirst = true;
        foreach (var (key, name) in SystemKeys)
        {
            // One that was set to nothing says nothing, and the Java SDK fails at it.
            if (properties.System(key) is not { IsEmpty: false } value)
                continue;

            PropertyBagWriter.Append(topic, name, Encoding.UTF8.GetString(value), isFirst);
            isFirst = false;
        }

        for (var i = 0; i < properties.Count; i++)
        {
            PropertyBagWriter.Append(topic, Encoding.UTF8.GetString(properties.Name(i)), properties.IsNull(i) ? null : Encoding.UTF8.GetString(properties.Value(i)), isFirst);
            isFirst = false;
        }

        return topic.WrittenMemory;
    }
}
