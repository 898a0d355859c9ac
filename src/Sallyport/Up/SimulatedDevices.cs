using System.Security.Authentication;
using Microsoft.Extensions.Logging;
using Sallyport.Client.Device;
using Sallyport.Client.Service;
using Sallyport.Simulate;

namespace Sallyport.Up;

/// <summary><c>up --simulate N</c>: devices that connect to the hub from within its process, over its listeners like any other.</summary>
internal static class SimulatedDevices
{
    /// <summary>Runs until it is cancelled. The hub goes on when they cannot: they are an example, not a part of it.</summary>
    public static async Task RunAsync(int count, EndpointsFile hub, TimeProvider time, ILogger log, CancellationToken cancel)
    {
        if (count == 0)
            return;

        try
        {
            var simulation = new Simulation(
                new SimulationOptions { Devices = count }, new DeviceClientOptions { Port = hub.MqttsPort!.Value, CaFile = hub.CaFile, Time = time }, time);
            using var service = new ServiceClient(hub.OwnerConnectionString!, new ServiceClientOptions { Address = hub.ServiceAddress, Port = hub.ServicePort ?? hub.HttpsPort, CaFile = hub.CaFile, Time = time });
            await simulation.RunAsync(await simulation.RegisterAsync(service, cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return;
        }
        catch (Exception failure) when (failure is HttpRequestException or ServiceException or DeviceRefusedException or IOException or TimeoutException or AuthenticationException)
        {
            log.SimulationEnded(failure.Message);
        }
    }
}
