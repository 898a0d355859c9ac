using System.CommandLine;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Cli;

/// <summary><c>operator</c>: people, each with a credential of their own that ends by itself.</summary>
internal static class OperatorCommand
{
    private static readonly Printing Table = Printing.Table(
        new("Name", "name"), new("Rights", "rights"), new("DevicePrefixes", "devicePrefixes"), new("DeviceTags", "deviceTags"), new("ConsumerGroups", "consumerGroups"), new("Status", "status"), new("ExpiresTime", "expiresTime"), new("HasEnded", "hasEnded"), new("Certificate", "certificateThumbprint"));

    public static Command Create(HubVerbs verbs) => new("operator", "People, each with a credential of their own that ends by itself")
    {
        verbs.Create("list", "List the operators", "operator list -o table", [], Table,
            async call => await call.Client.SendAsync(HttpMethod.Get, "manage/v1/operators", cancel: call.Cancel).ConfigureAwait(false)),
        ShowVerb(verbs),
        CreateVerb(verbs),
        RenewVerb(verbs),
        UpdateVerb(verbs),
        DeleteVerb(verbs),
    };

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var name = Name();
        return verbs.Create("show", "Show an operator", "operator show -n alice", [name], Table,
            async call => await call.Client.SendAsync(HttpMethod.Get, Path(call, name), cancel: call.Cancel).ConfigureAwait(false));
    }

    private static Verb CreateVerb(HubVerbs verbs)
    {
        var (name, hours, credential, grant) = (Name(), ValidFor(), new CredentialOptions(), new GrantOptions(rightsRequired: true));
        return credential.Checked(verbs.Create(
            "create", "Create an operator: with a key, in a file for --login-file, or with a client certificate that it has already",
            "operator create -n alice --permissions registry-read telemetry-read --credential-file alice.login",
            [name, .. grant.All, hours, .. credential.All], Table,
            call => AskAsync(call, credential, hours, grant.Read(call.Parsed), request => call.Client.SendAsync(HttpMethod.Put, Path(call, name), request, cancel: call.Cancel))));
    }

    private static Verb RenewVerb(HubVerbs verbs)
    {
        var (name, hours, credential) = (Name(), ValidFor(), new CredentialOptions());
        return credential.Checked(verbs.Create(
            "renew", "Give an operator a new credential; the one before is refused from then on", "operator renew -n alice --credential-file alice.login", [name, hours, .. credential.All], Table,
            call => AskAsync(call, credential, hours, [], request => call.Client.SendAsync(HttpMethod.Post, Path(call, name) + "/renew", request, cancel: call.Cancel))));
    }

    private static Verb UpdateVerb(HubVerbs verbs)
    {
        var (name, status) = (Name(), Flags.Choice("--status", "disabled: its credential opens nothing until it is enabled again", ["enabled", "disabled"], null));
        status.Required = true;
        return verbs.Create("update", "Disable an operator, or enable it again", "operator update -n alice --status disabled", [name, status], Table, async call =>
            await call.Client.SendAsync(HttpMethod.Patch, Path(call, name), new JsonObject { ["status"] = call.Parsed.GetValue(status) }, cancel: call.Cancel).ConfigureAwait(false));
    }

    private static async Task<JsonNode?> AskAsync(HubCall call, CredentialOptions credential, Option<long?> hours, JsonObject request, Func<JsonObject, Task<JsonNode?>> ask)
    {
        request["validForSeconds"] = call.Parsed.GetValue(hours) * 3600;
        if (credential.FileOf(call.Parsed) is { } file)
            return await WithCredentialAsync(call, file, () => ask(request)).ConfigureAwait(false);

        await credential.AddCertificateAsync(request, call.Parsed, call.Cancel).ConfigureAwait(false);
        return await ask(request).ConfigureAwait(false);
    }

    private static Verb DeleteVerb(HubVerbs verbs)
    {
        var (name, yes) = (Name(), Confirmation.Yes());
        return verbs.Create("delete", "Delete an operator; its credential is refused from then on", "operator delete -n alice --yes", [name, yes], Printing.Nothing, async call =>
        {
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete operator {call.Parsed.GetValue(name)}?", call.Cancel).ConfigureAwait(false);
            await call.Client.SendAsync(HttpMethod.Delete, Path(call, name), cancel: call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    // The file is opened before anything is asked, because a credential that can be written nowhere would be lost, and left as it was
    // when nothing came of it.
    private static async Task<JsonNode?> WithCredentialAsync(HubCall call, string file, Func<Task<JsonNode?>> ask)
    {
        var path = System.IO.Path.GetFullPath(file);
        var (existed, isNew) = (File.Exists(path), false);
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
            await using var credential = new FileStream(path, options);
            isNew = !existed;
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            var answer = (await ask().ConfigureAwait(false))!.AsObject();
            var login = new ConnectionString { HostName = call.Login.HostName, SharedAccessKeyName = (string)answer["keyName"]!, SharedAccessKey = (string)answer["key"]! };
            answer.Remove("key");
            credential.SetLength(0);
            await credential.WriteAsync(Encoding.UTF8.GetBytes(login.Format() + "\n")).ConfigureAwait(false);
            isNew = false;
            answer["credentialFile"] = path;
            return answer;
        }
        catch (Exception unwritable) when (unwritable is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"{path} cannot be written: name another file with --credential-file.", unwritable);
        }
        finally
        {
            if (isNew)
                File.Delete(path);
        }
    }

    private static Option<string> Name() => Flags.Required("--name", "NAME", "The operator", "-n");

    private static Option<long?> ValidFor() => Flags.Number("--valid-for", "HOURS", "How long the credential opens anything, 1 to 720", 1, 720, 8);

    private static string Path(HubCall call, Option<string> name) => $"manage/v1/operators/{Uri.EscapeDataString(call.Parsed.GetValue(name)!)}";
}
