namespace Sallyport.Tests.Executable.Cli;

public sealed class TwinCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Twin_UpdatedShownReplaced_IsWhatWasGiven()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "twin-1");
        var updated = await hub.JsonAsync("device-twin", "update", "-d", "twin-1", "--tags", """{"site":"a"}""", "--desired", """{"n":1}""", "--set", "properties.desired.u.v=2", "tags.floor=third");
        var shown = await hub.JsonAsync("device-twin", "show", "-d", "twin-1");
        var replaced = await hub.JsonAsync("device-twin", "replace", "-d", "twin-1", "--json", """{"properties":{"desired":{"n":3}}}""", "--etag", (string)updated["etag"]!);

        Assert.Equal("""{"site":"a","floor":"third"}""", updated["tags"]!.ToJsonString());
        Assert.Equal(2, (int?)shown["properties"]!["desired"]!["u"]!["v"]);
        Assert.Null(replaced["properties"]!["desired"]!["u"]);
        Assert.Equal(3, (int?)replaced["properties"]!["desired"]!["$version"]);
        var stale = await hub.RunAsync("device-twin", "update", "-d", "twin-1", "--tags", "{}", "--etag", (string)updated["etag"]!);
        Assert.Equal(1, stale.Exit);
        Assert.Contains("(PreconditionFailed)", stale.Error);
        Assert.Contains("""{"n":3}""", (await hub.RunAsync("device-twin", "show", "-d", "twin-1", "-o", "table")).Out);
    }

    [Fact]
    public async Task ModuleTwin_IsAnother()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "twin-2");
        await hub.JsonAsync("module-identity", "create", "-d", "twin-2", "-m", "m");
        await hub.JsonAsync("module-twin", "update", "-d", "twin-2", "-m", "m", "--set", "tags.a=null", "properties.desired.x=true");

        Assert.True((bool?)(await hub.JsonAsync("module-twin", "show", "-d", "twin-2", "-m", "m"))["properties"]!["desired"]!["x"]);
        Assert.Null((await hub.JsonAsync("device-twin", "show", "-d", "twin-2"))["properties"]!["desired"]!["x"]);
    }

    [Fact]
    public async Task History_ShowsWhatChanged_OfThatTwinAlone()
    {
        foreach (var id in (string[])["history-1", "history-2"])
            await hub.JsonAsync("device-identity", "create", "-d", id);
        await hub.JsonAsync("device-twin", "update", "-d", "history-2", "--tags", """{"other":1}""");
        await hub.JsonAsync("device-twin", "update", "-d", "history-1", "--tags", """{"site":"a"}""");
        await hub.JsonAsync("device-twin", "replace", "-d", "history-1", "--json", """{"tags":{"site":"b"}}""");

        System.Text.Json.Nodes.JsonArray changes;
        do
            changes = (await hub.JsonAsync("device-twin", "history", "-d", "history-1")).AsArray(); // The log has them a moment after the twin has.
        while (changes.Count < 2);

        Assert.Equal([("updateTwin", "a"), ("replaceTwin", "b")], changes.Select(change => ((string?)change!["operation"], (string?)change["change"]!["tags"]!["site"])));
        Assert.Contains("replaceTwin", (await hub.RunAsync("device-twin", "history", "-d", "history-1", "-o", "table")).Out, StringComparison.Ordinal);
        Assert.Empty((await hub.JsonAsync("device-twin", "history", "-d", "history-1", "--since", "2999-01-01T00:00:00Z")).AsArray());
    }

    [Theory]
    [InlineData("--since is a time", "history", "-d", "d", "--since", "yesterday")]
    [InlineData("Nothing to change", "update", "-d", "d")]
    [InlineData("--tags is a JSON object", "update", "-d", "d", "--tags", "[]")]
    [InlineData("'desired.x=1' is not tags.PATH=VALUE", "update", "-d", "d", "--set", "desired.x=1")]
    [InlineData("--json is a JSON object", "replace", "-d", "d", "--json", "nonsense")]
    public async Task WrongUsage_SaysWhatIsNeeded(string says, params string[] arguments)
    {
        var result = await hub.RunAsync(["device-twin", .. arguments]);

        Assert.Equal(2, result.Exit);
        Assert.Contains(says, result.Error);
    }
}
