using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>edge</c>: the modules of edge devices, with the verbs and flags of <c>az iot edge</c>.</summary>
internal static class EdgeCommand
{
    private static readonly Printing Modules = Printing.Table(new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("ManagedBy", "managedBy"), new("State", "connectionState"));

    public static Command Create(HubVerbs verbs) => new("edge", "Edge devices: what modules they run")
    {
        ConfigurationCommand.Deployments(verbs),
        SetModulesVerb(verbs),
        ExportModulesVerb(verbs),
    };

    private static Verb SetModulesVerb(HubVerbs verbs)
    {
        var device = Flags.Required("--device-id", "ID", "The edge device", "-d");
        var content = Flags.Required("--content", "JSON|@FILE", "modulesContent: by module its desired properties, as export-modules prints it", "-k");
        return verbs.Create(
            "set-modules", "Set the desired properties of modules of an edge device at once, and make those that are missing", "edge set-modules -d e1 -k @modules.json", [device, content], Modules, async call =>
            {
                var read = await ConfigurationCommand.ReadAsync("--content", call.Parsed.GetValue(content)!, call).ConfigureAwait(false);
                var path = $"devices/{Uri.EscapeDataString(call.Parsed.GetValue(device)!)}";
                await call.Client.SendAsync(HttpMethod.Post, $"{path}/applyConfigurationContent", (read["content"] as JsonObject ?? read).DeepClone(), cancel: call.Cancel).ConfigureAwait(false);
                var modules = await call.Client.ListModulesAsync(call.Parsed.GetValue(device)!, call.Cancel).ConfigureAwait(false);
                foreach (var module in modules)
                    module!.AsObject().Remove("authentication");
                return modules;
            });
    }

    private static Verb ExportModulesVerb(HubVerbs verbs)
    {
        var device = Flags.Required("--device-id", "ID", "The edge device", "-d");
        return verbs.Create(
            "export-modules", "Show the desired properties of the modules of an edge device, as set-modules takes them", "edge export-modules -d e1", [device], Printing.Rows, async call =>
            {
                var id = call.Parsed.GetValue(device)!;
                var content = new JsonObject();
                foreach (var module in await call.Client.ListModulesAsync(id, call.Cancel).ConfigureAwait(false))
                {
                    var name = (string)module!["moduleId"]!;
                    var desired = (await call.Client.GetTwinAsync(id, name, call.Cancel).ConfigureAwait(false))["properties"]!["desired"]!.DeepClone().AsObject();
                    desired.Remove("$metadata");
                    desired.Remove("$version");
                    content[name] = new JsonObject { ["properties.desired"] = desired };
                }

                return new JsonObject { ["content"] = new JsonObject { ["modulesContent"] = content } };
            });
    }
}
