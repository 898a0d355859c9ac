using System.Globalization;
using System.Text;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Heads.Mqtt;

/// <content>Direct methods: requests go out with QoS 0 while the device is subscribed to them.</content>
internal sealed partial class MqttConnection
{
    // Written by the read loop, read by whoever calls a method.
    private volatile bool _takesMethods;

    public bool TakesMethods => _takesMethods && !IsEnding;

    public bool TrySend(MethodRequest request) =>
        TakesMethods && TryPublish(Encoding.UTF8.GetBytes($"$iothub/methods/POST/{request.Name}/?$rid={request.Id:N}"), request.Payload.Span, qos: 0, packetId: 0);

    private void AnswerMethod(MqttRequest request)
    {
        int? status = int.TryParse(request.Status.Span, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null;
        _device!.AnswerMethod(request.RequestId, status, request.Payload.Span);
    }

    // What the device is subscribed to changed, or is known for the first time. Once the answer to it is on its way.
    private void TellSubscriptions()
    {
        _takesMethods = _session.IsSubscribed(DeviceTopics.MethodRequests);
        _takesDesired = _session.IsSubscribed(DeviceTopics.DesiredProperties);
        TakeCommands();
        _head.Devices.TellChanged(this);
    }
}
