using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary><c>digital-twin</c>: plug-and-play devices, with the verbs and flags of <c>az iot hub</c>.</summary>
internal static class DigitalTwinCommand
{
    private static readonly Printing Twin = Printing.Table(new("DigitalTwinId", "$dtId"), new("Model", twin => (string?)twin["$metadata"]?["$model"]));

    private static readonly Printing Answer = Printing.Table(new("Status", "status"), new("Payload", "payload"));

    public static Command Create(HubVerbs verbs) => new("digital-twin", "Properties and commands of plug-and-play devices") { ShowVerb(verbs), UpdateVerb(verbs), InvokeVerb(verbs) };

    private static Option<string> Device() => Flags.Required("--device-id", "ID", "The device", "-d");

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var device = Device();
        return verbs.Create("show", "Show the digital twin of a device", "digital-twin show -d d1", [device], Twin,
            async call => await call.Client.GetDigitalTwinAsync(call.Parsed.GetValue(device)!, call.Cancel).ConfigureAwait(false));
    }

    private static Verb UpdateVerb(HubVerbs verbs)
    {
        var device = Device();
        var patch = Flags.Required("--json-patch", "JSON|@FILE", "A JSON Patch, or one operation of it: add, replace or remove of /PROPERTY, /COMPONENT or /COMPONENT/PROPERTY", "--patch");
        var etag = Flags.Text("--etag", "ETAG", "Only if the device's twin has this etag", "-e");
        return verbs.Create(
            "update", "Change what is wanted of properties, and show the digital twin after it", "digital-twin update -d d1 --json-patch '{\"op\":\"add\",\"path\":\"/thermostat1/targetTemperature\",\"value\":21}'", [device, patch, etag], Twin,
            async call =>
            {
                var (id, operations) = (call.Parsed.GetValue(device)!, await ReadAsync(call.Parsed.GetValue(patch)!, call).ConfigureAwait(false));
                await call.Client.UpdateDigitalTwinAsync(id, operations, call.Parsed.GetValue(etag) ?? "*", call.Cancel).ConfigureAwait(false);
                return await call.Client.GetDigitalTwinAsync(id, call.Cancel).ConfigureAwait(false);
            });
    }

    private static Verb InvokeVerb(HubVerbs verbs)
    {
        var device = Device();
        var command = Flags.Required("--command-name", "NAME", "The command", "--cn", "-n");
        var component = Flags.Text("--component-path", "NAME", "The component whose command it is; the device's own when not given");
        var payload = Flags.Text("--payload", "JSON|@FILE|-", "What the command gets: JSON, a file of it, or - for standard input; {} when not given");
        var response = Flags.Number("--response-timeout", "SECONDS", "How long the device may take to answer, 5 to 300", 5, 300, 30, "--rto");
        var connect = Flags.Number("--connect-timeout", "SECONDS", "How long to wait for a device that is not connected, 0 to 300", 0, 300, 0, "--cto");
        return verbs.Create(
            "invoke-command", "Call a command of a device or of a component of it and print what it answers", "digital-twin invoke-command -d d1 --cn getMaxMinReport --component-path thermostat1",
            [device, command, component, payload, response, connect], Answer, async call =>
            {
                var body = await MethodCommands.PayloadAsync("--payload", call.Parsed.GetValue(payload), call).ConfigureAwait(false);
                var limits = new MethodTimeouts(TimeSpan.FromSeconds(call.Parsed.GetValue(response)!.Value), TimeSpan.FromSeconds(call.Parsed.GetValue(connect)!.Value));
                return await call.Client.InvokeCommandAsync(
                    call.Parsed.GetValue(device)!, call.Parsed.GetValue(component), call.Parsed.GetValue(command)!, body, limits, call.Cancel).ConfigureAwait(false);
            });
    }

    /// <exception cref="WrongUsageException">It is no JSON Patch.</exception>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    private static async Task<JsonArray> ReadAsync(string given, HubCall call)
    {
        var text = given is ['@', _, ..] ? await Secrets.ReadFileAsync("--json-patch", given[1..], call.Cancel).ConfigureAwait(false) : given;
        try
        {
            switch (JsonNode.Parse(text))
            {
                case JsonArray operations:
                    return operations;
                case JsonObject operation:
                    return [operation];
            }
        }
        catch (JsonException broken)
        {
            throw new WrongUsageException($"--json-patch is not JSON ({broken.Message.TrimEnd('.')}).");
        }

        throw new WrongUsageException("--json-patch is a JSON array of operations, one operation, or @FILE with them.");
    }
}
