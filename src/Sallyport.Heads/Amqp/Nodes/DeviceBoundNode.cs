using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Where a device gets its commands, and says what became of them: accepted completes, released abandons, rejected gives up.</summary>
internal sealed class DeviceBoundNode : ISource, IDeviceNode, IOutcomeNode
{
    private readonly AmqpSender _link;
    private readonly LockedDeliveries _deliveries;

    public DeviceBoundNode(AmqpPeer connection, AmqpSender link, AmqpDevice device)
    {
        _link = link;
        Device = device;
        _deliveries = new LockedDeliveries(connection, link, Take, () => device.Session.ReleaseCommands(this));
    }

    public AmqpDevice Device { get; }

    /// <summary>There may be commands. From any thread; returns at once.</summary>
    public void Offer() => _deliveries.Offer();

    public void Begin()
    {
        Device.Commands = this;
        _link.Accept();
    }

    public bool IsGone => _deliveries.IsGone;

    public void Pump() => _deliveries.Pump();

    public ValueTask<bool> FillAsync() => new(_deliveries.Fill());

    public void OnOutcome(in AmqpOutcome outcome) => _deliveries.OnOutcome(outcome);

    public void OnGone()
    {
        if (Device.Commands == this)
            Device.Commands = null;
        _deliveries.OnGone();
    }

    public void Dispose()
    {
    }

    private List<LockedDelivery> Take(int top) => [.. Device.Session.ReceiveCommands(this, top, isTimed: true).Select(Lend)];

    private LockedDelivery Lend(LockedCommand locked)
    {
        var token = locked.Token;
        return new LockedDelivery(token, locked.Annotations(), locked.Command.Message, settlement => SettleAsync(token, settlement));
    }

    private ValueTask<bool> SettleAsync(Guid token, Settlement settlement) => settlement switch
    {
        Settlement.Complete => Device.Session.CompleteCommandAsync(token),
        Settlement.Reject => Device.Session.RejectCommandAsync(token),
        _ => Device.Session.AbandonCommandAsync(token),
    };
}
