using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Moving;

namespace Sallyport.Cli.Moving;

/// <summary><c>export azure</c>: writes the identities and twins of the hub as IoT Hub's import job reads them.</summary>
internal static class ExportCommand
{
    private static readonly Printing Written = Printing.Table(new("Devices", "devices"), new("Modules", "modules"), new("WithoutKeys", "withoutKeys"), new("File", "file"));

    public static Command Create(HubVerbs verbs) => new("export", "Write what the hub has, for another") { AzureVerb(verbs) };

    private static Verb AzureVerb(HubVerbs verbs)
    {
        var devices = Flags.Required("--devices", "FILE", "The new file, readable by you alone: it holds keys, for whoever may see them");
        return verbs.Create(
            "azure", "Write identities with keys, twins, modules and scopes as IoT Hub's import job reads them", "export azure --devices devices.txt", [devices], Written,
            async call =>
            {
                var path = call.Parsed.GetValue(devices)!;
                try
                {
                    var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
                    if (!OperatingSystem.IsWindows())
                        options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
                    using var file = new StreamWriter(path, new UTF8Encoding(false), options) { NewLine = "\r\n" };
                    return await WriteAsync(call, file, path).ConfigureAwait(false);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    throw new FailedException($"{path} cannot be written: {e.Message}", e);
                }
            });
    }

    private static async Task<JsonNode?> WriteAsync(HubCall call, StreamWriter file, string path)
    {
        var (devices, modules, withoutKeys) = (0, 0, 0);
        var twins = await TwinsAsync(call, "SELECT * FROM devices").ConfigureAwait(false);
        foreach (var device in (await call.Client.ListDevicesAsync(int.MaxValue, call.Cancel).ConfigureAwait(false)).OfType<JsonObject>())
        {
            await WriteAsync(device, twins.GetValueOrDefault(device["deviceId"]!.ToString())).ConfigureAwait(false);
            devices++;
        }

        var moduleTwins = await TwinsAsync(call, "SELECT * FROM devices.modules").ConfigureAwait(false);
        foreach (var owner in moduleTwins.Values.Select(twin => twin["deviceId"]!.ToString()).Distinct(StringComparer.Ordinal))
        {
            foreach (var module in (await call.Client.ListModulesAsync(owner, call.Cancel).ConfigureAwait(false)).OfType<JsonObject>())
            {
                await WriteAsync(module, moduleTwins.GetValueOrDefault($"{owner}/{module["moduleId"]}")).ConfigureAwait(false);
                modules++;
            }
        }

        return new JsonObject { ["devices"] = devices, ["modules"] = modules, ["withoutKeys"] = withoutKeys, ["file"] = path };

        Task WriteAsync(JsonObject identity, JsonObject? twin)
        {
            if ((string?)identity["authentication"]?["type"] == "sas" && identity["authentication"]!["symmetricKey"]?["primaryKey"] is null)
                withoutKeys++;
            return file.WriteLineAsync(DevicesLine.Of(identity, twin).ToJsonString().AsMemory(), call.Cancel);
        }
    }

    private static async Task<Dictionary<string, JsonObject>> TwinsAsync(HubCall call, string query)
    {
        var twins = new Dictionary<string, JsonObject>(StringComparer.Ordinal);
        await foreach (var twin in call.Client.QueryAsync(query, 1000, call.Cancel).ConfigureAwait(false))
            twins[twin["moduleId"] is { } module ? $"{twin["deviceId"]}/{module}" : twin["deviceId"]!.ToString()] = twin;
        return twins;
    }
}
