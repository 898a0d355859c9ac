using System.Buffers.Binary;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Messages that go out settled, in their order, as far as there is credit and room; under the gate. What waits is bounded by whoever adds.</summary>
internal sealed class SettledMessages(AmqpPeer connection, AmqpSender link)
{
    private readonly Queue<byte[]> _waiting = [];
    private uint _tag;

    public int Count => _waiting.Count;

    /// <summary>In bytes.</summary>
    public int WaitingBytes { get; private set; }

    public void Add(byte[] message)
    {
        _waiting.Enqueue(message);
        WaitingBytes += message.Length;
    }

    /// <inheritdoc cref="ISource.Pump"/>
    public void Pump()
    {
        Span<byte> tag = stackalloc byte[4];
        while (_waiting.TryPeek(out var message) && connection.HasRoomFor(message.Length))
        {
            BinaryPrimitives.WriteUInt32BigEndian(tag, _tag);
            if (link.TrySend(default, message, tag, 0, settled: true, context: null) != AmqpSendResult.Sent)
                return;

            _tag++;
            _waiting.Dequeue();
            WaitingBytes -= message.Length;
        }

        if (_waiting.Count == 0)
            link.Drained();
    }

    public void Clear()
    {
        _waiting.Clear();
        WaitingBytes = 0;
    }
}
