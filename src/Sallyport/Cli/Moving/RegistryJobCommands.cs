using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli.Moving;

/// <summary>
/// <c>device-identity import</c> and <c>export</c>: the hub's jobs over a blob container, with the verbs and flags of <c>az iot hub</c>; and what Azure lacks, a look at them.
/// </summary>
internal static class RegistryJobCommands
{
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(1);

    private static readonly Printing Jobs = Printing.Table(
        new("JobId", "jobId"), new("Type", "type"), new("Status", "status"), new("Progress", job => job["progress"]?.ToJsonString()),
        new("StartTime", "startTimeUtc"), new("EndTime", "endTimeUtc"), new("FailureReason", "failureReason"));

    public static IEnumerable<Command> Create(HubVerbs verbs) =>
    [
        ImportVerb(verbs), ExportVerb(verbs), new Command("job", "Import and export jobs") { ListVerb(verbs), ShowVerb(verbs), CancelVerb(verbs) },
    ];

    private static Verb ImportVerb(HubVerbs verbs)
    {
        var input = Container("--input-blob-container-uri", "Where devices.txt is: the address of the container with its signature (SAS)", "--ibcu", "--bcu");
        var output = Flags.Text("--output-blob-container-uri", Secrets.ValueName, "Where importErrors.log is written; default: the same", "--obcu");
        var blob = Flags.Text("--blob-name", "NAME", "Another name than devices.txt");
        var (configurations, leave) = (Configurations(), NoWait());
        return verbs.Create(
            "import", "Have the hub import identities and twins from a blob container", "device-identity import --bcu @container.sas", [input, output, blob, configurations, leave], Jobs,
            async call =>
            {
                var from = await SecretAsync(call, input).ConfigureAwait(false);
                var request = new JsonObject
                {
                    ["type"] = "import",
                    ["inputBlobContainerUri"] = from,
                    ["outputBlobContainerUri"] = await SecretAsync(call, output).ConfigureAwait(false) ?? from,
                    ["inputBlobName"] = call.Parsed.GetValue(blob),
                    ["includeConfigurations"] = call.Parsed.GetValue(configurations),
                };
                return await BeginAsync(call, request, call.Parsed.GetValue(leave)).ConfigureAwait(false);
            });
    }

    private static Verb ExportVerb(HubVerbs verbs)
    {
        var output = Container("--blob-container-uri", "Where devices.txt is written: the address of the container with its signature (SAS)", "--bcu");
        var keys = Flags.Switch("--include-keys", "With the keys of the identities", "--ik");
        var blob = Flags.Text("--blob-name", "NAME", "Another name than devices.txt");
        var (configurations, leave) = (Configurations(), NoWait());
        return verbs.Create(
            "export", "Have the hub export identities and twins to a blob container", "device-identity export --bcu @container.sas --include-keys", [output, keys, blob, configurations, leave], Jobs,
            async call =>
            {
                var request = new JsonObject
                {
                    ["type"] = "export",
                    ["outputBlobContainerUri"] = await SecretAsync(call, output).ConfigureAwait(false),
                    ["outputBlobName"] = call.Parsed.GetValue(blob),
                    ["excludeKeysInExport"] = !call.Parsed.GetValue(keys),
                    ["includeConfigurations"] = call.Parsed.GetValue(configurations),
                };
                return await BeginAsync(call, request, call.Parsed.GetValue(leave)).ConfigureAwait(false);
            });
    }

    private static Verb ListVerb(HubVerbs verbs) => verbs.Create(
        "list", "List import and export jobs of the last 30 days, the newest first", "device-identity job list -o table", [], Jobs,
        call => call.Client.SendAsync(HttpMethod.Get, "jobs", cancel: call.Cancel));

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var id = JobId();
        return verbs.Create("show", "Show an import or export job", "device-identity job show --job-id 0f0e0d0c", [id], Jobs,
            call => call.Client.SendAsync(HttpMethod.Get, PathOf(call.Parsed.GetValue(id)!), cancel: call.Cancel));
    }

    private static Verb CancelVerb(HubVerbs verbs)
    {
        var id = JobId();
        return verbs.Create("cancel", "Cancel an import or export job; what it has done stays", "device-identity job cancel --job-id 0f0e0d0c", [id], Printing.Nothing,
            async call =>
            {
                await call.Client.SendAsync(HttpMethod.Delete, PathOf(call.Parsed.GetValue(id)!), cancel: call.Cancel).ConfigureAwait(false);
                return null;
            });
    }

    private static async Task<JsonNode?> BeginAsync(HubCall call, JsonObject request, bool leave)
    {
        var job = (await call.Client.SendAsync(HttpMethod.Post, "jobs/create", request, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
        var shown = -1;
        while (!leave && (string?)job["status"] is "enqueued" or "running")
        {
            // Over REST nothing comes by itself: asked again.
            await Task.Delay(Between, call.Time, call.Cancel).ConfigureAwait(false);
            job = (await call.Client.SendAsync(HttpMethod.Get, PathOf((string)job["jobId"]!), cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
            if ((int)job["progress"]! is var progress && progress / 10 != shown / 10)
                await call.Terminal.Error.WriteLineAsync($"{job["type"]}: {shown = progress} %").ConfigureAwait(false);
        }

        return (string?)job["status"] is "failed" or "cancelled"
            ? throw new FailedException($"The {job["type"]} {job["status"]}{(job["failureReason"] is { } why ? $": {why}" : "")} (job {job["jobId"]}).")
            : job;
    }

    private static Task<string?> SecretAsync(HubCall call, Option<string> flag) => Secrets.ReadAsync(flag.Name, call.Parsed.GetValue(flag), call.Terminal, call.Cancel);

    private static string PathOf(string id) => $"jobs/{Uri.EscapeDataString(id)}";

    private static Option<string> Container(string name, string description, params string[] aliases) => Flags.Required(name, Secrets.ValueName, description, aliases);

    private static Option<string> JobId() => Flags.Required("--job-id", "ID", "The job", "--jid");

    private static Option<bool> Configurations() => Flags.Switch("--include-configurations", "Automatic configurations too, in configurations.txt");

    private static Option<bool> NoWait() => Flags.Switch("--no-wait", "Do not wait until the job has ended");
}
