using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>configuration</c> and <c>edge deployment</c>: automatic configurations, with the verbs and flags of <c>az iot hub configuration</c> and <c>az iot edge deployment</c>.</summary>
internal sealed class ConfigurationCommand
{
    private const string JsonOrFile = "JSON|@FILE";
    private const string ModulesContent = "modulesContent";
    private const string EdgeAgent = "$edgeAgent";

    private static readonly string[] Editable = ["labels", "targetCondition", "priority", "metrics"];

    private static readonly Printing Table = Printing.Table(
        new("Id", "id"),
        new("Priority", one => one["priority"]?.ToJsonString()),
        new("TargetCondition", "targetCondition"),
        new("Content", one => (one["content"] as JsonObject)?.FirstOrDefault().Key),
        new("Targeted", "systemMetrics.results.targetedCount"),
        new("Applied", "systemMetrics.results.appliedCount"),
        new("Suspended", "suspended"));

    private readonly HubVerbs _verbs;
    private readonly bool _isOfEdge;
    private readonly string _words, _noun;
    private readonly Option<string> _id;

    private ConfigurationCommand(HubVerbs verbs, bool isOfEdge)
    {
        _verbs = verbs;
        _isOfEdge = isOfEdge;
        (_words, _noun) = isOfEdge ? ("edge deployment", "an edge deployment") : ("configuration", "an automatic configuration");
        _id = isOfEdge ? Flags.Required("--deployment-id", "ID", "The deployment", "-d") : Flags.Required("--config-id", "ID", "The configuration", "-c");
    }

    private string Example => _isOfEdge ? "-d line1" : "-c fast";

    public static Command Configurations(HubVerbs verbs) =>
        new ConfigurationCommand(verbs, isOfEdge: false).Create("configuration", "Automatic configurations: which devices and modules have which desired properties");

    public static Command Deployments(HubVerbs verbs) =>
        new ConfigurationCommand(verbs, isOfEdge: true).Create("deployment", "Edge deployments: which edge devices run which modules");

    private Command Create(string name, string description) => new(name, description) { CreateVerb(), ShowVerb(), ListVerb(), UpdateVerb(), DeleteVerb(), MetricVerb() };

    private Verb CreateVerb()
    {
        var content = Flags.Required("--content", JsonOrFile, _isOfEdge ? "modulesContent: what modules it has, as set-modules takes it" : "deviceContent or moduleContent: paths of desired properties, and their values", "-k");
        var layered = Flags.Switch("--layered", "It adds to deployments of a lower priority, which say the rest");
        var (condition, priority, labels, metrics) = Fields();
        Option[] own = _isOfEdge ? [_id, content, condition, priority, labels, metrics, layered] : [_id, content, condition, priority, labels, metrics];
        var given = _isOfEdge ? "'@modules.json' --tc \"tags.site = 'a'\"" : "'{\"deviceContent\":{\"properties.desired.fan.speed\":7}}' --tc \"tags.site = 'a'\"";
        return _verbs.Create("create", $"Create {_noun}; without a target condition it reaches nothing", $"{_words} create {Example} -k {given} --pri 10", own, Table, async call =>
        {
            var read = await ReadAsync("--content", call.Parsed.GetValue(content)!, call).ConfigureAwait(false);
            var body = await FieldsAsync(call, condition, priority, labels, metrics).ConfigureAwait(false);
            body["content"] = (read["content"] as JsonObject ?? read).DeepClone();
            if (_isOfEdge)
                Check(body["content"]!.AsObject(), call.Parsed.GetValue(layered));
            return await call.Client.SendAsync(HttpMethod.Put, PathOf(call), body, cancel: call.Cancel).ConfigureAwait(false);
        });
    }

    private Verb ShowVerb() => _verbs.Create("show", $"Show {_noun}, with what its metrics come to", $"{_words} show {Example}", [_id], Table,
        call => call.Client.SendAsync(HttpMethod.Get, PathOf(call), cancel: call.Cancel));

    private Verb ListVerb()
    {
        var top = Flags.Number("--top", "N", "At most so many, 1 to 128", 1, 128, 128);
        return _verbs.Create("list", _isOfEdge ? "List edge deployments, the oldest first" : "List automatic configurations, the oldest first", $"{_words} list -o table", [top], Table, async call =>
        {
            var all = await call.Client.SendAsync(HttpMethod.Get, "configurations", cancel: call.Cancel).ConfigureAwait(false);
            return new JsonArray([.. all!.AsArray().Where(one => one!["content"]!.AsObject().ContainsKey(ModulesContent) == _isOfEdge).Take((int)call.Parsed.GetValue(top)!.Value).Select(one => one!.DeepClone())]);
        });
    }

    private Verb UpdateVerb()
    {
        var (condition, priority, labels, metrics) = Fields();
        var set = Flags.Several("--set", "NAME=VALUE", "labels, targetCondition, priority or metrics, as JSON or as text", values => values.Select(ProblemOf).FirstOrDefault(wrong => wrong is not null));
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        return _verbs.Create(
            "update", $"Change target condition, priority, labels and metrics of {_noun}; what is not given stays", $"{_words} update {Example} --pri 20", [_id, condition, priority, labels, metrics, set, etag], Table,
            async call =>
            {
                var body = await FieldsAsync(call, condition, priority, labels, metrics).ConfigureAwait(false);
                foreach (var one in call.Parsed.GetValue(set) ?? [])
                {
                    var at = one.IndexOf('=');
                    body[one[..at]] = Parse(one[(at + 1)..]) ?? JsonValue.Create(one[(at + 1)..]);
                }

                if (body.Count == 0)
                    throw new WrongUsageException("Nothing to change: give --target-condition, --priority, --labels, --metrics or --set.");
                return await call.Client.SendAsync(HttpMethod.Put, PathOf(call), body, call.Parsed.GetValue(etag) ?? "*", cancel: call.Cancel).ConfigureAwait(false);
            });
    }

