using System.Buffers;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Heads.Mqtt;

/// <content>What the device asks for and answers, other than telemetry: each kind to the promise that it belongs to.</content>
internal sealed partial class MqttConnection
{
    private ValueTask OnRequestAsync(MqttRequest request)
    {
        if (request.Target == PublishTarget.MethodResponse)
            AnswerMethod(request);
        else
            RefuseTwinRequest(request.RequestId);
        return ValueTask.CompletedTask;
    }

    // The hub publishes nothing of QoS 1 yet.
    private static ValueTask OnAcknowledgedAsync(ushort packetId) => ValueTask.CompletedTask;

    // Twins come with a later version; until then every request is answered, because SDKs wait for ever.
    private void RefuseTwinRequest(ReadOnlySpan<byte> requestId)
    {
        if (requestId.IsEmpty || !_session.IsSubscribed(DeviceTopics.TwinResponses))
            return;

        var prefix = "$iothub/twin/res/501/?$rid="u8;
        var length = prefix.Length + requestId.Length;
        if (length > ushort.MaxValue)
            throw new MqttProtocolException("the request id does not fit into the topic of the answer");

        var topic = ArrayPool<byte>.Shared.Rent(length);
        prefix.CopyTo(topic);
        requestId.CopyTo(topic.AsSpan(prefix.Length));
        MqttWriter.Publish(_replies, dup: false, qos: 0, retain: false, packetId: 0, topic.AsSpan(0, length), TwinRefusal);
        ArrayPool<byte>.Shared.Return(topic);
    }

    private static ReadOnlySpan<byte> TwinRefusal => "{\"errorCode\":501000,\"message\":\"This hub does not have twins yet.\"}"u8;
}
