using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where requests arrive (<c>$cbs</c>, <c>$management</c>). A request is settled before it is answered: there are clients that take an answer
/// which overtakes the outcome for a failure.
/// </summary>
internal sealed class RequestNode(AmqpPeer connection, AmqpReceiver link, NodeKind kind, Func<RequestMessage, ValueTask<byte[]>> answer) : IReceivingNode
{
    /// <summary>Requests that may be on their way. They are answered one after the other.</summary>
    public const uint Credit = 100;

    private RequestMessage? _request;

    public NodeKind Kind { get; } = kind;

    public bool Take(in AmqpDelivery delivery)
    {
        _request = RequestMessage.TryRead(delivery.Message);
        if (!delivery.Settled)
        {
            var (state, error) = _request is not null
                ? (DeliveryState.Accepted, default(AmqpError))
                : (DeliveryState.Rejected, new AmqpError(AmqpConditions.DecodeError, "the request could not be read"));
            link.Settle(delivery.Id, delivery.Id, 1, state, error);
        }

        link.TopUp();
        return _request is null;
    }

    public async ValueTask CompleteAsync()
    {
        if (_request is not { } request)
            return;

        _request = null;
        var response = await answer(request).ConfigureAwait(false);
        lock (connection.Gate)
            connection.FindReply(link.Session, Kind, request.ReplyTo)?.Send(response);
        connection.Schedule();
    }
}
