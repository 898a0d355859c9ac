using System.Buffers.Binary;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Client.Amqp;

/// <summary>An answer of a node; its body is valid during the call.</summary>
internal delegate void AmqpAnswerHandler(int status, string description, AmqpValue body);

/// <summary>
/// Two links to a node that answers (<c>$cbs</c>, <c>$management</c>): requests go out on one, answers come in on the other, told apart by number.
/// Used by the loop that owns the connection.
/// </summary>
internal sealed class RequestLinks
{
    private const uint Credit = 50;

    private readonly string _node;
    private readonly string _replyTo;
    private readonly AmqpSender _requests;
    private readonly AmqpReceiver _answers;
    private readonly Queue<byte[]> _waiting = [];
    private readonly Dictionary<ulong, AmqpAnswerHandler> _asked = [];
    private ulong _next;

    /// <exception cref="InvalidOperationException">The hub takes no more links.</exception>
    public RequestLinks(AmqpSession session, string node)
    {
        _node = node;
        _replyTo = $"{node[1..]}-{Guid.NewGuid():N}";
        _answers = session.AttachReceiver(_replyTo, node, target: _replyTo, SenderSettleMode.Settled);
        _requests = session.AttachSender(_replyTo, node, source: _replyTo, SenderSettleMode.Settled);
    }

    public bool Has(AmqpLink? link) => link == _requests || link == _answers;

    /// <summary>Sends a request as soon as the node takes it.</summary>
    /// <param name="answered">Called by the loop, once, unless the connection ends before.</param>
    public void Ask(RequestMessage request, AmqpAnswerHandler answered)
    {
        Span<byte> id = stackalloc byte[AmqpWriter.FixedMax];
        var writer = new AmqpWriter(id);
        writer.ULong(_next);
        _asked.Add(_next++, answered);
        _waiting.Enqueue((request with { EncodedId = id[..writer.Written].ToArray(), ReplyTo = _replyTo }).Encode(_node));
        Pump();
    }

    /// <summary>Takes a step that is about one of the two links.</summary>
    public void On(AmqpStep step, in AmqpDelivery delivery)
    {
        switch (step)
        {
            case AmqpStep.Attached when _answers.IsAttached && _answers.Attach.Source is not null:
                _answers.Grant(Credit);
                break;
            case AmqpStep.Delivery:
                if (!delivery.Settled)
                    _answers.Settle(delivery.Id, delivery.Id, 1, DeliveryState.Accepted);
                _answers.TopUp();
                if (ResponseMessage.TryRead(delivery.Message, out var id, out var status, out var description, out var body) && _asked.Remove(id, out var answered))
                    answered(status, description, body);
                break;
            default:
                break;
        }
    }

    /// <summary>Credit, or the session's window, may have changed.</summary>
    public void Pump()
    {
        Span<byte> tag = stackalloc byte[sizeof(ulong)];
        while (_waiting.TryPeek(out var request))
        {
            BinaryPrimitives.WriteUInt64BigEndian(tag, _next);
            if (_requests.TrySend(default, request, tag, format: 0, settled: true, context: null) != AmqpSendResult.Sent)
                return;

            _waiting.Dequeue();
        }
    }
}
