using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>job</c>: scheduled jobs, with the verbs and flags of <c>az iot hub job</c>, and what became of them on each device.</summary>
internal static class JobCommand
{
    private const string UpdateTwin = "scheduleUpdateTwin";
    private const string DeviceMethod = "scheduleDeviceMethod";

    private static readonly string[] Types = [UpdateTwin, DeviceMethod];
    private static readonly string[] States = ["scheduled", "queued", "running", "completed", "failed", "cancelled"];
    private static readonly string[] DeviceStates = ["pending", "running", "completed", "failed", "canceled"];

    private static readonly Printing Table = Printing.Table(
        new("JobId", "jobId"), new("Type", "type"), new("Status", "status"), new("Start", "startTime"), new("End", "endTime"),
        new("Devices", "deviceJobStatistics.deviceCount"), new("Succeeded", "deviceJobStatistics.succeededCount"), new("Failed", "deviceJobStatistics.failedCount"),
        new("Pending", "deviceJobStatistics.pendingCount"), new("Why", "failureReason"));

    private static readonly Printing Devices = Printing.Table(
        new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("Status", "status"), new("End", "endTimeUtc"), new("Answer", "outcome.deviceMethodResponse.status"),
        new("Payload", "outcome.deviceMethodResponse.payload"), new("Error", "error.code"), new("Why", "error.description"));

    public static Command Create(HubVerbs verbs) => new("job", "Jobs: change twins or call a method of many devices, at a time")
    {
        CreateVerb(verbs),
        ShowVerb(verbs),
        ListVerb(verbs),
        CancelVerb(verbs),
        DevicesVerb(verbs),
    };

