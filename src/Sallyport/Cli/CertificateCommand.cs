using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>certificate</c>: the certificate authorities that devices' certificates come from, with the flags of <c>az iot hub certificate</c>.</summary>
internal static class CertificateCommand
{
    private const string Root = "manage/v1/certificates";
    private const int MaxFileBytes = 2 * 1024 * 1024;

    private static readonly Printing Table = Printing.Table(
        new("Name", "name"), new("IsVerified", "properties.isVerified"), new("Expiry", "properties.expiry"), new("Subject", "properties.subject"),
        new("IdPrefix", "properties.idPrefix"), new("DeviceTags", "properties.deviceTags"), new("Revocation", "properties.revocation.mode"));

    public static Command Create(HubVerbs verbs)
    {
        var name = Flags.Required("--name", "NAME", "The certificate authority", "-n");
        var etag = Flags.Text("--etag", "ETAG", "Only if it is still as this ETag says; default: whatever it is", "-e");
        return new Command("certificate", "Certificate authorities of devices")
        {
            CreateVerb(verbs, name),
            UpdateVerb(verbs, name, etag),
            verbs.Create("list", "List the certificate authorities", "certificate list -o table", [], Table,
                async call => (await call.Client.SendAsync(HttpMethod.Get, Root, cancel: call.Cancel).ConfigureAwait(false))!["value"]),
            verbs.Create("show", "Show a certificate authority", "certificate show -n plant", [name], Table,
                async call => await call.Client.SendAsync(HttpMethod.Get, PathOf(call, name), cancel: call.Cancel).ConfigureAwait(false)),
            verbs.Create(
                "generate-verification-code", "Make the code that a certificate signed by the authority must have as its common name", "certificate generate-verification-code -n plant", [name, etag], Table,
                async call => await call.Client.SendAsync(HttpMethod.Post, $"{PathOf(call, name)}/generateVerificationCode", null, EtagOf(call, etag), call.Cancel).ConfigureAwait(false)),
            VerifyVerb(verbs, name, etag),
            RevocationVerb(verbs, name, etag),
            DeleteVerb(verbs, name, etag),
        };
    }

    private static Verb CreateVerb(HubVerbs verbs, Option<string> name)
    {
        var path = Flags.Required("--path", "FILE", "The authority's certificate, PEM or DER", "-p");
        var verified = VerifiedFlag();
        var (prefix, tags) = (PrefixFlag(), GrantOptions.DeviceTags());
        return verbs.Create("create", "Register a certificate authority", "certificate create -n plant --path plant-ca.crt --id-prefix plant-", [name, path, verified, prefix, tags], Table, async call =>
            await call.Client.SendAsync(
                HttpMethod.Put, PathOf(call, name), Body(await ReadAsync(path, call).ConfigureAwait(false), call.Parsed.GetValue(verified), call.Parsed.GetValue(prefix), call.Parsed.GetValue(tags)), cancel: call.Cancel)
                .ConfigureAwait(false));
    }

    private static Verb UpdateVerb(HubVerbs verbs, Option<string> name, Option<string> etag)
    {
        var path = Flags.Text("--path", "FILE", "Its new certificate, which then has to be verified again", "-p");
        var verified = VerifiedFlag();
        var (prefix, tags) = (PrefixFlag(), GrantOptions.DeviceTags());
        return verbs.Create("update", "Change a certificate authority; connections that it does not vouch for any more end", "certificate update -n plant --id-prefix plant-2-", [name, path, verified, prefix, tags, etag], Table, async call =>
        {
            var certificate = call.Parsed.GetValue(path) is null ? null : await ReadAsync(path, call).ConfigureAwait(false);
            return await call.Client.SendAsync(
                HttpMethod.Put, PathOf(call, name), Body(certificate, call.Parsed.GetValue(verified), call.Parsed.GetValue(prefix), call.Parsed.GetValue(tags)), EtagOf(call, etag), call.Cancel).ConfigureAwait(false);
        });
    }

