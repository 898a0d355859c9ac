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

    private readonly SettledMessages _waiting = new(connection, link);

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

        _waiting.Add(MethodMessages.EncodeRequest(request.Id, request.Name, request.Payload.Span));
        return true;
    }

    public void Pump() => _waiting.Pump();

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
