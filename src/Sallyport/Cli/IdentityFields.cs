using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary>The flags that say what a device or module is to be, as <c>create</c> and <c>update</c> take them. One per verb.</summary>
internal sealed class IdentityFields
{
    private static readonly (string Flag, string Wire)[] Methods =
        [("shared_private_key", "sas"), ("x509_thumbprint", "selfSigned"), ("x509_ca", "certificateAuthority")];

    private readonly bool _isModule;
    private readonly Option<string> _method = Flags.Choice("--auth-method", "How it is authenticated", [.. Methods.Select(method => method.Flag)], null, "--am");
    private readonly Option<string> _primaryKey = Flags.Text("--primary-key", Secrets.ValueName, "Its primary key, base64 of 16 to 64 bytes", "--pk");
    private readonly Option<string> _secondaryKey = Flags.Text("--secondary-key", Secrets.ValueName, "Its secondary key; from standard input: the next line", "--sk");
    private readonly Option<string> _primaryThumbprint = Flags.Text("--primary-thumbprint", "HEX", "SHA-1 or SHA-256 of its certificate", "--ptp");
    private readonly Option<string> _secondaryThumbprint = Flags.Text("--secondary-thumbprint", "HEX", "SHA-1 or SHA-256 of its other certificate", "--stp");
    private readonly Option<string> _status = Flags.Choice("--status", "Whether it may connect", ["enabled", "disabled"], null, "--sta");
    private readonly Option<string> _statusReason = Flags.Text("--status-reason", "TEXT", "Why it has this status", "--star");
    private readonly Option<bool?> _edge = new("--edge-enabled", "--ee") { Description = "Whether it is an IoT Edge device", HelpName = "true|false", Arity = ArgumentArity.ZeroOrOne };

    public IdentityFields(bool isModule) => _isModule = isModule;

    public IReadOnlyList<Option> Options => _isModule
        ? [_method, _primaryKey, _secondaryKey, _primaryThumbprint, _secondaryThumbprint]
        : [_method, _primaryKey, _secondaryKey, _primaryThumbprint, _secondaryThumbprint, _status, _statusReason, _edge];

    /// <returns>Only what was given, in the hub's words.</returns>
    /// <exception cref="WrongUsageException">The flags contradict each other, or a key is on the command line.</exception>
    public async Task<JsonObject> ReadAsync(HubCall call)
    {
        var fields = new JsonObject();
        if (await AuthenticationAsync(call).ConfigureAwait(false) is { } authentication)
            fields["authentication"] = authentication;
        if (_isModule)
            return fields;

        if (call.Parsed.GetValue(_status) is { } status)
            fields["status"] = status;
        if (call.Parsed.GetValue(_statusReason) is { } reason)
            fields["statusReason"] = reason;
        if (call.Parsed.GetResult(_edge) is { Implicit: false })
            fields["capabilities"] = new JsonObject { ["iotEdge"] = call.Parsed.GetValue(_edge) ?? true };
        return fields;
    }

    /// <summary>Whether one key is to be changed and nothing is said of the other, which the hub would make anew.</summary>
    public static bool NeedsOtherKey(JsonObject change) => change["authentication"]?["symmetricKey"] is JsonObject { Count: 1 };

    /// <param name="now">As the hub shows it.</param>
    public static void KeepOtherKey(JsonObject change, JsonObject now)
    {
        var keys = change["authentication"]!["symmetricKey"]!.AsObject();
        var other = keys.ContainsKey("primaryKey") ? "secondaryKey" : "primaryKey";
        if (now["authentication"]?["type"]?.GetValue<string>() == "sas")
            keys[other] = now["authentication"]!["symmetricKey"]?[other]?.DeepClone()
                ?? throw new FailedException("The policy may not see keys, so that it cannot keep the other one: use one that holds RegistryRead, or give both.");
    }

    private async Task<JsonObject?> AuthenticationAsync(HubCall call)
    {
        var method = call.Parsed.GetValue(_method);
        var thumbprints = Given(call, ("primaryThumbprint", _primaryThumbprint), ("secondaryThumbprint", _secondaryThumbprint));
        if (thumbprints is not null && method is not (null or "x509_thumbprint"))
            throw new WrongUsageException($"{_primaryThumbprint.Name} and {_secondaryThumbprint.Name} go with {_method.Name} x509_thumbprint only.");
        if (thumbprints is null && method == "x509_thumbprint")
            throw new WrongUsageException($"{_method.Name} x509_thumbprint needs {_primaryThumbprint.Name}.");

        var keys = await KeysAsync(call).ConfigureAwait(false);
        if (keys is not null && (thumbprints is not null || method is not (null or "shared_private_key")))
            throw new WrongUsageException($"{_primaryKey.Name} and {_secondaryKey.Name} go with {_method.Name} shared_private_key only.");
        if (method is null && keys is null && thumbprints is null)
            return null;

        var authentication = new JsonObject
        {
            ["type"] = thumbprints is not null ? "selfSigned" : method is null ? "sas" : Methods.Single(known => known.Flag == method).Wire,
        };
        if (keys is not null)
            authentication["symmetricKey"] = keys;
        if (thumbprints is not null)
            authentication["x509Thumbprint"] = thumbprints;
        return authentication;
    }

    private async Task<JsonObject?> KeysAsync(HubCall call)
    {
        var keys = new JsonObject();
        foreach (var (member, flag) in new[] { ("primaryKey", _primaryKey), ("secondaryKey", _secondaryKey) })
        {
            if (await Secrets.ReadAsync(flag.Name, call.Parsed.GetValue(flag), call.Terminal, call.Cancel).ConfigureAwait(false) is { } key)
                keys[member] = key;
        }

        return keys.Count > 0 ? keys : null;
    }

    private static JsonObject? Given(HubCall call, params (string Member, Option<string> Flag)[] flags)
    {
        var given = new JsonObject();
        foreach (var (member, flag) in flags)
        {
            if (call.Parsed.GetValue(flag) is { } value)
                given[member] = value;
        }

        return given.Count > 0 ? given : null;
    }
}
