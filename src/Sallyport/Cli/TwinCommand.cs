using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>device-twin</c> and <c>module-twin</c>: twins, with the verbs and flags of <c>az iot hub</c>.</summary>
internal sealed class TwinCommand
{
    private const string JsonOrFile = "JSON|@FILE";

    private static readonly Printing Table = Printing.Table(
        new("DeviceId", "deviceId"),
        new("ModuleId", "moduleId"),
        new("Etag", "etag"),
        new("Version", twin => twin["version"]?.ToJsonString()),
        new("Tags", twin => twin["tags"]?.ToJsonString()),
        new("Desired", twin => PropertiesOf(twin, "desired")),
        new("Reported", twin => PropertiesOf(twin, "reported")));

    private static readonly Printing History = Printing.Table(
        new("Time", "time"),
        new("Operation", "operation"),
        new("Version", change => change["change"]?["version"]?.ToJsonString()),
        new("Tags", change => change["change"]?["tags"]?.ToJsonString()),
        new("Desired", change => PropertiesOf((JsonObject)change["change"]!, "desired")),
        new("Reported", change => PropertiesOf((JsonObject)change["change"]!, "reported")));

    private readonly HubVerbs _verbs;
    private readonly bool _isModule;
    private readonly string _noun;
    private readonly string _example;
    private readonly Option<string> _deviceId = Flags.Required("--device-id", "ID", "The device", "-d");
    private readonly Option<string> _moduleId = Flags.Required("--module-id", "ID", "The module", "-m");

    private TwinCommand(HubVerbs verbs, bool isModule)
    {
        _verbs = verbs;
        _isModule = isModule;
        _noun = isModule ? "module" : "device";
        _example = isModule ? "-d d1 -m m1" : "-d d1";
    }

    public static Command Devices(HubVerbs verbs) => new TwinCommand(verbs, isModule: false).Create();

    public static Command Modules(HubVerbs verbs) => new TwinCommand(verbs, isModule: true).Create();

    private Option<string>[] Ids => _isModule ? [_deviceId, _moduleId] : [_deviceId];

    private Command Create() => new($"{_noun}-twin", $"Tags, desired and reported properties of {_noun}s") { ShowVerb(), UpdateVerb(), ReplaceVerb(), HistoryVerb() };

    private Verb ShowVerb() => _verbs.Create("show", $"Show the twin of a {_noun}", $"{_noun}-twin show {_example}", Ids, Table,
        async call => await call.Client.GetTwinAsync(call.Parsed.GetValue(_deviceId)!, ModuleOf(call), call.Cancel).ConfigureAwait(false));

    private Verb UpdateVerb()
    {
        var desired = Flags.Text("--desired", JsonOrFile, "Merged into the desired properties; null deletes");
        var tags = Flags.Text("--tags", JsonOrFile, "Merged into the tags; null deletes");
        var set = Flags.Several("--set", "PATH=VALUE", "Sets single values: tags.PATH or properties.desired.PATH, as JSON or as text", values => values.Select(ProblemOf).FirstOrDefault(wrong => wrong is not null));
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        return _verbs.Create(
            "update", $"Merge into tags and desired properties of a {_noun}", $"{_noun}-twin update {_example} --desired '{{\"interval\":5}}'", [.. Ids, desired, tags, set, etag], Table,
            async call =>
            {
                var patch = new JsonObject();
                if (await ReadAsync("--tags", call.Parsed.GetValue(tags), call).ConfigureAwait(false) is { } givenTags)
                    patch["tags"] = givenTags;
                if (await ReadAsync("--desired", call.Parsed.GetValue(desired), call).ConfigureAwait(false) is { } givenDesired)
                    patch["properties"] = new JsonObject { ["desired"] = givenDesired };
                foreach (var one in call.Parsed.GetValue(set) ?? [])
                    Set(patch, one);
                if (patch.Count == 0)
                    throw new WrongUsageException("Nothing to change: give --desired, --tags or --set.");

                return await call.Client.UpdateTwinAsync(call.Parsed.GetValue(_deviceId)!, ModuleOf(call), patch, call.Parsed.GetValue(etag) ?? "*", call.Cancel).ConfigureAwait(false);
            });
    }

