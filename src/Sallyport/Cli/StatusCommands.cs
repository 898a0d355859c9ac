using System.CommandLine;

namespace Sallyport.Cli;

/// <summary><c>status</c>, <c>show-stats</c> and <c>config show</c>: what runs, for how many, and with which settings.</summary>
internal static class StatusCommands
{
    public static IEnumerable<Command> Create(HubVerbs verbs) =>
    [
        verbs.Create(
            "status", "Show version, uptime, listeners and how far the log has come", "status",
            [], Printing.Table(new("Version", "version"), new("UptimeSeconds", "uptimeSeconds"), new("ConnectedDevices", "connectedDevices"), new("QuarantinedDevices", "quarantinedDevices"), new("Listeners", "listeners")),
            call => call.Client.SendAsync(HttpMethod.Get, "manage/v1/status", cancel: call.Cancel)),
        verbs.Create(
            "show-stats", "Show how many devices there are, are enabled and are connected", "show-stats",
            [], Printing.Table(new("Devices", "totalDeviceCount"), new("Enabled", "enabledDeviceCount"), new("Disabled", "disabledDeviceCount"), new("Connected", "connectedDeviceCount")),
            async call =>
            {
                var devices = (await call.Client.SendAsync(HttpMethod.Get, "statistics/devices", cancel: call.Cancel).ConfigureAwait(false))!;
                var connected = (await call.Client.SendAsync(HttpMethod.Get, "statistics/service", cancel: call.Cancel).ConfigureAwait(false))!;
                devices["connectedDeviceCount"] = connected["connectedDeviceCount"]!.DeepClone();
                return devices;
            }),
        new Command("config", "The settings of the running hub")
        {
            verbs.Create("show", "Show the settings in force, without secrets", "config show", [], Printing.Nothing,
                call => call.Client.SendAsync(HttpMethod.Get, "manage/v1/config", cancel: call.Cancel)),
        },
    ];
}
