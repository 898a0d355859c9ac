using System.CommandLine;

namespace Sallyport.Cli.Moving;

/// <summary><c>import azure</c>: takes over what another hub had, from the file that its export job or <c>az iot hub state export</c> wrote.</summary>
internal static class ImportCommand
{
    private static readonly Printing Outcomes = Printing.Table(
        new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("Item", "item"), new("Result", "result"), new("Why", "why"));

    public static Command Create(HubVerbs verbs) => new("import", "Take over what another hub has") { AzureVerb(verbs) };

    private static Verb AzureVerb(HubVerbs verbs)
    {
        var devices = Flags.Text("--devices", "FILE", "devices.txt as IoT Hub's export job wrote it: identities with keys, twins, modules and scopes");
        var state = Flags.Text("--state", "FILE", "What az iot hub state export wrote: the same, and configurations");
        var verb = verbs.Create(
            "azure", "Take over what an IoT hub had; says of each item whether it is done, differs or cannot be", "import azure --state hub.json", [devices, state], Outcomes,
            async call =>
            {
                var import = new DevicesImport(call.Client);
                if (call.Parsed.GetValue(state) is { } file)
                    await new StateImport(call.Client, import).RunAsync(file, call.Cancel).ConfigureAwait(false);
                else
                    await import.RunAsync(call.Parsed.GetValue(devices)!, call.Cancel).ConfigureAwait(false);
                if (import.CannotCount == 0)
                    return import.Outcomes();

                Outcomes.Write(call.Terminal, call.Output, import.Outcomes());
                throw new FailedException($"{import.CannotCount} of {import.Count} cannot be taken over; the others are. Mend what is said of them and import again: nothing is doubled.");
            });
        Files.RequireOne(verb, devices, state);
        return verb;
    }
}
