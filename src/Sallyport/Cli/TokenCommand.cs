using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>token</c>: what a token is, and taking tokens out of force.</summary>
internal static class TokenCommand
{
    private const string Source = "The token, from standard input (-) or a file (@FILE)";

    private static readonly Printing Explanation = Printing.Table(new("What", "what"), new("Is", "is"));

    private static readonly Printing Revoked = Printing.Table(
        new("Fingerprint", "fingerprint"), new("Of", "subject"), new("AcceptedUntil", "acceptedUntil"), new("Revoked", "revokedTime"));

    private static readonly Printing Reset = Printing.Table(
        new("RefusedUntil", "refusedUntil"), new("Disconnects", "disconnects"), new("Revoked", "fingerprints"));

    public static Command Create(HubVerbs verbs) => new("token", "Shared access signatures: what one is, which are refused")
    {
        ExplainVerb(verbs), RevokeVerb(verbs), ResetVerb(verbs), ListVerb(verbs),
    };

    private static Verb ExplainVerb(HubVerbs verbs)
    {
        var source = new Argument<string>(Secrets.ValueName) { Description = Source };
        var verb = verbs.Create(
            "explain", "Say what a token is, whose, which key signed it, and what it opens or why not; prints no key and no usable token",
            "token explain @token.txt -o table", [], Explanation, async call =>
            {
                var token = await Secrets.ReadAsync("token explain", call.Parsed.GetValue(source), call.Terminal, call.Cancel).ConfigureAwait(false);
                var explained = (await call.Client.SendAsync(HttpMethod.Post, "manage/v1/tokens/explain", new JsonObject { ["token"] = token }, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
                return call.Output == "table" ? Rows(explained) : explained;
            });
        verb.Add(source);
        return verb;
    }

    private static Verb RevokeVerb(HubVerbs verbs)
    {
        var source = new Argument<string>("FINGERPRINT|-|@FILE")
        {
            Description = "The fingerprint that audit and diagnosis show (64 hex digits; the first 16 do for a token that was seen lately); or the token itself, from standard input (-) or a file (@FILE)",
        };
        var verb = verbs.Create(
            "revoke", "Refuse one token from now on and end its sessions. It helps against a token that leaked, not against a key that leaked: renew that",
            "token revoke 9f86d081884c7d65", [], Revoked, async call =>
            {
                var given = call.Parsed.GetValue(source)!;
                if (given[0] is '-' or '@')
                    given = (await Secrets.ReadAsync("token revoke", given, call.Terminal, call.Cancel).ConfigureAwait(false))!;
                else if (!given.All(char.IsAsciiHexDigit))
                    throw new WrongUsageException("token revoke takes a fingerprint, - (standard input) or @FILE, not the token itself: other users of this machine can read command lines.");

                var revoked = await call.Client.SendAsync(HttpMethod.Post, "manage/v1/tokens/revoke", new JsonObject { ["token"] = given }, cancel: call.Cancel).ConfigureAwait(false);
                await call.Terminal.Error.WriteLineAsync("Revoked. Whoever has the key can still make another token: if the key leaked, renew it.").ConfigureAwait(false);
                return revoked;
            });
        verb.Add(source);
        return verb;
    }

    private static Verb ResetVerb(HubVerbs verbs)
    {
        var device = new Argument<string>("ID") { Description = "The device" };
        var module = Flags.Text("--module-id", "ID", "This module of the device instead of the device itself", "-m");
        var lifetime = Flags.Number("--lifetime", "SECONDS", "How long the longest token lives that may have leaked; default: the hub's maximum, where it has one", 1, 10L * 366 * 24 * 3600, null);
        var yes = Confirmation.Yes();
        var verb = verbs.Create(
            "reset", "Refuse every token of a device that was seen, and every one that ends within the lifetime, also new ones: says first whom that cuts off. Not against a key that leaked: renew that",
            "token reset d1 --lifetime 3600 --yes", [module, lifetime, yes], Reset, async call =>
            {
                var name = new IdentityName(call.Parsed.GetValue(device)!, call.Parsed.GetValue(module));
                var path = $"manage/v1/devices/{Uri.EscapeDataString(name.DeviceId)}{(name.ModuleId is null ? "" : $"/modules/{Uri.EscapeDataString(name.ModuleId)}")}/tokens/reset"
                    + (call.Parsed.GetValue(lifetime) is { } seconds ? $"?lifetime={seconds}" : "");
                var preview = (await call.Client.SendAsync(HttpMethod.Get, path, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
                await call.Terminal.Error.WriteLineAsync(Consequence(name, preview)).ConfigureAwait(false);
                await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Reset the tokens of {name}?", call.Cancel).ConfigureAwait(false);
                return await call.Client.SendAsync(HttpMethod.Post, path, cancel: call.Cancel).ConfigureAwait(false);
            });
        verb.Add(device);
        return verb;
    }

    private static Verb ListVerb(HubVerbs verbs) => verbs.Create(
        "list", "List the tokens that are revoked, by fingerprint, and the identities whose tokens were reset", "token list -o table", [], Revoked, async call =>
        {
            var all = (await call.Client.SendAsync(HttpMethod.Get, "manage/v1/tokens/revoked", cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
            return call.Output == "table" ? RevokedRows(all) : all;
        });

    private static string Consequence(IdentityName name, JsonObject preview)
    {
        var later = preview["fingerprints"]!.AsArray().Count;
        return $"{name} is cut off until it shows a token that ends after {Column.Text(preview["refusedUntil"])}: with tokens of an hour, from an hour before that on"
            + (later == 0 ? "" : $"; {later} that end later were seen and are revoked") + "."
            + (preview["disconnects"]!.GetValue<bool>() ? " It is connected now; that session ends." : "")
            + " A policy's tokens still open it. If its key leaked, renew the key instead: that cuts off less.";
    }

    private static JsonArray RevokedRows(JsonObject all) =>
    [
        .. all["tokens"]!.AsArray().Select(token => token!.DeepClone()),
        .. all["resets"]!.AsArray().Select(reset => new JsonObject
        {
            ["fingerprint"] = "(all of its own keys)",
            ["subject"] = reset!["deviceId"]!.GetValue<string>() + (reset["moduleId"] is { } module ? $"/{module.GetValue<string>()}" : ""),
            ["acceptedUntil"] = reset["refusedUntil"]!.DeepClone(),
            ["revokedTime"] = reset["resetTime"]!.DeepClone(),
        }),
    ];

    private static JsonArray Rows(JsonObject explained)
    {
        var rows = new JsonArray();
        foreach (var (what, member) in new[]
        {
            ("verdict", "verdict"), ("whose", "subject"), ("covers", "resource"), ("host", "host"), ("signed with", "signedWith"), ("key read", "keyRead"), ("signed instead", "signedInstead"),
            ("ends", "expires"), ("seconds left", "secondsLeft"), ("revoked", "isRevoked"), ("fingerprint", "fingerprint"),
        })
        {
            if (explained[member] is { } value)
                rows.Add(Row(what, Column.Text(value)));
        }

        foreach (var verdict in explained["opens"]!.AsArray())
            rows.Add(Row(Column.Text(verdict!["what"]), verdict["isOpen"]!.GetValue<bool>() ? "yes" : $"no: {Column.Text(verdict["reason"])}"));
        return rows;
    }

    private static JsonObject Row(string? what, string? value) => new() { ["what"] = what, ["is"] = value };
}
