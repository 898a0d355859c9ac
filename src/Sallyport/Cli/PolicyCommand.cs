using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;

namespace Sallyport.Cli;

/// <summary><c>policy</c>: shared access policies, which name rights and hold two keys.</summary>
internal static class PolicyCommand
{
    private static readonly Printing Table = Printing.Table(new("KeyName", "keyName"), new("Rights", "rights"), new("CreatedTime", "createdTime"));

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
            RenewKeyVerb(verbs, name),
            DeleteVerb(verbs, name),
        };
    }

    private static Verb CreateVerb(HubVerbs verbs, Option<string> name)
    {
        var rights = Flags.Several(
            "--permissions", "RIGHT", $"What it may do, one or more of {string.Join(", ", RightsText.Names)}",
            given => RightsText.TryParse(Joined(given), out _, out var problem) ? null : problem, "--rights");
        rights.Required = true;
        return verbs.Create("create", "Create a policy; the hub makes its keys", "policy create -n reader --permissions telemetry-read twin-read", [name, rights], Table,
            async call => await call.Client.PutPolicyAsync(
                call.Parsed.GetValue(name)!, new JsonObject { ["rights"] = Joined(call.Parsed.GetValue(rights)!) }, cancel: call.Cancel).ConfigureAwait(false));
    }

    private static Verb RenewKeyVerb(HubVerbs verbs, Option<string> name)
    {
        var key = Flags.Choice("--renew-key", "Which key to make anew", ["primary", "secondary", "swap"], null, "--rk", "--key-type", "--kt");
        key.Required = true;
        return verbs.Create("renew-key", "Make a new key of a policy, or swap the two; tokens of the old key are refused from then on", "policy renew-key -n service --renew-key primary", [name, key], Table,
            async call => await call.Client.SendAsync(
                HttpMethod.Post, $"manage/v1/policies/{Uri.EscapeDataString(call.Parsed.GetValue(name)!)}/renew-key",
                new JsonObject { ["key"] = call.Parsed.GetValue(key) }, cancel: call.Cancel).ConfigureAwait(false));
    }

    private static Verb DeleteVerb(HubVerbs verbs, Option<string> name)
    {
        var yes = Confirmation.Yes();
        return verbs.Create("delete", "Delete a policy; its tokens are refused from then on", "policy delete -n reader --yes", [name, yes], Printing.Nothing, async call =>
        {
            var policy = call.Parsed.GetValue(name)!;
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete policy {policy}? Whoever uses it is locked out.", call.Cancel).ConfigureAwait(false);
            await call.Client.DeletePolicyAsync(policy, call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static string Joined(IReadOnlyList<string> rights) => string.Join(", ", rights.SelectMany(given => given.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries)));
}
