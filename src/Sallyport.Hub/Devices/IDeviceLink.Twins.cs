using Sallyport.Hub.Twins;

namespace Sallyport.Hub.Devices;

public partial interface IDeviceLink
{
    /// <summary>Whether the device wants to be told of its desired properties now.</summary>
    bool TakesDesired => false;

    /// <summary>
    /// Tells the device of a change of its desired properties. On the metadata writer's thread: only queues, never blocks or throws. What a device
    /// does not read in time is dropped with its connection: it reads its twin when it comes back.
    /// </summary>
    void Offer(DesiredChange change)
    {
    }
}
