using Sallyport.Protocol.Topics;

namespace Sallyport.Protocol.Mqtt;

/// <summary>What a device asks the hub or answers it, other than telemetry. A copy: it outlives the input it was read from. Immutable.</summary>
/// <param name="Target">A twin request or a method's response.</param>
/// <param name="Status">Of a method's response: the segment behind <c>res/</c>, as sent. Empty for others.</param>
/// <param name="Query">What follows <c>?</c> in the topic.</param>
public sealed record MqttRequest(PublishTarget Target, ReadOnlyMemory<byte> Status, ReadOnlyMemory<byte> Query, ReadOnlyMemory<byte> Payload)
{
    /// <summary>The value of <c>$rid</c>, as sent; empty when there is none.</summary>
    public ReadOnlySpan<byte> RequestId => DeviceTopics.RequestId(Query.Span);
}
