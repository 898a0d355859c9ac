using Sallyport.Hub.Commands;
using Sallyport.Hub.Faults;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Twins;

namespace Sallyport.Hub.Devices;

/// <summary>What the hub has for devices besides telemetry; null where it has it not. Immutable.</summary>
public sealed record DevicePromises
{
    /// <summary>Telemetry only, as over one HTTPS request.</summary>
    public static DevicePromises None { get; } = new();

    public DirectMethods? Methods { get; init; }

    public DeviceTwins? Twins { get; init; }

    public CommandQueues? Commands { get; init; }

    /// <summary>Null, as it should be: faults that clients ask for are not injected.</summary>
    public FaultInjection? Faults { get; init; }
}
