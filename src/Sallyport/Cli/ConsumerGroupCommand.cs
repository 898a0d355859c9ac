using System.CommandLine;
using Sallyport.Hub.Telemetry;

namespace Sallyport.Cli;

/// <summary><c>consumer-group</c>: groups of readers of events, each with positions of its own.</summary>
internal static class ConsumerGroupCommand
{
    private static readonly Printing Table = Printing.Table(new("Name", "name"), new("CreatedTime", "createdTime"));

    public static Command Create(HubVerbs verbs) => new("consumer-group", "Groups of readers of events, each with checkpoints of its own")
    {
        verbs.Create("list", "List the consumer groups", "consumer-group list -o table", [], Table,
            async call => await call.Client.ListConsumerGroupsAsync(call.Cancel).ConfigureAwait(false)),
        ShowVerb(verbs),
        CreateVerb(verbs),
        DeleteVerb(verbs),
    };

    private static Verb ShowVerb(HubVerbs verbs)
    {
        var name = Name();
        return verbs.Create("show", "Show a consumer group", "consumer-group show -n dashboards", [name], Table,
            async call => await call.Client.GetConsumerGroupAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false));
    }

    private static Verb CreateVerb(HubVerbs verbs)
    {
        var name = Name();
        return verbs.Create("create", "Create a consumer group; one that is there stays as it is", "consumer-group create -n dashboards", [name], Table,
            async call => await call.Client.CreateConsumerGroupAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false));
    }

    private static Verb DeleteVerb(HubVerbs verbs)
    {
        var (name, yes) = (Name(), Confirmation.Yes());
        return verbs.Create("delete", "Delete a consumer group with its checkpoints; its readers are cut off", "consumer-group delete -n dashboards --yes", [name, yes], Printing.Nothing, async call =>
        {
            var group = call.Parsed.GetValue(name)!;
            await Confirmation.RequireAsync(
                call.Terminal, call.Parsed.GetValue(yes), $"Delete consumer group {group} with its checkpoints? Whoever reads in it is cut off.", call.Cancel).ConfigureAwait(false);
            await call.Client.DeleteConsumerGroupAsync(group, call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static Option<string> Name()
    {
        var name = Flags.Required("--name", "NAME", "The consumer group; upper and lower case are one", "-n");
        name.Validators.Add(given =>
        {
            // A name of dots would be another path.
            if (given.Tokens is [var token] && !ConsumerGroups.CanExist(token.Value))
                given.AddError($"--name: {ConsumerGroups.NameSyntax}.");
        });
        return name;
    }
}
