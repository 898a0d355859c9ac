using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Hub.Moving;

namespace Sallyport.Cli.Moving;

/// <summary><c>export azure</c>: writes what the hub has as IoT Hub's import job, or <c>az iot hub state import</c>, reads it.</summary>
internal static class ExportCommand
{
    private static readonly Printing Written = Printing.Table(new("Devices", "devices"), new("Modules", "modules"), new("Configurations", "configurations"), new("WithoutKeys", "withoutKeys"), new("File", "file"));

    public static Command Create(HubVerbs verbs) => new("export", "Write what the hub has, for another") { AzureVerb(verbs) };

    private static Verb AzureVerb(HubVerbs verbs)
    {
        var devices = Flags.Text("--devices", "FILE", "The new devices.txt, readable by you alone: it holds keys, for whoever may see them");
        var state = Flags.Text("--state", "FILE", "The new state file, as az iot hub state import reads it, readable by you alone");
        var verb = verbs.Create(
            "azure", "Write identities with keys, twins, modules, scopes and configurations as Azure's tools read them", "export azure --devices devices.txt", [devices, state], Written,
            async call =>
            {
                var path = call.Parsed.GetValue(devices) ?? call.Parsed.GetValue(state)!;
                try
                {
                    var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
                    if (!OperatingSystem.IsWindows())
                        options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
                    await using var file = new FileStream(path, options);
                    return call.Parsed.GetValue(state) is null ? await WriteDevicesAsync(call, file, path).ConfigureAwait(false) : await WriteStateAsync(call, file, path).ConfigureAwait(false);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    throw new FailedException($"{path} cannot be written: {e.Message}", e);
                }
            });
        Files.RequireOne(verb, devices, state);
        return verb;
    }

    private static async Task<JsonNode?> WriteDevicesAsync(HubCall call, FileStream file, string path)
    {
        var (devices, modules, withoutKeys) = (0, 0, 0);
        await foreach (var device in RegistryReading.ReadAsync(call.Client, call.Cancel).ConfigureAwait(false))
        {
            await WriteAsync(device.Identity, device.Twin).ConfigureAwait(false);
            devices++;
            foreach (var (module, twin) in device.Modules)
            {
                await WriteAsync(module, twin).ConfigureAwait(false);
                modules++;
            }
        }

        return new JsonObject { ["devices"] = devices, ["modules"] = modules, ["withoutKeys"] = withoutKeys, ["file"] = path };

        ValueTask WriteAsync(JsonObject identity, JsonObject? twin)
        {
            if ((string?)identity["authentication"]?["type"] == "sas" && identity["authentication"]!["symmetricKey"]?["primaryKey"] is null)
                withoutKeys++;
            return file.WriteAsync(DevicesLine.Encode(DevicesLine.Of(identity, twin)), call.Cancel);
        }
    }

    private static async Task<JsonNode?> WriteStateAsync(HubCall call, FileStream file, string path)
    {
        var export = new StateExport(call);
        await export.WriteAsync(file).ConfigureAwait(false);
        return new JsonObject { ["devices"] = export.Devices, ["modules"] = export.Modules, ["configurations"] = export.Configurations, ["withoutKeys"] = export.WithoutKeys, ["file"] = path };
    }
}