    private static Verb VerifyVerb(HubVerbs verbs, Option<string> name, Option<string> etag)
    {
        var path = Flags.Required("--path", "FILE", "The certificate that the authority signed, with the verification code as its common name", "-p");
        return verbs.Create("verify", "Prove that you hold the authority's key", "certificate verify -n plant --path verification.crt", [name, path, etag], Table, async call =>
            await call.Client.SendAsync(
                HttpMethod.Post, $"{PathOf(call, name)}/verify", new JsonObject { ["certificate"] = await ReadAsync(path, call).ConfigureAwait(false) }, EtagOf(call, etag), call.Cancel).ConfigureAwait(false));
    }

    private static Verb RevocationVerb(HubVerbs verbs, Option<string> name, Option<string> etag)
    {
        var mode = Flags.Choice("--mode", "off: revocation is not looked at; soft-fail: without a list in force all others are let in; hard-fail: nobody is", ["off", "soft-fail", "hard-fail"], null);
        mode.Required = true;
        var path = Flags.Text("--path", "FILE", "The revocation list, DER, or PEM one after the other", "-p");
        var url = Flags.Text("--url", "URL", "Where the hub fetches the list, at once and then every hour; https");
        return verbs.Create("revocation", "Say what is done about revoked certificates of an authority", "certificate revocation -n plant --mode hard-fail --path plant.crl", [name, mode, path, url, etag], Table, async call =>
        {
            var body = new JsonObject { ["mode"] = call.Parsed.GetValue(mode) };
            if (call.Parsed.GetValue(path) is not null)
                body["crl"] = await ReadAsync(path, call).ConfigureAwait(false);
            if (call.Parsed.GetValue(url) is { } address)
                body["crlUrl"] = address;
            return await call.Client.SendAsync(HttpMethod.Put, $"{PathOf(call, name)}/revocation", body, EtagOf(call, etag), call.Cancel).ConfigureAwait(false);
        });
    }

    private static Verb DeleteVerb(HubVerbs verbs, Option<string> name, Option<string> etag)
    {
        var yes = Confirmation.Yes();
        return verbs.Create("delete", "Delete a certificate authority; its devices are cut off", "certificate delete -n plant --yes", [name, etag, yes], Printing.Nothing, async call =>
        {
            await Confirmation.RequireAsync(
                call.Terminal, call.Parsed.GetValue(yes), $"Delete certificate {call.Parsed.GetValue(name)}? Devices with certificates of it are cut off.", call.Cancel).ConfigureAwait(false);
            await call.Client.SendAsync(HttpMethod.Delete, PathOf(call, name), null, EtagOf(call, etag), call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static Option<bool?> VerifiedFlag() => new("--verified", "-v")
    {
        Description = "Trust it without proof that anybody holds its key", HelpName = "true|false", Arity = ArgumentArity.ZeroOrOne,
    };

    private static Option<string> PrefixFlag() => Flags.Text("--id-prefix", "PREFIX", "Vouches only for device ids that begin with this; empty for all");

    private static JsonObject Body(string? certificate, bool? isVerified, string? prefix, string[]? tags) => new()
    {
        ["properties"] = new JsonObject
        {
            ["certificate"] = certificate, ["isVerified"] = isVerified, ["idPrefix"] = prefix,
            ["deviceTags"] = tags is { Length: > 0 } ? new JsonArray([.. GrantOptions.Names(tags).Select(tag => JsonValue.Create(tag))]) : null,
        },
    };

    private static string PathOf(HubCall call, Option<string> name) => $"{Root}/{Uri.EscapeDataString(call.Parsed.GetValue(name)!)}";

    private static string EtagOf(HubCall call, Option<string> etag) => call.Parsed.GetValue(etag) ?? "*";

    /// <summary>The file in base64, whatever is in it.</summary>
    private static async Task<string> ReadAsync(Option<string> flag, HubCall call) =>
        Convert.ToBase64String(await Secrets.ReadBytesAsync(flag.Name, call.Parsed.GetValue(flag)!, MaxFileBytes, call.Cancel).ConfigureAwait(false));
}
