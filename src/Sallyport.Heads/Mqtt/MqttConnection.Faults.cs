using Sallyport.Hub.Faults;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Heads.Mqtt;

/// <content>Faults that the client asked for, where the hub injects any. MQTT cannot refuse a message: one that is refused ends the connection.</content>
internal sealed partial class MqttConnection : IFaultyLink
{
    public void Inject(InjectedFault fault)
    {
        if (!ReferenceEquals(_head.Devices.Find(Identity), this))
            return; // It is gone, or a newer one took over.

        switch (fault.Kind)
        {
            case FaultKind.KillTcp:
                Close(HubErrors.DeviceConnectionClosedRemotely, fault.Text);
                Cut();
                break;
            case FaultKind.ShutDownMqtt:
                Close(HubErrors.DeviceConnectionClosedRemotely, fault.Text);
                break;
        }
    }

    private void RefuseInjected()
    {
        if (_device!.InjectedRefusal is { } refusal)
            throw new MqttProtocolException(refusal.Error, refusal.Text);
    }
}
