using System.Text;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>A cloud-to-device message that a service sends, checked and encoded once. Immutable.</summary>
/// <param name="To">Whose it is; it may not exist.</param>
/// <param name="MessageId">Empty when there is none.</param>
/// <param name="Expiry">When it ends; null for the hub's default.</param>
/// <param name="Message">AMQP sections as they are stored and sent: properties, application properties, data.</param>
public sealed record CommandDraft(Identity To, string MessageId, CommandAck Ack, DateTimeOffset? Expiry, byte[] Message)
{
    // What the hub puts before the message when it delivers it over AMQP: LockedCommand.Annotations.
    private const int AnnotationBytes = 128;

    /// <summary>Checks and encodes a message.</summary>
    /// <param name="properties">As the sender gave them; gets a <c>to</c> when there is none.</param>
    /// <exception cref="HubException">400: a property is not allowed; 413: it is larger than 64 KB.</exception>
    public static CommandDraft Create(Identity to, MessageProperties properties, ReadOnlySpan<byte> body)
    {
        if (body.Length + properties.SizeBytes > CommandOptions.MaxMessageBytes)
            throw TooLarge();

        var ack = properties.System(SystemProperty.Ack) switch
        {
            [] => CommandAck.None,
            var text when text.SequenceEqual("none"u8) => CommandAck.None,
            var text when text.SequenceEqual("positive"u8) => CommandAck.Positive,
            var text when text.SequenceEqual("negative"u8) => CommandAck.Negative,
            var text when text.SequenceEqual("full"u8) => CommandAck.Full,
            _ => throw new HubException(HubErrors.ArgumentInvalid, "iothub-ack: none, positive, negative or full"),
        };
        if (!properties.Has(SystemProperty.To))
            properties.TrySet(SystemProperty.To, Encoding.UTF8.GetBytes(AddressOf(to)));
        if (!TelemetryRules.Allow(properties, out var expiryMs))
            throw new HubException(
                HubErrors.ArgumentInvalid,
                "a property is not allowed: a message id has at most 128 visible ASCII characters, an expiry time is ISO 8601, content type and encoding are ASCII, text is UTF-8, and no name comes twice");

        var bound = MessageSections.Overhead + AmqpWriter.FixedMax + properties.SizeBytes + (properties.Count * 2 * AmqpWriter.VariableOverhead) + body.Length;
        var target = new byte[bound];
        var writer = new AmqpWriter(target);
        MessageSections.WriteProperties(ref writer, properties, expiryMs);
        MessageSections.WriteApplicationProperties(ref writer, properties);
        writer.Section(AmqpSection.Data);
        body.CopyTo(writer.BinaryContent(body.Length));
        if (writer.Written + AnnotationBytes > CommandOptions.MaxMessageBytes)
            throw TooLarge();

        return new CommandDraft(
            to, Encoding.UTF8.GetString(properties.System(SystemProperty.MessageId)), ack,
            properties.Has(SystemProperty.AbsoluteExpiryTime) ? DateTimeOffset.FromUnixTimeMilliseconds(expiryMs) : null, target[..writer.Written]);
    }

    /// <summary>A command that was given up, as if it were sent now: with the hub's default for its end, and no word of the one it had.</summary>
    public static CommandDraft Again(CommandRecord command)
    {
        var to = Identity.Of(command.DeviceId, command.ModuleId);
        var properties = new MessageProperties();
        if (DeviceMessage.Read(command.Message, properties, out var body) is { } wrong)
            throw new InvalidDataException($"the stored command {command.Sequence} of {to}: {wrong}");
        if (!properties.Has(SystemProperty.AbsoluteExpiryTime))
            return new CommandDraft(to, command.MessageId, command.Ack, null, command.Message);

        properties.Unset(SystemProperty.AbsoluteExpiryTime);
        return Create(to, properties, body);
    }

    /// <summary>The address of an identity's commands, as the .NET SDK spells it.</summary>
    public static string AddressOf(Identity to) =>
        to.ModuleId is { } module ? $"/devices/{to.DeviceId}/modules/{module}/messages/deviceBound" : $"/devices/{to.DeviceId}/messages/deviceBound";

    private static HubException TooLarge() => new(HubErrors.MessageTooLarge, "a cloud-to-device message is larger than 64 KB, properties and their encoding included");
}
