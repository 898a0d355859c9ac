using System.Buffers.Binary;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where a device gets the answers to its twin requests and the changes of its desired properties, in their order. They wait for its credit; a device
/// that lets more than <see cref="MaxWaitingBytes"/> wait, or is one of too many on its connection that do, is closed, because what was dropped it would miss without knowing.
/// </summary>
internal sealed class TwinReplyNode(AmqpPeer connection, AmqpSender link, AmqpDevice device) : ISource, IDeviceNode
{
    public const int MaxWaitingBytes = 1024 * 1024;

    private readonly Queue<byte[]> _waiting = [];
    private int _waitingBytes;
    private uint _tag;

    public AmqpDevice Device { get; } = device;

    public AmqpSession Session => link.Session;

    public void Begin()
    {
        Device.TwinReplies.Add(this);
        link.Accept();
    }

    /// <summary>Sends a message, or keeps it until there is credit and room; under the gate.</summary>
    /// <returns>False when too much waits already; the message is dropped.</returns>
    public bool Send(byte[] message)
    {
        if (_waitingBytes > 0 && (_waitingBytes + message.Length > MaxWaitingBytes || connection.WaitingTwinBytes + message.Length > connection.Head.Options.MaxWaitingTwinBytes))
            return false;

        _waiting.Enqueue(message);
        Waits(message.Length);
        return true;
    }

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
            Waits(-message.Length);
        }

        if (_waiting.Count == 0)
            link.Drained();
    }

    public ValueTask<bool> FillAsync() => default;

    public bool IsGone { get; private set; }

    public void OnGone()
    {
        IsGone = true;
        _waiting.Clear();
        Waits(-_waitingBytes);
        Device.TwinReplies.Remove(this);
        if (Device.TwinReplies.Count == 0)
            Device.WantsDesired = false;
    }

    public void Dispose()
    {
    }

    private void Waits(int bytes)
    {
        _waitingBytes += bytes;
        connection.WaitingTwinBytes += bytes;
    }
}
