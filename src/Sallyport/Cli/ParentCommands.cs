using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Identities;

namespace Sallyport.Cli;

/// <summary><c>device-identity parent</c> and <c>device-identity children</c>: who is below which edge device, with the verbs and flags of <c>az iot hub</c>.</summary>
internal static class ParentCommands
{
    private static readonly Printing Ids = Printing.Table(new Column("DeviceId", "deviceId"));

    public static IEnumerable<Command> Create(HubVerbs verbs) =>
    [
        new Command("parent", "The edge device that a device is below") { ShowVerb(verbs), SetVerb(verbs) },
        new Command("children", "The devices below an edge device") { AddVerb(verbs), RemoveVerb(verbs), ListVerb(verbs) },
    ];

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var id = Device();
        return verbs.Create("show", "Show the parent of a device", "device-identity parent show -d leaf", [id], IdentityTable.Devices, async call =>
        {
            var child = await call.Client.GetDeviceAsync(call.Parsed.GetValue(id)!, call.Cancel).ConfigureAwait(false);
            return ParentOf(child) is { } parent
                ? await call.Client.GetDeviceAsync(parent, call.Cancel).ConfigureAwait(false)
                : throw new FailedException($"{call.Parsed.GetValue(id)} has no parent: set one with device-identity parent set.");
        });
    }

    private static Verb SetVerb(HubVerbs verbs)
    {
        var id = Device();
        var parent = Flags.Required("--parent-device-id", "ID", "The edge device that it is to be below", "--pd");
        var force = Force();
        return verbs.Create("set", "Put a device below an edge device", "device-identity parent set -d leaf --pd edge", [id, parent, force], IdentityTable.Devices, async call =>
            await MoveAsync(call, call.Parsed.GetValue(id)!, await EdgeAsync(call, call.Parsed.GetValue(parent)!).ConfigureAwait(false), call.Parsed.GetValue(force)).ConfigureAwait(false));
    }

    private static Verb AddVerb(HubVerbs verbs)
    {
        var (id, children, force) = (Device(), Children(required: true), Force());
        return verbs.Create("add", "Put devices below an edge device", "device-identity children add -d edge --cl leaf1 leaf2", [id, children, force], Ids, async call =>
        {
            var edge = await EdgeAsync(call, call.Parsed.GetValue(id)!).ConfigureAwait(false);
            var added = new JsonArray();
            foreach (var child in call.Parsed.GetValue(children)!)
            {
                await MoveAsync(call, child, edge, call.Parsed.GetValue(force)).ConfigureAwait(false);
                added.Add(new JsonObject { ["deviceId"] = child });
            }

            return added;
        });
    }

    private static Verb RemoveVerb(HubVerbs verbs)
    {
        var (id, children) = (Device(), Children(required: false));
        var all = Flags.Switch("--remove-all", "All of them", "-a");
        var verb = verbs.Create("remove", "Take devices from below an edge device; they stay registered", "device-identity children remove -d edge --cl leaf1", [id, children, all], Printing.Nothing, async call =>
        {
            var edge = await EdgeAsync(call, call.Parsed.GetValue(id)!).ConfigureAwait(false);
            var taken = call.Parsed.GetValue(all) ? await ListAsync(call, edge).ConfigureAwait(false) : call.Parsed.GetValue(children)!;
            foreach (var child in taken)
            {
                var device = await call.Client.GetDeviceAsync(child, call.Cancel).ConfigureAwait(false);
                if ((string?)(device["parentScopes"] as JsonArray)?.FirstOrDefault() != (string?)edge["deviceScope"])
                    throw new FailedException($"{child} is not below {edge["deviceId"]}.");
                await PutParentAsync(call, device, null).ConfigureAwait(false);
            }

            return null;
        });
        verb.Validators.Add(given =>
        {
            if (given.GetResult(children) is null == given.GetResult(all) is null or { Implicit: true })
                given.AddError("Give one of --child-list and --remove-all.");
        });
        return verb;
    }

    private static Verb ListVerb(HubVerbs verbs)
    {
        var id = Device();
        return verbs.Create("list", "List the devices below an edge device", "device-identity children list -d edge", [id], Ids, async call =>
        {
            var edge = await EdgeAsync(call, call.Parsed.GetValue(id)!).ConfigureAwait(false);
            return new JsonArray([.. (await ListAsync(call, edge).ConfigureAwait(false)).Select(child => new JsonObject { ["deviceId"] = child })]);
        });
    }

    private static async Task<IReadOnlyList<string>> ListAsync(HubCall call, JsonObject edge)
    {
        List<string> children = [];
        var scope = edge["deviceScope"]!.ToString().Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal);
        await foreach (var row in call.Client.QueryAsync($"SELECT * FROM devices WHERE ARRAY_CONTAINS(parentScopes, '{scope}')", 1000, call.Cancel).ConfigureAwait(false))
            children.Add(row["deviceId"]!.ToString());
        return children;
    }

    private static async Task<JsonObject> MoveAsync(HubCall call, string child, JsonObject edge, bool force)
    {
        var device = await call.Client.GetDeviceAsync(child, call.Cancel).ConfigureAwait(false);
        if (ParentOf(device) is { } parent && parent != edge["deviceId"]!.ToString() && !force)
            throw new FailedException($"{child} is below {parent} already: say --force to move it.");
        return await PutParentAsync(call, device, edge["deviceScope"]).ConfigureAwait(false);
    }

    // The device was read: it must not have changed meanwhile.
    private static Task<JsonObject> PutParentAsync(HubCall call, JsonObject device, JsonNode? scope) => call.Client.PutDeviceAsync(
        device["deviceId"]!.ToString(), new JsonObject { ["parentScopes"] = scope is null ? [] : new JsonArray(scope.DeepClone()) }, device["etag"]!.ToString(), call.Cancel);

    private static async Task<JsonObject> EdgeAsync(HubCall call, string id)
    {
        var edge = await call.Client.GetDeviceAsync(id, call.Cancel).ConfigureAwait(false);
        return edge["capabilities"]?["iotEdge"]?.GetValue<bool>() is true ? edge : throw new FailedException($"{id} is no edge device: device-identity update -d {id} --edge-enabled makes it one.");
    }

    private static string? ParentOf(JsonObject device) => EdgeScope.TryReadDevice((string?)(device["parentScopes"] as JsonArray)?.FirstOrDefault(), out var id) ? id : null;

    private static Option<string> Device() => Flags.Required("--device-id", "ID", "The device", "-d");

    private static Option<bool> Force() => Flags.Switch("--force", "Also when it is below another one", "-f");

    private static Option<string[]> Children(bool required)
    {
        var option = Flags.Several("--child-list", "ID", "The devices, separated by spaces", ids => ids.FirstOrDefault(id => !Identity.IsValidId(id)) is { } wrong ? $"'{wrong}' is no device id" : null, "--cl");
        option.Required = required;
        return option;
    }
}