    private Verb ReplaceVerb()
    {
        var json = Flags.Required("--json", JsonOrFile, "A twin, as show prints it; what of tags and properties.desired it has takes the place of what is there", "-j");
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        return _verbs.Create("replace", $"Replace tags or desired properties of a {_noun}", $"{_noun}-twin replace {_example} --json @twin.json", [.. Ids, json, etag], Table,
            async call => await call.Client.ReplaceTwinAsync(
                call.Parsed.GetValue(_deviceId)!, ModuleOf(call), (await ReadAsync("--json", call.Parsed.GetValue(json), call).ConfigureAwait(false))!,
                call.Parsed.GetValue(etag) ?? "*", call.Cancel).ConfigureAwait(false));
    }

    private Verb HistoryVerb()
    {
        var since = Flags.Text("--since", "TIME", "Only what changed then or later: 2026-01-02T03:04:05Z; default: all that the hub keeps");
        return _verbs.Create("history", $"Show how the twin of a {_noun} changed, the oldest first", $"{_noun}-twin history {_example} -o table", [.. Ids, since], History, async call =>
        {
            var (device, module) = (call.Parsed.GetValue(_deviceId)!, ModuleOf(call));
            var from = "earliest";
            if (call.Parsed.GetValue(since) is { } time)
                from = DateTimeOffset.TryParse(time, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var moment)
                    ? $"time:{moment.UtcDateTime:yyyy-MM-ddTHH:mm:ss.fffZ}"
                    : throw new WrongUsageException("--since is a time such as 2026-01-02T03:04:05Z.");
            var changes = new JsonArray();
            await foreach (var line in call.Client.StreamAsync(
                $"manage/v1/changes?follow=false&from={Uri.EscapeDataString(from)}&deviceId={Uri.EscapeDataString(device)}", call.Cancel).ConfigureAwait(false))
            {
                // A * in an id stands for others too.
                if ((string?)line["source"] == "twinChangeEvents" && (string?)line["deviceId"] == device && (string?)line["moduleId"] == module)
                    changes.Add(new JsonObject { ["time"] = line["enqueuedTime"]?.DeepClone(), ["operation"] = line["properties"]?["opType"]?.DeepClone(), ["change"] = line["body"]?.DeepClone() });
            }

            return changes;
        });
    }

    private string? ModuleOf(HubCall call) => _isModule ? call.Parsed.GetValue(_moduleId) : null;

    private static string? PropertiesOf(JsonObject twin, string part)
    {
        if (twin["properties"]?[part]?.DeepClone() is not JsonObject properties)
            return null;

        properties.Remove("$metadata");
        properties.Remove("$version");
        return properties.ToJsonString();
    }

    /// <exception cref="WrongUsageException">It is no JSON object.</exception>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    private static async Task<JsonObject?> ReadAsync(string flag, string? given, HubCall call)
    {
        if (given is null)
            return null;

        var text = given is ['@', _, ..] ? await Secrets.ReadFileAsync(flag, given[1..], call.Cancel).ConfigureAwait(false) : given;
        return Parse(text) as JsonObject ?? throw new WrongUsageException($"{flag} is a JSON object, or @FILE with one.");
    }

    private static JsonNode? Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? ProblemOf(string assignment) =>
        assignment.IndexOf('=') is > 0 and var at && (assignment.StartsWith("tags.", StringComparison.Ordinal) || assignment.StartsWith("properties.desired.", StringComparison.Ordinal))
        && !assignment.AsSpan(0, at).EndsWith('.') && !assignment.AsSpan(0, at).Contains("..", StringComparison.Ordinal)
            ? null
            : $"'{assignment}' is not tags.PATH=VALUE or properties.desired.PATH=VALUE";

    private static void Set(JsonObject patch, string assignment)
    {
        var at = assignment.IndexOf('=');
        var path = assignment[..at].Split('.');
        var value = assignment[(at + 1)..];
        var target = patch;
        foreach (var name in path[..^1])
        {
            if (target[name] is not JsonObject inner)
                target[name] = inner = [];
            target = inner;
        }

        target[path[^1]] = value == "null" ? null : Parse(value) ?? JsonValue.Create(value);
    }
}
