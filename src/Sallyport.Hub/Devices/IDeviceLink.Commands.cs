namespace Sallyport.Hub.Devices;

public partial interface IDeviceLink
{
    /// <summary>
    /// There may be commands for it: a link that takes some pulls them (<see cref="Commands.CommandQueues.Receive"/>) within its credit. From any
    /// thread; returns at once.
    /// </summary>
    void OfferCommands()
    {
    }
}
