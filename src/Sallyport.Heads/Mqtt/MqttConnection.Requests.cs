using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Heads.Mqtt;

/// <content>What the device asks for and answers, other than telemetry: each kind to the promise that it belongs to.</content>
internal sealed partial class MqttConnection
{
    private ValueTask OnRequestAsync(MqttRequest request)
    {
        if (request.Target != PublishTarget.MethodResponse)
            return OnTwinRequestAsync(request);

        AnswerMethod(request);
        return ValueTask.CompletedTask;
    }

    // Commands are all that the hub publishes with QoS 1.
    private ValueTask OnAcknowledgedAsync(ushort packetId)
    {
        OnCommandAcknowledged(packetId);
        return ValueTask.CompletedTask;
    }
}
