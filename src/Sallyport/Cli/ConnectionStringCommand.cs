using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Heads.Amqp;

namespace Sallyport.Cli;

/// <summary><c>connection-string</c>: what services and Event Hubs readers connect with.</summary>
internal static class ConnectionStringCommand
{
    public static Command Create(HubVerbs verbs)
    {
        var policy = Flags.Text("--policy-name", "NAME", "The policy whose key is in it; default: service", "-p");
        var key = KeyType.Option();
        var eventHub = Flags.Switch("--default-eventhub", "Of the Event Hubs-compatible endpoint instead of the hub", "--eh");
        return new Command("connection-string", "What services and readers connect with")
        {
            verbs.Create(
                "show", "Show a policy's connection string for the hub, or for its Event Hubs-compatible endpoint", "connection-string show --policy-name service --default-eventhub",
                [policy, key, eventHub], Printing.Secret, async call =>
                {
                    var name = call.Parsed.GetValue(policy) ?? "service";
                    var keys = await call.Client.GetPolicyAsync(name, call.Cancel).ConfigureAwait(false);
                    var value = (string?)keys![$"{call.Parsed.GetValue(key)}Key"]
                        ?? throw new FailedException($"The keys of policy {name} are not shown to {call.Login.Who}: it holds rights that you do not.");
                    return new JsonObject { ["connectionString"] = call.Parsed.GetValue(eventHub) ? OfEventHub(call.Login, name, value) : OfHub(call.Login, name, value) };
                }),
        };
    }

    private static string OfHub(HubLogin login, string policy, string key) => $"HostName={login.HostName};SharedAccessKeyName={policy};SharedAccessKey={key}";

    private static string OfEventHub(HubLogin login, string policy, string key) => EventHubName.ConnectionString(login.HostName, login.AmqpsPort, policy, key);
}
