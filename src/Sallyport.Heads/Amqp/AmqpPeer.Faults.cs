using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Faults;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp;

/// <content>
/// Faults that a client asked for, where the hub injects any. What is done to the connection, or to the links of <c>$cbs</c>, is done to all devices that share
/// them; the rest to the device alone.
/// </content>
internal sealed partial class AmqpPeer
{
    internal void Inject(AmqpDevice device, InjectedFault fault)
    {
        lock (Gate)
        {
            if (device.IsGone)
                return;
        }

        var error = HubErrors.DeviceConnectionClosedRemotely;
        var forced = new AmqpError(AmqpConditions.ConnectionForced, fault.Text);
        switch (fault.Kind)
        {
            case FaultKind.KillTcp:
                lock (Gate)
                    _ending ??= (error, fault.Text); // For diagnosis: nothing is written any more.
                Cut();
                break;
            case FaultKind.KillAmqpConnection when TryEnd(forced, error, fault.Text, isOrderly: false):
            case FaultKind.ShutDownAmqp when TryEnd(forced, error, fault.Text, isOrderly: true):
                Head.Hub.Logger.AmqpClosed(Peer.Address, forced.Condition, fault.Text);
                break;
            case FaultKind.KillAmqpSession:
                EndSessions(device, new AmqpError(AmqpConditions.InternalError, fault.Text));
                break;
            default:
                DetachMeant(device, fault);
                break;
        }
    }

    private void DetachMeant(AmqpDevice device, InjectedFault fault)
    {
        var wire = new AmqpError(AmqpConditions.DetachForced, fault.Text);
        lock (Gate)
        {
            foreach (var link in Endpoint.Sessions.SelectMany(session => session.Links).Where(link => IsMeant(link, device, fault.Kind)).ToArray())
            {
                link.Detach(wire);
                OnGone(link);
            }

            if (device.IsGone)
                device.Ended ??= (HubErrors.DeviceConnectionClosedRemotely, fault.Text);
        }

        LeaveGoneDevices();
        Schedule();
    }

    // A session that other devices use too is not ended: the device's links in it are detached.
    private void EndSessions(AmqpDevice device, AmqpError wire)
    {
        lock (Gate)
        {
            device.Ended ??= (HubErrors.DeviceConnectionClosedRemotely, wire.Description);
            foreach (var links in device.Links.GroupBy(link => link.Session).ToArray())
            {
                var session = links.Key;
                var isShared = session.Links.Any(link => link.Node is IDeviceNode other && other.Device != device);
                foreach (var link in isShared ? [.. links] : session.Links.ToArray())
                {
                    if (isShared)
                        link.Detach(wire);
                    OnGone(link);
                }

                if (!isShared)
                    session.End(wire);
            }
        }

        LeaveGoneDevices();
        Schedule();
    }

    private static bool IsMeant(AmqpLink link, AmqpDevice device, FaultKind kind) => (kind, link.Node) switch
    {
        (FaultKind.KillAmqpCBSLinkReq, RequestNode { Kind: NodeKind.Cbs }) => true,
        (FaultKind.KillAmqpCBSLinkResp, ReplyNode { Kind: NodeKind.Cbs }) => true,
        (FaultKind.KillAmqpD2CLink, TelemetryNode node) => node.Device == device,
        (FaultKind.KillAmqpC2DLink, DeviceBoundNode node) => node.Device == device,
        (FaultKind.KillAmqpTwinLinkReq, TwinRequestNode node) => node.Device == device,
        (FaultKind.KillAmqpTwinLinkResp, TwinReplyNode node) => node.Device == device,
        (FaultKind.KillAmqpMethodReqLink, MethodRequestNode node) => node.Device == device,
        (FaultKind.KillAmqpMethodRespLink, MethodResponseNode node) => node.Device == device,
        _ => false,
    };
}

/// <content>See <see cref="AmqpPeer"/>.</content>
internal sealed partial class AmqpDevice : IFaultyLink
{
    public void Inject(InjectedFault fault) => _connection.Inject(this, fault);
}
