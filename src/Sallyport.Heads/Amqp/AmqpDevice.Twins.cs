using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp;

/// <content>The twin: the device asks on one link and is answered on the other of its session; on that one it is told of its desired properties too.</content>
internal sealed partial class AmqpDevice
{
    private volatile bool _wantsDesired;

    /// <summary>The links on which twin requests are answered; under the gate.</summary>
    public List<TwinReplyNode> TwinReplies { get; } = [];

    /// <summary>It asked to be told of its desired properties.</summary>
    public bool WantsDesired
    {
        get => _wantsDesired;
        set => _wantsDesired = value;
    }

    public bool TakesDesired => _wantsDesired;

    /// <summary>Where a request of the session is answered; under the gate.</summary>
    public TwinReplyNode? FindTwinReply(AmqpSession? session)
    {
        foreach (var reply in TwinReplies)
        {
            if (reply.Session == session)
                return reply;
        }

        return TwinReplies.Count > 0 ? TwinReplies[^1] : null;
    }

    public void Offer(DesiredChange change)
    {
        bool isTaken;
        lock (_connection.Gate)
            isTaken = IsGone || FindTwinReply(null) is not { } reply || reply.Send(TwinMessages.EncodeNotification(change.Json.Span));

        // Whoever offers waits for nothing: closing is for another thread.
        if (isTaken)
            _connection.Schedule();
        else
            ThreadPool.UnsafeQueueUserWorkItem(static device => device.Close(HubErrors.Throttled, "it does not read what it is told of its desired properties"), this, preferLocal: false);
    }
}
