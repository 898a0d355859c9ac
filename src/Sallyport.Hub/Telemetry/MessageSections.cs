using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Messages;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// A message's properties as AMQP sections, the same for telemetry and commands: properties and application properties, each left out when it
/// would be empty. What may be in them was checked by <see cref="TelemetryRules"/>. Pure; allocates nothing.
/// </summary>
internal static class MessageSections
{
    /// <summary>Bytes of descriptors, heads and names that both sections have at most.</summary>
    public const int Overhead = 512;

    /// <param name="expiryMs">The expiry time in Unix milliseconds, when there is one.</param>
    public static void WriteProperties(ref AmqpWriter writer, MessageProperties properties, long expiryMs)
    {
        var last = LastPresent(properties);
        if (last < 0)
            return;

        writer.Section(AmqpSection.Properties);
        var mark = writer.BeginList();
        for (var place = AmqpProperty.MessageId; (int)place <= last; place++)
        {
            switch (place)
            {
                case AmqpProperty.MessageId when properties.Has(SystemProperty.MessageId):
                    writer.String(properties.System(SystemProperty.MessageId));
                    break;
                case AmqpProperty.UserId when properties.Has(SystemProperty.UserId):
                    writer.Binary(properties.System(SystemProperty.UserId));
                    break;
                case AmqpProperty.To when properties.Has(SystemProperty.To):
                    writer.String(properties.System(SystemProperty.To));
                    break;
                case AmqpProperty.CorrelationId when properties.Has(SystemProperty.CorrelationId):
                    writer.String(properties.System(SystemProperty.CorrelationId));
                    break;
                case AmqpProperty.ContentType when properties.Has(SystemProperty.ContentType):
                    writer.Symbol(properties.System(SystemProperty.ContentType));
                    break;
                case AmqpProperty.ContentEncoding when properties.Has(SystemProperty.ContentEncoding):
                    writer.Symbol(properties.System(SystemProperty.ContentEncoding));
                    break;
                case AmqpProperty.AbsoluteExpiryTime when properties.Has(SystemProperty.AbsoluteExpiryTime):
                    writer.Timestamp(expiryMs);
                    break;
                default:
                    writer.Null();
                    break;
            }
        }

        writer.End(mark, last + 1);
    }

    /// <summary>The last place of the properties list that is filled; what follows it is left out (AMQP part 1, 1.4).</summary>
    private static int LastPresent(MessageProperties properties)
    {
        if (properties.Has(SystemProperty.AbsoluteExpiryTime))
            return (int)AmqpProperty.AbsoluteExpiryTime;
        if (properties.Has(SystemProperty.ContentEncoding))
            return (int)AmqpProperty.ContentEncoding;
        if (properties.Has(SystemProperty.ContentType))
            return (int)AmqpProperty.ContentType;
        if (properties.Has(SystemProperty.CorrelationId))
            return (int)AmqpProperty.CorrelationId;
        if (properties.Has(SystemProperty.To))
            return (int)AmqpProperty.To;
        if (properties.Has(SystemProperty.UserId))
            return (int)AmqpProperty.UserId;
        return properties.Has(SystemProperty.MessageId) ? (int)AmqpProperty.MessageId : -1;
    }

    public static void WriteApplicationProperties(ref AmqpWriter writer, MessageProperties properties)
    {
        var start = writer;
        writer.Section(AmqpSection.ApplicationProperties);
        var mark = writer.BeginMap();
        var elements = Application(ref writer, properties, SystemProperty.CreationTimeUtc, "iothub-creation-time-utc"u8)
            + Application(ref writer, properties, SystemProperty.MessageSchema, "iothub-message-schema"u8)
            + Application(ref writer, properties, SystemProperty.OutputName, "iothub-outputname"u8)
            + Application(ref writer, properties, SystemProperty.Ack, "iothub-ack"u8)
            + Application(ref writer, properties, SystemProperty.Operation, "iothub-operation"u8)
            + Application(ref writer, properties, SystemProperty.MessageType, "iothub-MessageType"u8);
        for (var i = 0; i < properties.Count; i++)
        {
            if (!TelemetryRules.IsKept(properties, i))
                continue;

            writer.String(properties.Name(i));
            if (properties.IsNull(i))
                writer.Null();
            else
                writer.String(properties.Value(i));
            elements += 2;
        }

        if (elements == 0)
            writer = start;
        else
            writer.End(mark, elements);
    }

    private static int Application(ref AmqpWriter writer, MessageProperties properties, SystemProperty key, ReadOnlySpan<byte> name)
    {
        if (!properties.Has(key))
            return 0;

        writer.String(name);
        writer.String(properties.System(key));
        return 2;
    }
}
