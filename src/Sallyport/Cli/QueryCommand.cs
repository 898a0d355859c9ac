using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>query</c>: asks twins, with the flags of <c>az iot hub query</c>.</summary>
internal static class QueryCommand
{
    // Enough for any report; more are read page by page by a program.
    private const long MaxRows = 1_000_000;

    public static Verb Create(HubVerbs verbs)
    {
        var query = Flags.Required("--query-command", "QUERY|@FILE", "In IoT Hub's query language", "-q");
        var top = Flags.Number("--top", "N", "At most so many rows", 1, MaxRows, null);
        return verbs.Create(
            "query", "Ask for devices, modules and their twins", "query -q 'SELECT deviceId, tags.site FROM devices WHERE tags.floor > 2'", [query, top], Printing.Rows,
            async call =>
            {
                var given = call.Parsed.GetValue(query)!;
                var text = given is ['@', _, ..] ? await Secrets.ReadFileAsync("--query-command", given[1..], call.Cancel).ConfigureAwait(false) : given;
                var most = call.Parsed.GetValue(top) ?? MaxRows;
                var rows = new JsonArray();
                await foreach (var row in call.Client.QueryAsync(text, (int)Math.Min(most, 1000), call.Cancel).ConfigureAwait(false))
                {
                    rows.Add(row.DeepClone());
                    if (rows.Count == most)
                        break;
                }

                return rows;
            });
    }
}
