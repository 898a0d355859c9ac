using System.CommandLine;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Cli;

/// <summary><c>owner recover</c>: whoever holds the data directory and its key while no hub runs gets the owner's policy back.</summary>
internal static class OwnerCommand
{
    public static Command Create(Terminal terminal, TimeProvider time)
    {
        var offline = new OfflineOptions();
        var host = new Option<string>("--host") { Description = "The host for the connection string, where the hub is started with --host; default: the first of the settings", HelpName = "NAME" };
        return new Command("owner", $"The policy {Policies.Owner}, which holds every right")
        {
            new Verb(
                "recover",
                "Give the owner all rights and new keys, and print its connection string. Works on a stopped hub; the old keys are refused from then on",
                "owner recover --data /var/lib/sallyport --host hub.example.org",
                [.. offline.All, host],
                async (parsed, cancel) =>
                {
                    var settings = offline.Read(parsed);
                    var policy = await RecoverAsync(settings, time, cancel).ConfigureAwait(false);
                    await terminal.Out.WriteLineAsync($"HostName={parsed.GetValue(host) ?? settings.Hub.Hosts[0]};SharedAccessKeyName={policy.Name};SharedAccessKey={policy.PrimaryKey}").ConfigureAwait(false);
                    return 0;
                }),
        };
    }

    private static async Task<PolicyRecord> RecoverAsync(Settings.HubSettings settings, TimeProvider time, CancellationToken cancel)
    {
        var (data, keys) = OfflineOptions.Open(settings, time);
        using var held = data;
        using var secrets = new SecretBox(keys);
        var audit = AuditTrail.Open(data.AuditPath, new AuditKeys(data.Id, keys), new AuditTrailOptions(), time, NullLogger.Instance);
        await using var closeAudit = audit.ConfigureAwait(false);
        var metadata = await SqliteMetadata.OpenAsync(data.MetadataPath, secrets, time, NullLogger.Instance).ConfigureAwait(false);
        await using var closeMetadata = metadata.ConfigureAwait(false);

        var policy = await Policies.RecoverOwnerAsync(metadata, audit, time, $"local:{Environment.UserName}", cancel).ConfigureAwait(false);

        // A hub that did not stop by itself left it behind, with the keys that are now refused.
        File.Delete(data.EndpointsPath);
        return policy;
    }
}
