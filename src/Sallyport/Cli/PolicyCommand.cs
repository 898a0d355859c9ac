using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;

namespace Sallyport.Cli;

/// <summary><c>policy</c>: shared access policies, which name rights and hold two keys.</summary>
internal static class PolicyCommand
{
    private static readonly Printing Table = Printing.Table(new("KeyName", "keyName"), new("Rights", "rights"), new("DevicePrefixes", "devicePrefixes"), new("DeviceTags", "deviceTags"), new("ConsumerGroups", "consumerGroups"), new("CreatedTime", "createdTime"));

    private static readonly Printing Advice = Printing.Table(
        new("Name", "name"), new("Granted", "granted"), new("DevicePrefixes", "devicePrefixes"), new("DeviceTags", "deviceTags"), new("Unused", "unused"), new("LastUsed", "lastUsed"), new("ObservedSince", "observedSince"), new("Advice", "advice"));

    public static Command Create(HubVerbs verbs)
    {
        var name = Flags.Required("--name", "NAME", "The policy", "-n");
        return new Command("policy", "Shared access policies")
        {
            verbs.Create("list", "List the policies; keys only of those whose rights the caller holds", "policy list -o table", [], Table,
                async call => await call.Client.ListPoliciesAsync(call.Cancel).ConfigureAwait(false)),
            verbs.Create("show", "Show a policy with its keys", "policy show -n service", [name], Table,
                async call => await call.Client.GetPolicyAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false)),
            CreateVerb(verbs, name),
            UpdateVerb(verbs, name),
            AdviseVerb(verbs),
            RenewKeyVerb(verbs, name),
            DeleteVerb(verbs, name),
        };
    }

    private static Verb CreateVerb(HubVerbs verbs, Option<string> name)
    {
        var grant = new GrantOptions(rightsRequired: true);
        return verbs.Create(
            "create", "Create a policy; the hub makes its keys", "policy create -n reader --permissions telemetry-read twin-read --device-prefix plant-", [name, .. grant.All], Table,
            async call => await call.Client.PutPolicyAsync(call.Parsed.GetValue(name)!, grant.Read(call.Parsed), cancel: call.Cancel).ConfigureAwait(false));
    }

    private static Verb UpdateVerb(HubVerbs verbs, Option<string> name)
    {
        var grant = new GrantOptions(rightsRequired: false);
        var etag = Etag();
        return verbs.Create(
            "update", "Give a policy other rights or another scope; its keys stay, sessions that it let in end", "policy update -n reader --permissions telemetry-read", [name, .. grant.All, etag], Table,
            async call =>
            {
                var change = grant.Read(call.Parsed);
                return change.Count == 0
                    ? throw new WrongUsageException("Say what to change: --permissions, --device-prefix, --device-tag or --consumer-group.")
                    : await call.Client.SendAsync(HttpMethod.Patch, $"manage/v1/policies/{Uri.EscapeDataString(call.Parsed.GetValue(name)!)}", change, call.Parsed.GetValue(etag), call.Cancel).ConfigureAwait(false);
            });
    }

    private static Verb AdviseVerb(HubVerbs verbs)
    {
        var days = Flags.Number("--unused-for", "DAYS", "Rights that were not used for so many days", 1, 3650, 30);
        return verbs.Create(
            "advise", "Show what policies and operators were granted and did not use, and the command that narrows them", "policy advise --unused-for 30 -o table", [days], Advice,
            async call =>
            {
                var answer = await call.Client.SendAsync(HttpMethod.Get, $"manage/v1/policy-advice?unusedForDays={call.Parsed.GetValue(days)}", cancel: call.Cancel).ConfigureAwait(false);
                foreach (var line in answer!.AsArray().OfType<JsonObject>())
                    line["advice"] = AdviceFor(line, call.Parsed.GetValue(days)!.Value, call.Time.GetUtcNow());
                return answer;
            });
    }

    private static string AdviceFor(JsonObject line, long days, DateTimeOffset now)
    {
        var (name, unused, narrower) = ((string)line["name"]!, (string)line["unused"]!, (string)line["narrower"]!);
        var observed = (int)(now - (DateTimeOffset)line["observedSince"]!).TotalDays;
        if (unused.Length == 0)
            return "nothing: every right was used";
        if (observed < days)
            return $"none yet: observed for {observed} of {days} days";

        var isOperator = name.StartsWith(Policies.OperatorPrefix, StringComparison.Ordinal);
        if (narrower.Length == 0)
            return isOperator ? $"sallyport operator delete -n {name[Policies.OperatorPrefix.Length..]}" : $"sallyport policy delete -n {name}";
        return isOperator ? $"make it anew with --permissions {narrower.Replace(",", "", StringComparison.Ordinal)}{LimitsOf(line)}" : $"sallyport policy update -n {name} --permissions {narrower.Replace(",", "", StringComparison.Ordinal)}";
    }

    // What is made anew has the limits of before only when they are given again.
    private static string LimitsOf(JsonObject line)
    {
        return Flag("--device-prefix", "devicePrefixes") + Flag("--device-tag", "deviceTags") + Flag("--consumer-group", "consumerGroups");

        string Flag(string flag, string member) =>
            line[member] is JsonArray { Count: > 0 } values ? $" {flag} {string.Join(' ', values.Select(value => Quoted((string)value!)))}" : "";
    }

    // Beginnings of ids and values of tags may be words of the shell.
    private static string Quoted(string word) =>
        word.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '=') ? word : $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    private static Option<string> Etag() => Flags.Text("--etag", "ETAG", "Only if it is still as this ETag says; default: whatever it is", "-e");

    private static Verb RenewKeyVerb(HubVerbs verbs, Option<string> name)
    {
        var key = Flags.Choice("--renew-key", "Which key to make anew", ["primary", "secondary", "swap"], null, "--rk", "--key-type", "--kt");
        key.Required = true;
        var etag = Etag();
        return verbs.Create("renew-key", "Make a new key of a policy, or swap the two; tokens of the old key are refused from then on", "policy renew-key -n service --renew-key primary", [name, key, etag], Table,
            async call => await call.Client.SendAsync(
                HttpMethod.Post, $"manage/v1/policies/{Uri.EscapeDataString(call.Parsed.GetValue(name)!)}/renew-key",
                new JsonObject { ["key"] = call.Parsed.GetValue(key) }, call.Parsed.GetValue(etag), call.Cancel).ConfigureAwait(false));
    }

    private static Verb DeleteVerb(HubVerbs verbs, Option<string> name)
    {
        var (yes, etag) = (Confirmation.Yes(), Etag());
        return verbs.Create("delete", "Delete a policy; its tokens are refused from then on", "policy delete -n reader --yes", [name, yes, etag], Printing.Nothing, async call =>
        {
            var policy = call.Parsed.GetValue(name)!;
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete policy {policy}? Whoever uses it is locked out.", call.Cancel).ConfigureAwait(false);
            await call.Client.SendAsync(HttpMethod.Delete, $"manage/v1/policies/{Uri.EscapeDataString(policy)}", null, call.Parsed.GetValue(etag), call.Cancel).ConfigureAwait(false);
            return null;
        });
    }
}
