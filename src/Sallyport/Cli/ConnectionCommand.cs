using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>connection</c>: what carries events to services. Its connection strings are never shown again.</summary>
internal static class ConnectionCommand
{
    private static readonly Printing Table = Printing.Table(
        new("Name", "name"),
        new("Kind", "kind"),
        new("Target", "target"),
        new("State", "status.state"),
        new("RowsWritten", "status.rowsWritten"),
        new("Behind", connection => Sum(connection, "records")),
        new("Skipped", connection => Sum(connection, "skipped")),
        new("LastError", "status.lastError"));

    public static Command Create(HubVerbs verbs)
    {
        var name = Flags.Required("--name", "NAME", "The connection", "-n");
        return new Command("connection", "Connections that carry events to services")
        {
            new Command("create", "Create a connection") { SqlVerb(verbs, name) },
            verbs.Create("show", "Show a connection and how far it is behind", "connection show -n warehouse", [name], Table,
                async call => await call.Client.GetConnectionAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false)),
            verbs.Create("list", "List the connections", "connection list -o table", [], Table,
                async call => await call.Client.ListConnectionsAsync(call.Cancel).ConfigureAwait(false)),
            verbs.Create("pause", "Stop writing; what comes is held for the connection", "connection pause -n warehouse", [name], Table,
                async call => await call.Client.PauseConnectionAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false)),
            verbs.Create("resume", "Go on where it was paused", "connection resume -n warehouse", [name], Table,
                async call => await call.Client.ResumeConnectionAsync(call.Parsed.GetValue(name)!, call.Cancel).ConfigureAwait(false)),
            TestVerb(verbs, name),
            DeleteVerb(verbs, name),
        };
    }

    private static Verb SqlVerb(HubVerbs verbs, Option<string> name)
    {
        var connectionString = Flags.Required("--connection-string", Secrets.ValueName, "Of the database: PostgreSQL, or 'Data Source=FILE' for SQLite under DIR/sinks");
        var table = Flags.Text("--table", "TABLE", "The table, or schema.table; made when missing; default: telemetry");
        var from = Flags.Choice("--from", "Which events to begin with; default: earliest, the oldest that the hub still has", ["earliest", "latest"], null);
        var hold = Flags.Choice("--hold", "What gives way when the target is away for so long that no more may be held for it: skip loses its oldest events, refuse-ingest stops taking telemetry; default: skip", ["skip", "refuse-ingest"], null);
        return verbs.Create(
            "sql", "Write telemetry into a table, each event exactly once; of a connection that exists, replaces the connection string",
            "connection create sql -n warehouse --connection-string @warehouse.txt --table telemetry --from earliest", [name, connectionString, table, from, hold], Table, async call =>
            {
                var connection = new JsonObject
                {
                    ["kind"] = "sql",
                    ["connectionString"] = await Secrets.ReadAsync(connectionString.Name, call.Parsed.GetValue(connectionString), call.Terminal, call.Cancel).ConfigureAwait(false),
                };
                if (call.Parsed.GetValue(table) is { } givenTable)
                    connection["table"] = givenTable;
                if (call.Parsed.GetValue(from) is { } givenFrom)
                    connection["from"] = givenFrom;
                if (call.Parsed.GetValue(hold) is { } givenHold)
                    connection["hold"] = givenHold;
                return await call.Client.PutConnectionAsync(call.Parsed.GetValue(name)!, connection, call.Cancel).ConfigureAwait(false);
            });
    }

    private static Verb TestVerb(HubVerbs verbs, Option<string> name) => verbs.Create(
        "test", "Connect to the target once and say whether rows could be written; exit 1 when not", "connection test -n warehouse", [name], Printing.Nothing, async call =>
        {
            var connection = call.Parsed.GetValue(name)!;
            var result = await call.Client.TestConnectionAsync(connection, call.Cancel).ConfigureAwait(false);
            if (result["problem"]?.GetValue<string>() is { } problem)
                throw new FailedException($"Connection {connection} cannot write: {problem.TrimEnd('.')}.");
            return result;
        });

    private static Verb DeleteVerb(HubVerbs verbs, Option<string> name)
    {
        var yes = Confirmation.Yes();
        return verbs.Create("delete", "Forget a connection and its position; what it wrote stays in the target", "connection delete -n warehouse --yes", [name, yes], Printing.Nothing, async call =>
        {
            var connection = call.Parsed.GetValue(name)!;
            await Confirmation.RequireAsync(call.Terminal, call.Parsed.GetValue(yes), $"Delete connection {connection} and its position?", call.Cancel).ConfigureAwait(false);
            await call.Client.DeleteConnectionAsync(connection, call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static string Sum(JsonObject connection, string member) =>
        (connection["status"]?["behind"] as JsonArray ?? []).Sum(partition => partition?[member]?.GetValue<long>() ?? 0).ToString(CultureInfo.InvariantCulture);
}
