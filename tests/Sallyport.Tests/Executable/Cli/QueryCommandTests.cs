namespace Sallyport.Tests.Executable.Cli;

public sealed class QueryCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Query_ShowsRowsOfAllPages_AsJsonAndAsATable()
    {
        for (var i = 0; i < 3; i++)
        {
            await hub.JsonAsync("device-identity", "create", "-d", $"query-{i}");
            await hub.JsonAsync("device-twin", "update", "-d", $"query-{i}", "--tags", $$"""{"asked":true,"n":{{i}}}""");
        }

        const string query = "SELECT deviceId, tags.n FROM devices WHERE tags.asked";
        var json = await hub.RunAsync("query", "-q", query);
        var table = await hub.RunAsync("query", "--query-command", query, "-o", "table");
        var top = await hub.RunAsync("query", "-q", query, "--top", "2", "-o", "table");

        Assert.Equal(0, json.Exit);
        Assert.Equal(["query-0", "query-1", "query-2"], System.Text.Json.Nodes.JsonNode.Parse(json.Out)!.AsArray().Select(row => (string?)row!["deviceId"]));
        Assert.Contains("deviceId", table.Out);
        Assert.Contains("query-2", table.Out);
        Assert.DoesNotContain("query-2", top.Out);
        Assert.Equal("", (await hub.RunAsync("query", "-q", "SELECT * FROM devices WHERE tags.asked = 1", "-o", "table")).Out);
    }

    [Fact]
    public async Task Query_OfAFile_IsTheSame()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["some.query"], "SELECT COUNT() AS n\nFROM devices\nWHERE deviceId = 'nobody'\n", TestContext.Current.CancellationToken);

        Assert.Equal("""[{"n":0}]""", System.Text.Json.Nodes.JsonNode.Parse((await hub.RunAsync("query", "-q", "@" + directory["some.query"])).Out)!.ToJsonString());
    }

    [Fact]
    public async Task Query_ThatIsNone_SaysWhere()
    {
        var result = await hub.RunAsync("query", "-q", "SELECT * FROM devices WHERE tags.a == 1");

        Assert.Equal(1, result.Exit);
        Assert.Contains("line 1, column 37: found '='; expected a path", result.Error);
    }
}
