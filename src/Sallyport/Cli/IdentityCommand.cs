using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sallyport.Cli.Moving;

namespace Sallyport.Cli;

/// <summary><c>device-identity</c> and <c>module-identity</c>: the registry, with the verbs and flags of <c>az iot hub</c>.</summary>
internal sealed class IdentityCommand
{
    private const int UsuallyListed = 1000;

    private readonly HubVerbs _verbs;
    private readonly bool _isModule;
    private readonly string _noun;
    private readonly string _example;
    private readonly Printing _table;
    private readonly Option<string> _deviceId = Flags.Required("--device-id", "ID", "The device", "-d");
    private readonly Option<string> _moduleId = Flags.Required("--module-id", "ID", "The module", "-m");

    private IdentityCommand(HubVerbs verbs, bool isModule)
    {
        _verbs = verbs;
        _isModule = isModule;
        _noun = isModule ? "module" : "device";
        _example = isModule ? "-d d1 -m m1" : "-d d1";
        _table = isModule ? IdentityTable.Modules : IdentityTable.Devices;
    }

    public static Command Devices(HubVerbs verbs) => new IdentityCommand(verbs, isModule: false).Create("Devices in the registry");

    public static Command Modules(HubVerbs verbs) => new IdentityCommand(verbs, isModule: true).Create("Modules of devices in the registry");

    private Command Create(string description)
    {
        var command = new Command($"{_noun}-identity", description)
        {
            CreateVerb(), ShowVerb(), ListVerb(), UpdateVerb(), DeleteVerb(), RenewKeyVerb(),
            new Command("connection-string", $"What a {_noun} connects with") { ConnectionStringVerb() },
        };
        foreach (var more in _isModule ? [] : ParentCommands.Create(_verbs).Concat(RegistryJobCommands.Create(_verbs)))
            command.Add(more);
        return command;
    }

    private Option<string>[] Ids => _isModule ? [_deviceId, _moduleId] : [_deviceId];

    private Verb CreateVerb()
    {
        var fields = new IdentityFields(_isModule);
        return _verbs.Create(
            "create", $"Register a {_noun}; the hub makes its keys unless they are given", $"{_noun}-identity create {_example}", [.. Ids, .. fields.Options], _table,
            async call => await NameOf(call).PutAsync(call, await fields.ReadAsync(call).ConfigureAwait(false), ifMatch: null).ConfigureAwait(false));
    }

    private Verb ShowVerb() => _verbs.Create(
        "show", $"Show a {_noun}, with its keys if the policy may see them", $"{_noun}-identity show {_example}", Ids, _table,
        async call =>
        {
            var name = NameOf(call);
            var identity = await name.GetAsync(call).ConfigureAwait(false);
            // Azure's model of a device has no such member, so it is asked for beside it.
            var quarantine = await call.Client.SendAsync(HttpMethod.Get, DeviceCommand.QuarantinePath(name.DeviceId), cancel: call.Cancel).ConfigureAwait(false);
            if (quarantine!["inQuarantine"]!.GetValue<bool>())
                identity["quarantine"] = quarantine.DeepClone();
            return identity;
        });

    private Verb ListVerb()
    {
        var top = Flags.Number("--top", "N", "At most so many", 1, int.MaxValue, UsuallyListed);
        return _isModule
            ? _verbs.Create("list", "List the modules of a device", "module-identity list -d d1 -o table", [_deviceId, top], _table, async call =>
            {
                var all = await call.Client.ListModulesAsync(call.Parsed.GetValue(_deviceId)!, call.Cancel).ConfigureAwait(false);
                return new JsonArray([.. all.Take((int)call.Parsed.GetValue(top)!).Select(one => one?.DeepClone())]);
            })
            : _verbs.Create("list", "List devices in the order of their ids", "device-identity list --top 20 -o table", [top], _table,
                async call =>
                {
                    var devices = await call.Client.ListDevicesAsync((int)call.Parsed.GetValue(top)!, call.Cancel).ConfigureAwait(false);
                    if (devices.Count == UsuallyListed && call.Parsed.GetResult(top) is { Implicit: true })
                        await call.Terminal.Error.WriteLineAsync($"These are the first {UsuallyListed}: say --top for more.").ConfigureAwait(false);
                    return devices;
                });
    }

