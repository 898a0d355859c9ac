using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Nodes;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Where answers of a <see cref="RequestNode"/> go. Waits for credit; at <see cref="MaxWaiting"/> the oldest is given up: whoever grants no credit does not look for it.</summary>
internal sealed class ReplyNode(AmqpSender link, NodeKind kind) : ISource
{
    public const int MaxWaiting = 100;

    private readonly Queue<byte[]> _waiting = [];
    private uint _tag;

    public AmqpSender Link { get; } = link;

    public NodeKind Kind { get; } = kind;

    /// <summary>Whether a request's reply-to means this link: by its target's address, or its name.</summary>
    public bool IsCalled(string replyTo) => Link.Attach.Target?.Address == replyTo || Link.Name == replyTo;

    /// <summary>Sends an answer, or keeps it until there is credit; under the gate.</summary>
    public void Send(byte[] response)
    {
        if (_waiting.Count == MaxWaiting)
            _waiting.Dequeue();
        _waiting.Enqueue(response);
        Pump();
    }

    public void Pump()
    {
        Span<byte> tag = stackalloc byte[4];
        while (_waiting.TryPeek(out var response))
        {
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(tag, _tag);
            if (Link.TrySend(default, response, tag, 0, settled: true, context: null) != AmqpSendResult.Sent)
                return;

            _tag++;
            _waiting.Dequeue();
        }

        Link.Drained();
    }

    public ValueTask<bool> FillAsync() => default;

    public bool IsGone { get; private set; }

    public void OnGone()
    {
        IsGone = true;
        _waiting.Clear();
    }

    public void Dispose()
    {
    }
}