    private Verb DeleteVerb()
    {
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        var yes = Confirmation.Yes();
        var what = _isOfEdge ? "Delete an edge deployment; devices take on the next one, or keep their modules" : "Delete an automatic configuration, and what it has set in twins";
        return _verbs.Create("delete", what, $"{_words} delete {Example} -y", [_id, etag, yes], Printing.Nothing, async call =>
        {
            var id = call.Parsed.GetValue(_id)!;
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete {Printing.Printable(id)}?", call.Cancel).ConfigureAwait(false);
            await call.Client.SendAsync(HttpMethod.Delete, PathOf(call), null, call.Parsed.GetValue(etag) ?? "*", cancel: call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private Verb MetricVerb()
    {
        var metric = Flags.Required("--metric-id", "NAME", "The metric, for example appliedCount", "-m");
        var type = Flags.Choice("--metric-type", "One of its own, or one that the hub keeps of each", ["user", "system"], "user", "--mt");
        return _verbs.Create(
            "show-metric", $"Show what a metric of {_noun} counts", $"{_words} show-metric {Example} --metric-id appliedCount --metric-type system", [_id, metric, type],
            Printing.Table(new("Metric", "metric"), new("Query", "query"), new("Result", one => (one["result"] as JsonArray)?.Count.ToString(System.Globalization.CultureInfo.InvariantCulture))), async call =>
            {
                var one = await call.Client.SendAsync(HttpMethod.Get, PathOf(call), cancel: call.Cancel).ConfigureAwait(false);
                var queries = one![call.Parsed.GetValue(type) == "system" ? "systemMetrics" : "metrics"]!["queries"]!.AsObject();
                var name = call.Parsed.GetValue(metric)!;
                if ((string?)queries[name] is not { } query)
                    throw new FailedException($"It has no {call.Parsed.GetValue(type)} metric of that name; it has {(queries.Count == 0 ? "none" : string.Join(", ", queries.Select(other => other.Key)))}.");

                var rows = new JsonArray();
                await foreach (var row in call.Client.QueryAsync(query, 1000, call.Cancel).ConfigureAwait(false))
                    rows.Add(row.DeepClone());
                return new JsonObject { ["metric"] = name, ["query"] = query, ["result"] = rows };
            });
    }

    private static (Option<string> Condition, Option<long?> Priority, Option<string> Labels, Option<string> Metrics) Fields() => (
        Flags.Text("--target-condition", "CONDITION", "Which twins it reaches: a condition of tags and reported properties, * for all, or FROM devices.modules WHERE …", "--tc", "-t"),
        Flags.Number("--priority", "N", "Of the same place the higher one wins, of the same priority the newest. Default: 0", 0, int.MaxValue, null, "--pri"),
        Flags.Text("--labels", JsonOrFile, "Names and texts, for people", "--lab"),
        Flags.Text("--metrics", JsonOrFile, "Names and queries: {\"queries\":{\"done\":\"SELECT deviceId FROM devices WHERE …\"}}", "-m"));

    private static async Task<JsonObject> FieldsAsync(HubCall call, Option<string> condition, Option<long?> priority, Option<string> labels, Option<string> metrics)
    {
        var body = new JsonObject();
        if (call.Parsed.GetValue(condition) is { } text)
            body["targetCondition"] = text;
        if (call.Parsed.GetValue(priority) is { } number)
            body["priority"] = number;
        if (call.Parsed.GetValue(labels) is { } givenLabels)
            body["labels"] = await ReadAsync("--labels", givenLabels, call).ConfigureAwait(false);
        if (call.Parsed.GetValue(metrics) is { } givenMetrics)
        {
            var read = await ReadAsync("--metrics", givenMetrics, call).ConfigureAwait(false);
            var inner = read["metrics"] as JsonObject ?? read;
            body["metrics"] = inner["queries"] is JsonObject ? inner.DeepClone() : throw new WrongUsageException("--metrics is {\"queries\":{NAME:QUERY}}, or @FILE with it.");
        }

        return body;
    }

    /// <exception cref="WrongUsageException">It is no JSON object.</exception>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    internal static async Task<JsonObject> ReadAsync(string flag, string given, HubCall call)
    {
        var text = given is ['@', _, ..] ? await Secrets.ReadFileAsync(flag, given[1..], call.Cancel).ConfigureAwait(false) : given;
        return Parse(text) as JsonObject ?? throw new WrongUsageException($"{flag} is a JSON object, or @FILE with one.");
    }

    // Without a base nothing of a deployment comes into force: who has forgotten it should hear of it now.
    private static void Check(JsonObject content, bool isLayered)
    {
        if (content[ModulesContent] is not JsonObject modules)
            throw new WrongUsageException("--content of an edge deployment is {\"modulesContent\":{…}}, or @FILE with it.");
        if (!isLayered && (modules[EdgeAgent] as JsonObject)?["properties.desired"] is null)
            throw new WrongUsageException($"--content has no \"{EdgeAgent}\":{{\"properties.desired\":…}}: give it, or say --layered.");
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
        assignment.IndexOf('=') is > 0 and var at && Editable.Contains(assignment[..at]) ? null : $"'{assignment}' is not {string.Join(", ", Editable[..^1])} or {Editable[^1]}, = and a value";

    private string PathOf(HubCall call) => $"configurations/{Uri.EscapeDataString(call.Parsed.GetValue(_id)!)}";
}