    private Verb UpdateVerb()
    {
        var fields = new IdentityFields(_isModule);
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        var example = _isModule ? "module-identity update -d d1 -m m1 --primary-key -" : "device-identity update -d d1 --status disabled --status-reason lost";
        return _verbs.Create("update", $"Change a {_noun}; what is not named stays as it is", example, [.. Ids, .. fields.Options, etag], _table, async call =>
        {
            var name = NameOf(call);
            var change = await fields.ReadAsync(call).ConfigureAwait(false);
            if (change.Count == 0)
                throw new WrongUsageException($"Nothing to change: give one of {string.Join(", ", fields.Options.Select(option => option.Name))}.");

            var ifMatch = call.Parsed.GetValue(etag) ?? "*";
            if (IdentityFields.NeedsOtherKey(change))
            {
                var now = await name.GetAsync(call).ConfigureAwait(false);
                IdentityFields.KeepOtherKey(change, now);
                // The other key was read: it must not have changed meanwhile.
                ifMatch = call.Parsed.GetValue(etag) ?? now["etag"]!.GetValue<string>();
            }

            return await name.PutAsync(call, change, ifMatch).ConfigureAwait(false);
        });
    }

    private Verb DeleteVerb()
    {
        var etag = Flags.Text("--etag", "ETAG", "Only if it has this etag", "-e");
        var yes = Confirmation.Yes();
        return _verbs.Create("delete", _isModule ? "Delete a module" : "Delete a device and its modules", $"{_noun}-identity delete {_example} --yes", [.. Ids, etag, yes], Printing.Nothing, async call =>
        {
            var name = NameOf(call);
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete {_noun} {name}{(_isModule ? "" : " and its modules")}?", call.Cancel).ConfigureAwait(false);
            await name.DeleteAsync(call, call.Parsed.GetValue(etag) ?? "*").ConfigureAwait(false);
            return null;
        });
    }

    private Verb RenewKeyVerb()
    {
        var key = Flags.Choice("--key-type", "Which key to make anew", ["primary", "secondary", "both", "swap"], null, "--kt");
        key.Required = true;
        return _verbs.Create("renew-key", "Make new keys, or swap the two", $"{_noun}-identity renew-key {_example} --key-type primary", [.. Ids, key], _table, async call =>
        {
            var name = NameOf(call);
            // Asked for by itself first: the bulk route says a missing one less clearly.
            await name.GetAsync(call).ConfigureAwait(false);
            var request = new JsonObject
            {
                ["policyKey"] = call.Parsed.GetValue(key),
                ["devices"] = new JsonArray(new JsonObject { ["id"] = name.DeviceId, ["moduleId"] = name.ModuleId }),
            };
            await call.Client.SendAsync(HttpMethod.Post, "devices/keys/regenerate", request, cancel: call.Cancel).ConfigureAwait(false);
            return await name.GetAsync(call).ConfigureAwait(false);
        });
    }

    private Verb ConnectionStringVerb()
    {
        var key = KeyType.Option();
        return _verbs.Create("show", $"Show the connection string of a {_noun}", $"{_noun}-identity connection-string show {_example}", [.. Ids, key], Printing.Secret, async call =>
        {
            var name = NameOf(call);
            var identity = await name.GetAsync(call).ConfigureAwait(false);
            return new JsonObject { ["connectionString"] = name.ConnectionString(identity, call, call.Parsed.GetValue(key)!) };
        });
    }

    private IdentityName NameOf(HubCall call) => new(call.Parsed.GetValue(_deviceId)!, _isModule ? call.Parsed.GetValue(_moduleId) : null);
}

internal static class IdentityTable
{
    public static readonly Printing Devices = Printing.Table(
        new("DeviceId", "deviceId"),
        new("Status", "status"),
        new("ConnectionState", "connectionState"),
        new("Authentication", "authentication.type"),
        new("Edge", "capabilities.iotEdge"),
        new("LastActivityTime", LastActivity));

    public static readonly Printing Modules = Printing.Table(
        new("DeviceId", "deviceId"),
        new("ModuleId", "moduleId"),
        new("ConnectionState", "connectionState"),
        new("Authentication", "authentication.type"),
        new("LastActivityTime", LastActivity));

    // IoT Hub's year 1 means never.
    private static string? LastActivity(JsonObject identity) =>
        identity["lastActivityTime"]?.GetValue<string>() is { } text
        && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time) && time.Year > 1
            ? text
            : null;
}
