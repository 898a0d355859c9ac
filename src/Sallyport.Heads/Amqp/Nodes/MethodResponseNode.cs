using System.Text;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Where a device answers direct methods. An answer that nobody waits for is accepted and dropped, as over MQTT.</summary>
internal sealed class MethodResponseNode(AmqpReceiver link, AmqpDevice device) : IReceivingNode, IDeviceNode
{
    /// <summary>Answers that may be on their way.</summary>
    public const uint Credit = 100;

    /// <summary>The largest payload, and what its encoding adds: one that is a little too large is told to the caller, not to the device.</summary>
    public const int MaxMessageBytes = MethodRules.MaxPayloadBytes + (64 * 1024);

    public AmqpDevice Device { get; } = device;

    public void Begin()
    {
        Device.MethodResponses = this;
        link.Accept(MaxMessageBytes);
        link.MaxMessageSize = MaxMessageBytes;
        link.Grant(Credit);
    }

    public bool Take(in AmqpDelivery delivery)
    {
        var isAnswer = MethodMessages.TryReadResponse(delivery.Message, out var requestId, out var status, out var payload);
        if (isAnswer)
            Device.Session.AnswerMethod(Encoding.UTF8.GetBytes(requestId), status, payload);
        if (!delivery.Settled)
            link.Settle(delivery.Id, delivery.Id, 1, isAnswer ? DeliveryState.Accepted : DeliveryState.Rejected, isAnswer ? null : NotAnAnswer);
        link.TopUp();
        return true;
    }

    public ValueTask CompleteAsync() => default;

    public void OnGone()
    {
        if (Device.MethodResponses == this)
            Device.MethodResponses = null;
    }

    private static AmqpError NotAnAnswer { get; } = new(HubErrors.FormatError.AmqpCondition, "an answer to a method has a correlation-id and a data section");
}
