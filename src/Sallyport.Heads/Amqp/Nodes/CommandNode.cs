using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Where services send commands to devices: each is rejected, because the hub has no command queues yet.</summary>
internal sealed class CommandNode(AmqpReceiver link) : IReceivingNode
{
    /// <summary>IoT Hub's bound on a command: 64 KB, and what its encoding adds.</summary>
    public const int MaxMessageBytes = 66 * 1024;

    public const uint Credit = 100;

    private static readonly AmqpError NotYet = new(HubErrors.NotImplemented.AmqpCondition, HubErrors.NotImplemented.Meaning);

    public bool Take(in AmqpDelivery delivery)
    {
        if (!delivery.Settled)
            link.Settle(delivery.Id, delivery.Id, 1, DeliveryState.Rejected, NotYet);
        link.TopUp();
        return true;
    }

    public ValueTask CompleteAsync() => default;
}