    private static Verb CreateVerb(HubVerbs verbs)
    {
        var id = JobId();
        var type = Flags.Choice("--job-type", "What it does; not needed when one of --twin-patch and --method-name is given", Types, null, "--jt");
        var condition = Flags.Required("--query-condition", "CONDITION", "For which devices: a condition, '*' for all, or 'FROM devices.modules WHERE …'", "--query", "-q");
        var patch = Flags.Text("--twin-patch", "JSON|@FILE", "Merged into tags and desired properties: {\"tags\":…,\"properties\":{\"desired\":…}}", "--patch");
        var method = Flags.Text("--method-name", "NAME", "The method to call", "--mn");
        var payload = Flags.Text("--method-payload", "JSON|@FILE|-", "What the method gets; {} when not given", "--mp");
        var response = Flags.Number("--method-response-timeout", "SECONDS", "How long each device may take to answer, 5 to 300", 5, 300, 30, "--mrt");
        var start = Flags.Text("--start-time", "TIME", "When it begins: 2026-01-02T03:04:05Z; default: now", "--start");
        var ttl = Flags.Number("--ttl", "SECONDS", "How long its window is, from its start: what is not done then fails", 1, Hub.Jobs.JobOptions.MaxExecutionSeconds, 3600);
        var wait = Flags.Switch("--wait", "Wait until it has ended", "-w");
        var interval = Flags.Number("--poll-interval", "SECONDS", "How often to look while waiting", 1, 3600, 1, "--interval");
        var duration = Flags.Number("--poll-duration", "SECONDS", "How long to wait at most", 1, Hub.Jobs.JobOptions.MaxExecutionSeconds, 600, "--duration", "--wait-timeout");
        return verbs.Create(
            "create", "Make a job", "job create --job-id winter --job-type scheduleUpdateTwin -q \"tags.site = 'north'\" --twin-patch '{\"properties\":{\"desired\":{\"interval\":5}}}' --wait",
            [id, type, condition, patch, method, payload, response, start, ttl, wait, interval, duration], Table, async call =>
            {
                var body = new JsonObject
                {
                    ["queryCondition"] = call.Parsed.GetValue(condition),
                    ["startTime"] = call.Parsed.GetValue(start),
                    ["maxExecutionTimeInSeconds"] = call.Parsed.GetValue(ttl),
                };
                var (name, twin) = (call.Parsed.GetValue(method), call.Parsed.GetValue(patch));
                body["type"] = call.Parsed.GetValue(type) ?? (name is null ? UpdateTwin : DeviceMethod);
                if ((name is null) == (twin is null) || (name is null) != ((string?)body["type"] == UpdateTwin))
                    throw new WrongUsageException($"{UpdateTwin} needs --twin-patch, {DeviceMethod} needs --method-name, and a job does one of them.");

                if (name is null)
                {
                    body["updateTwin"] = await PatchAsync(twin!, call).ConfigureAwait(false);
                }
                else
                {
                    body["cloudToDeviceMethod"] = new JsonObject
                    {
                        ["methodName"] = name,
                        ["payload"] = await MethodCommands.PayloadAsync("--method-payload", call.Parsed.GetValue(payload), call).ConfigureAwait(false),
                        ["responseTimeoutInSeconds"] = call.Parsed.GetValue(response),
                    };
                }

                var made = await call.Client.CreateJobAsync(call.Parsed.GetValue(id)!, body, call.Cancel).ConfigureAwait(false);
                return call.Parsed.GetValue(wait)
                    ? await WaitAsync(call, made, TimeSpan.FromSeconds(call.Parsed.GetValue(interval)!.Value), TimeSpan.FromSeconds(call.Parsed.GetValue(duration)!.Value)).ConfigureAwait(false)
                    : made;
            });
    }

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var id = JobId();
        return verbs.Create("show", "Show a job and how far it is", "job show --job-id winter", [id], Table,
            async call => await call.Client.GetJobAsync(call.Parsed.GetValue(id)!, call.Cancel).ConfigureAwait(false));
    }

    private static Verb ListVerb(HubVerbs verbs)
    {
        var type = Flags.Choice("--job-type", "Only those of a type", Types, null, "--jt");
        var status = Flags.Choice("--job-status", "Only those in a state", States, null, "--js");
        var top = Flags.Number("--top", "N", "At most so many", 1, 10_000, 1000);
        return verbs.Create("list", "List jobs, the newest first", "job list --job-status running -o table", [type, status, top], Table, async call =>
        {
            var most = call.Parsed.GetValue(top)!.Value;
            return await TakeAsync(call.Client.ListJobsAsync(call.Parsed.GetValue(type), call.Parsed.GetValue(status), (int)Math.Min(most, 100), call.Cancel), most).ConfigureAwait(false);
        });
    }

    private static Verb CancelVerb(HubVerbs verbs)
    {
        var id = JobId();
        return verbs.Create("cancel", "Cancel a job; what it did stays done", "job cancel --job-id winter", [id], Table,
            async call => await call.Client.CancelJobAsync(call.Parsed.GetValue(id)!, call.Cancel).ConfigureAwait(false));
    }

    private static Verb DevicesVerb(HubVerbs verbs)
    {
        var id = JobId();
        var status = Flags.Choice("--status", "Only those in a state", DeviceStates, null);
        var top = Flags.Number("--top", "N", "At most so many", 1, 1_000_000, 1_000_000);
        return verbs.Create("devices", "Show what became of a job on each device", "job devices --job-id winter --status failed -o table", [id, status, top], Devices, async call =>
        {
            var job = call.Parsed.GetValue(id)!;
            await call.Client.GetJobAsync(job, call.Cancel).ConfigureAwait(false); // Says so when there is none; and then its id is no more than letters, digits and dashes.
            var query = $"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{job}'{(call.Parsed.GetValue(status) is { } only ? $" AND devices.jobs.status = '{only}'" : "")}";
            var most = call.Parsed.GetValue(top)!.Value;
            return await TakeAsync(call.Client.QueryAsync(query, (int)Math.Min(most, 1000), call.Cancel), most).ConfigureAwait(false);
        });
    }

    private static Option<string> JobId() => Flags.Required("--job-id", "ID", "The job: 1 to 64 letters, digits and dashes", "--jid");

    private static async Task<JsonArray> TakeAsync(IAsyncEnumerable<JsonObject> all, long most)
    {
        var taken = new JsonArray();
        await foreach (var one in all.ConfigureAwait(false))
        {
            taken.Add(one.DeepClone());
            if (taken.Count == most)
                break;
        }

        return taken;
    }

    private static async Task<JsonObject> WaitAsync(HubCall call, JsonObject job, TimeSpan interval, TimeSpan duration)
    {
        var (id, began) = ((string)job["jobId"]!, call.Time.GetTimestamp());
        while ((string?)job["status"] is not ("completed" or "failed" or "cancelled"))
        {
            if (call.Time.GetElapsedTime(began) >= duration)
                throw new FailedException(string.Create(CultureInfo.InvariantCulture, $"The job {id} is {job["status"]} after {duration.TotalSeconds:0} s. It goes on: see ./sallyport job show --job-id {id}"));

            // Over REST nothing comes by itself: asked again, as often as was said.
            await Task.Delay(interval, call.Time, call.Cancel).ConfigureAwait(false);
            job = await call.Client.GetJobAsync(id, call.Cancel).ConfigureAwait(false);
        }

        return job;
    }

    private static async Task<JsonObject> PatchAsync(string given, HubCall call)
    {
        var text = given is ['@', _, ..] ? await Secrets.ReadFileAsync("--twin-patch", given[1..], call.Cancel).ConfigureAwait(false) : given;
        try
        {
            return JsonNode.Parse(text) as JsonObject ?? throw new WrongUsageException("--twin-patch is a JSON object, or @FILE with one.");
        }
        catch (JsonException broken)
        {
            throw new WrongUsageException($"--twin-patch is not JSON ({broken.Message.TrimEnd('.')}).");
        }
    }
}
