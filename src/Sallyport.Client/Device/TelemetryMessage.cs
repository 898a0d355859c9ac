using System.Buffers;
using System.Globalization;
using System.Text;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Topics;

namespace Sallyport.Client.Device;

/// <summary>One device-to-cloud message.</summary>
/// <param name="Body">Not copied: leave it unchanged until the message is acknowledged.</param>
public sealed record TelemetryMessage(ReadOnlyMemory<byte> Body)
{
    /// <summary>IoT Hub's bound on a message, properties included.</summary>
    public const int MaxBytes = 262_144;

    private const int MaxTopicBytes = 65_535;

    /// <summary>For example <c>application/json</c>; routing and sinks look at it.</summary>
    public string? ContentType { get; init; }

    /// <summary>For example <c>utf-8</c>.</summary>
    public string? ContentEncoding { get; init; }

    public string? MessageId { get; init; }

    public string? CorrelationId { get; init; }

    /// <summary>When the reading was taken.</summary>
    public DateTimeOffset? CreationTime { get; init; }

    /// <summary>Application properties.</summary>
    public IReadOnlyDictionary<string, string> Properties { get; init; } = new Dictionary<string, string>();

    /// <summary>The topic that carries the message: prefix and property bag.</summary>
    /// <exception cref="ArgumentException">The message is larger than a hub takes.</exception>
    internal byte[] Topic(ReadOnlySpan<byte> prefix)
    {
        var topic = new ArrayBufferWriter<byte>(256);
        topic.Write(prefix);
        var isFirst = true;
        foreach (var (name, value) in Bag())
        {
            PropertyBagWriter.Append(topic, name, value, isFirst);
            isFirst = false;
        }

        if (topic.WrittenCount > MaxTopicBytes || Body.Length + topic.WrittenCount > MaxBytes)
            throw new ArgumentException($"the message is larger than {MaxBytes} bytes, or its properties than {MaxTopicBytes}");
        return topic.WrittenSpan.ToArray();
    }

    /// <summary>The message for AMQP up to the bytes of the body: its properties, and the head of the body's section.</summary>
    /// <exception cref="ArgumentException">The message is larger than a hub takes.</exception>
    internal byte[] Sections()
    {
        var characters = Length(MessageId) + Length(CorrelationId) + Length(ContentType) + Length(ContentEncoding);
        var each = 2 * AmqpWriter.VariableOverhead;
        foreach (var (name, value) in Properties)
            characters += name.Length + value.Length + each;
        if (characters > MaxBytes || Body.Length > MaxBytes - characters)
            throw TooLarge();

        var target = new byte[256 + (3 * characters)];
        var writer = new AmqpWriter(target);
        WriteProperties(ref writer);
        WriteApplicationProperties(ref writer);
        writer.Section(AmqpSection.Data);
        writer.BinaryHead(Body.Length);
        return writer.Written + Body.Length > MaxBytes ? throw TooLarge() : target[..writer.Written];
    }

    private void WriteProperties(ref AmqpWriter writer)
    {
        if (MessageId is null && CorrelationId is null && ContentType is null && ContentEncoding is null)
            return;

        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        Put(ref writer, MessageId, isSymbol: false);
        writer.Null(); // user-id
        writer.Null(); // to
        writer.Null(); // subject
        writer.Null(); // reply-to
        Put(ref writer, CorrelationId, isSymbol: false);
        Put(ref writer, ContentType, isSymbol: true);
        Put(ref writer, ContentEncoding, isSymbol: true);
        writer.End(list, (int)AmqpProperty.ContentEncoding + 1);
    }

    private void WriteApplicationProperties(ref AmqpWriter writer)
    {
        if (Properties.Count == 0 && CreationTime is null)
            return;

        writer.Section(AmqpSection.ApplicationProperties);
        var map = writer.BeginMap();
        if (CreationTime is { } time)
        {
            writer.String("iothub-creation-time-utc"u8);
            writer.String(Encoding.ASCII.GetBytes(time.UtcDateTime.ToString("O", CultureInfo.InvariantCulture)));
        }

        foreach (var (name, value) in Properties)
        {
            writer.String(Encoding.UTF8.GetBytes(name));
            writer.String(Encoding.UTF8.GetBytes(value));
        }

        writer.End(map, (2 * Properties.Count) + (CreationTime is null ? 0 : 2));
    }

    private static void Put(ref AmqpWriter writer, string? value, bool isSymbol)
    {
        if (value is null)
            writer.Null();
        else if (isSymbol && Ascii.IsValid(value))
            writer.Symbol(Encoding.ASCII.GetBytes(value));
        else
            writer.String(Encoding.UTF8.GetBytes(value));
    }

    private static int Length(string? text) => text?.Length ?? 0;

    private static ArgumentException TooLarge() => new($"the message is larger than {MaxBytes} bytes with its properties");

    private IEnumerable<(string Name, string Value)> Bag()
    {
        if (MessageId is not null)
            yield return ("$.mid", MessageId);
        if (CorrelationId is not null)
            yield return ("$.cid", CorrelationId);
        if (ContentType is not null)
            yield return ("$.ct", ContentType);
        if (ContentEncoding is not null)
            yield return ("$.ce", ContentEncoding);
        if (CreationTime is { } time)
            yield return ("$.ctime", time.UtcDateTime.ToString("O", CultureInfo.InvariantCulture));
        foreach (var (name, value) in Properties)
            yield return (name, value);
    }
}
