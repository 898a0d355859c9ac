using Sallyport.Hub.Methods;

namespace Sallyport.Hub.Devices;

public partial interface IDeviceLink
{
    /// <summary>Whether the device takes requests of direct methods now.</summary>
    bool TakesMethods => false;

    /// <summary>Sends the device a request; its answer comes by <see cref="DeviceSession.AnswerMethod"/>. From any thread; returns at once.</summary>
    /// <returns>False, and nothing is sent: it takes no methods now, or does not read what it is sent.</returns>
    bool TrySend(MethodRequest request) => false;
}
