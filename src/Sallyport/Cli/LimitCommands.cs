using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>limits show</c> and <c>ip-filter</c>.</summary>
internal static class LimitCommands
{
    private const string FilterPath = "manage/v1/ip-filter";

    private static readonly Printing Rules = Printing.Table(new("Name", "name"), new("Action", "action"), new("Network", "network"));

    public static IEnumerable<Command> Create(HubVerbs verbs) =>
    [
        new Command("limits", "What is left of the limits, and who is held back") { ShowVerb(verbs) },
        new Command("ip-filter", "From which addresses anybody may connect; the first rule that fits decides, without one everybody may")
        {
            verbs.Create("list", "List the rules in their order", "ip-filter list -o table", [], Rules,
                async call => (await GetAsync(call).ConfigureAwait(false))["rules"]!.DeepClone()),
            AddVerb(verbs),
            DeleteVerb(verbs),
            MoveVerb(verbs),
            SetVerb(verbs),
        },
    ];

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var device = Flags.Text("--device-id", "ID", "Of this device; without it of the hub", "-d");
        return verbs.Create("show", "Show what is left of the limits, of the hub or of a device, and which addresses fail", "limits show -d d1", [device], Printing.Nothing,
            call => call.Client.SendAsync(
                HttpMethod.Get, call.Parsed.GetValue(device) is { } id ? $"manage/v1/devices/{Uri.EscapeDataString(id)}/limits" : "manage/v1/limits", cancel: call.Cancel));
    }

    private static Verb AddVerb(HubVerbs verbs)
    {
        var (name, yes) = (Name(), Force());
        var network = Flags.Required("--network", "NETWORK", "An address, or a network: 192.0.2.0/24, 2001:db8::/32");
        var action = Flags.Choice("--action", "What becomes of it", ["allow", "deny"], null);
        action.Required = true;
        var position = Position();
        return verbs.Create("add", "Add a rule, at the end or at a position", "ip-filter add -n office --network 192.0.2.0/24 --action allow --position 1", [name, network, action, position, yes], Rules,
            call => ChangeAsync(call, yes, rules => Insert(rules, call.Parsed.GetValue(position), new JsonObject
            {
                ["name"] = call.Parsed.GetValue(name), ["action"] = call.Parsed.GetValue(action), ["network"] = call.Parsed.GetValue(network),
            })));
    }

    private static Verb DeleteVerb(HubVerbs verbs)
    {
        var (name, yes) = (Name(), Force());
        return verbs.Create("delete", "Delete a rule", "ip-filter delete -n office", [name, yes], Rules,
            call => ChangeAsync(call, yes, rules => Take(rules, call.Parsed.GetValue(name)!)));
    }

    private static Verb MoveVerb(HubVerbs verbs)
    {
        var (name, yes) = (Name(), Force());
        var position = Position();
        position.Required = true;
        return verbs.Create("move", "Put a rule at another position", "ip-filter move -n office --position 1", [name, position, yes], Rules,
            call => ChangeAsync(call, yes, rules => Insert(rules, call.Parsed.GetValue(position), Take(rules, call.Parsed.GetValue(name)!))));
    }

    private static Verb SetVerb(HubVerbs verbs)
    {
        var yes = Force();
        var file = Flags.Required("--rules", "@FILE", "JSON as `ip-filter list` prints it", "-r");
        return verbs.Create("set", "Replace all rules by those of a file", "ip-filter set --rules @rules.json", [file, yes], Rules, async call =>
        {
            var source = call.Parsed.GetValue(file)!;
            var text = await Secrets.ReadFileAsync("--rules", source.TrimStart('@'), call.Cancel).ConfigureAwait(false);
            try
            {
                return await PutAsync(call, yes, new JsonObject { ["rules"] = JsonNode.Parse(text) }).ConfigureAwait(false);
            }
            catch (JsonException malformed)
            {
                throw new FailedException($"--rules: {source} is not JSON at line {malformed.LineNumber + 1}.", malformed);
            }
        });
    }

    private static async Task<JsonNode?> ChangeAsync(HubCall call, Option<bool> yes, Action<JsonArray> change)
    {
        var filter = await GetAsync(call).ConfigureAwait(false);
        change(filter["rules"]!.AsArray());
        return await PutAsync(call, yes, filter).ConfigureAwait(false);
    }

    private static async Task<JsonNode?> PutAsync(HubCall call, Option<bool> yes, JsonObject filter)
    {
        filter["force"] = call.Parsed.GetValue(yes);
        return (await call.Client.SendAsync(HttpMethod.Put, FilterPath, filter, cancel: call.Cancel).ConfigureAwait(false))!["rules"]!.DeepClone();
    }

    private static async Task<JsonObject> GetAsync(HubCall call) =>
        (await call.Client.SendAsync(HttpMethod.Get, FilterPath, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();

    private static JsonNode Take(JsonArray rules, string name)
    {
        var rule = rules.FirstOrDefault(rule => string.Equals((string?)rule!["name"], name, StringComparison.OrdinalIgnoreCase))
            ?? throw new FailedException($"There is no rule {name}; `sallyport ip-filter list` shows them.");
        rules.Remove(rule);
        return rule;
    }

    private static void Insert(JsonArray rules, long? position, JsonNode rule) => rules.Insert((int)Math.Min((position ?? long.MaxValue) - 1, rules.Count), rule);

    private static Option<string> Name() => Flags.Required("--name", "NAME", "The rule", "-n");

    private static Option<long?> Position() => Flags.Number("--position", "N", "The first rule is 1", 1, 256, null);

    private static Option<bool> Force() => Flags.Switch("--yes", "Also when the rules lock out this machine", "-y");
}
