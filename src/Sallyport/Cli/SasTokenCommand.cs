using System.Text.Json.Nodes;
using Sallyport.Protocol.Sas;

namespace Sallyport.Cli;

/// <summary><c>generate-sas-token</c>: a token for people and tools that cannot make one by themselves.</summary>
internal static class SasTokenCommand
{
    private const long MaxDurationSeconds = 10L * 365 * 24 * 3600;

    public static Verb Create(HubVerbs verbs)
    {
        var device = Flags.Text("--device-id", "ID", "A token of this device", "-d");
        var module = Flags.Text("--module-id", "ID", "A token of this module of the device", "-m");
        var policy = Flags.Text("--policy-name", "NAME", "A token of this policy; default: the one that the verb itself uses", "--pn");
        var duration = Flags.Number("--duration", "SECONDS", "How long it is good for", 1, MaxDurationSeconds, 3600, "--du");
        var key = KeyType.Option();
        var verb = verbs.Create(
            "generate-sas-token", "Make a shared access signature of a device, a module or a policy", "generate-sas-token -d d1 --duration 600",
            [device, module, policy, duration, key], Printing.Secret, async call =>
            {
                var expires = call.Time.GetUtcNow().AddSeconds((long)call.Parsed.GetValue(duration)!);
                var token = call.Parsed.GetValue(device) is { } deviceId
                    ? await OfIdentityAsync(call, new IdentityName(deviceId, call.Parsed.GetValue(module)), call.Parsed.GetValue(key)!, expires).ConfigureAwait(false)
                    : await OfPolicyAsync(call, call.Parsed.GetValue(policy), call.Parsed.GetValue(key)!, expires).ConfigureAwait(false);
                return new JsonObject { ["sas"] = token };
            });
        verb.Validators.Add(given =>
        {
            if (given.GetResult(module) is not null && given.GetResult(device) is null)
                given.AddError("--module-id needs --device-id.");
            if (given.GetResult(policy) is not null && given.GetResult(device) is not null)
                given.AddError("Give one of --device-id and --policy-name.");
        });
        return verb;
    }

    private static async Task<string> OfIdentityAsync(HubCall call, IdentityName name, string keyType, DateTimeOffset expires)
    {
        var key = name.Key(await name.GetAsync(call).ConfigureAwait(false), call, keyType);
        var resource = $"{call.Login.HostName}/devices/{name.DeviceId}{(name.ModuleId is null ? "" : $"/modules/{name.ModuleId}")}";
        return SharedAccessSignature.Create(resource, key, expires);
    }

    private static async Task<string> OfPolicyAsync(HubCall call, string? given, string keyType, DateTimeOffset expires)
    {
        var name = given ?? call.Login.Policy?.SharedAccessKeyName ?? throw new WrongUsageException("A certificate signs no tokens: say whose with --device-id or --policy-name.");
        var policy = await call.Client.GetPolicyAsync(name, call.Cancel).ConfigureAwait(false);
        var key = policy[$"{keyType}Key"]?.GetValue<string>()
            ?? throw new FailedException($"{char.ToUpperInvariant(call.Login.Who[0])}{call.Login.Who[1..]} may not see the keys of {name}: use one that holds all of its rights.");
        return SharedAccessSignature.Create(call.Login.HostName, key, expires, name);
    }
}
