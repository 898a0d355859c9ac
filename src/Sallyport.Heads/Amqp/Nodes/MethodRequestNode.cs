using System.Buffers.Binary;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where a device gets requests of direct methods. No more than it gave credit for is taken, and no more than <see cref="MaxWaiting"/> while it
/// does not read: the hub refuses the call then.
/// </summary>
internal sealed class MethodRequestNode(AmqpPeer connection, AmqpSender link, AmqpDevice device) : ISource, IDeviceNode
{
    public const int MaxWaiting = 16;

    private readonly Queue<byte[]> _waiting = [];
    private uint _tag;

    public AmqpDevice Device { get; } = device;

    /// <summary>Whether it takes one more; under the gate.</summary>
    public bool HasCredit => link.IsAttached && link.Credit > _waiting.Count;

    public void Begin()
    {
        Device.MethodRequests = this;
        link.Accept();
    }

    /// <summary>Sends a request, or keeps it until there is room; under the gate.</summary>
    public bool TrySend(MethodRequest request)
    {
        if (!HasCredit || _waiting.Count >= MaxWaiting)
            return false;

        _waiting.Enqueue(MethodMessages.EncodeRequest(request.Id, request.Name, request.Payload.Span));
        return true;
    }

    public void Pump()
    {
        Span<byte> tag = stackalloc byte[4];
        while (_waiting.TryPeek(out var request) && connection.HasRoomFor(request.Length))
        {
            BinaryPrimitives.WriteUInt32BigEndian(tag, _tag);
            if (link.TrySend(default, request, tag, 0, settled: true, context: null) != AmqpSendResult.Sent)
                return;

            _tag++;
            _waiting.Dequeue();
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
        if (Device.MethodRequests == this)
            Device.MethodRequests = null;
    }

    public void Dispose()
    {
    }
}
