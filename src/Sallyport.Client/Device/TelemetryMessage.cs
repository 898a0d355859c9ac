using System.Buffers;
using System.Globalization;
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
