using System.CommandLine;

namespace Sallyport.Cli.Moving;

/// <summary><c>import azure</c>: takes over the identities and twins of another hub, from the file that its export job wrote.</summary>
internal static class ImportCommand
{
    private static readonly Printing Outcomes = Printing.Table(
        new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("Result", "result"), new("Why", "why"));

    public static Command Create(HubVerbs verbs) => new("import", "Take over what another hub has") { AzureVerb(verbs) };

    private static Verb AzureVerb(HubVerbs verbs)
    {
        var devices = Flags.Required("--devices", "FILE", "devices.txt as IoT Hub's export job wrote it: identities with keys, twins, modules and scopes");
        return verbs.Create(
            "azure", "Take over identities and twins of an IoT hub; says of each whether it is done, differs or cannot be", "import azure --devices devices.txt", [devices], Outcomes,
            async call =>
            {
                var import = new DevicesImport(call.Client);
                await import.RunAsync(call.Parsed.GetValue(devices)!, call.Cancel).ConfigureAwait(false);
                if (import.CannotCount == 0)
                    return import.Outcomes();

                Outcomes.Write(call.Terminal, call.Output, import.Outcomes());
                throw new FailedException($"{import.CannotCount} of {import.Count} cannot be taken over; the others are. Mend what is said of them and import again: nothing is doubled.");
            });
    }
}
