using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

public sealed class ConfigurationCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Configuration_FromCreationToDeletion()
    {
        var made = await hub.JsonAsync(
            "configuration", "create", "-c", "fast", "-k", """{"content":{"deviceContent":{"properties.desired.speed":7}}}""", "--tc", "tags.cli = 1", "--pri", "10", "--lab", """{"team":"ops"}""",
            "-m", """{"metrics":{"queries":{"own":"SELECT deviceId FROM devices WHERE tags.cli = 1"}}}""");
        Assert.Equal(("fast", 10, "ops"), ((string?)made["id"], (int)made["priority"]!, (string?)made["labels"]!["team"]));
        Assert.Contains("fast", (await hub.RunAsync("configuration", "list", "-o", "table")).Out);

        var changed = await hub.JsonAsync("configuration", "update", "-c", "fast", "--set", "priority=11", "targetCondition=tags.cli = 2", "--etag", (string)made["etag"]!);
        Assert.Equal((11, "tags.cli = 2", "ops"), ((int)changed["priority"]!, (string?)changed["targetCondition"], (string?)changed["labels"]!["team"]));
        var metric = await hub.JsonAsync("configuration", "show-metric", "-c", "fast", "-m", "own");
        Assert.Equal(("own", 0), ((string?)metric["metric"], metric["result"]!.AsArray().Count));
        Assert.Contains("it has own", (await hub.RunAsync("configuration", "show-metric", "-c", "fast", "-m", "other")).Error, StringComparison.Ordinal);
        Assert.Equal("SELECT deviceId FROM devices WHERE tags.cli = 2", (string?)(await hub.JsonAsync("configuration", "show-metric", "-c", "fast", "-m", "targetedCount", "--mt", "system"))["query"]);

        Assert.Equal(0, (await hub.RunAsync("configuration", "delete", "-c", "fast", "-y")).Exit);
        Assert.Equal(1, (await hub.RunAsync("configuration", "show", "-c", "fast")).Exit);
    }

    [Fact]
    public async Task Configuration_WithABadCondition_SaysWhere()
    {
        var result = await hub.RunAsync("configuration", "create", "-c", "bad", "-k", """{"deviceContent":{"properties.desired.speed":7}}""", "--tc", "tags.a == 1");
        Assert.Equal(1, result.Exit);
        Assert.Contains("targetCondition, line 1, column 9", result.Error, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Deployment_WithoutABase_IsALayer()
    {
        var forgotten = await hub.RunAsync("edge", "deployment", "create", "-d", "layer", "-k", """{"modulesContent":{"m":{"properties.desired":{}}}}""");
        Assert.Equal(2, forgotten.Exit);
        Assert.Contains("--layered", forgotten.Error, StringComparison.Ordinal);
        await hub.JsonAsync("edge", "deployment", "create", "-d", "layer", "--layered", "-k", """{"modulesContent":{"m":{"properties.desired":{}}}}""");
        Assert.Contains("layer", (await hub.RunAsync("edge", "deployment", "list", "-o", "table")).Out, StringComparison.Ordinal);
        Assert.DoesNotContain("layer", (await hub.RunAsync("configuration", "list", "-o", "table")).Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Modules_AreSetAndExported()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "edge-cli", "--ee");
        const string content = """{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{}}},"$edgeHub":{"properties.desired":{}},"m":{"properties.desired":{"a":1}}}}""";
        var set = JsonNode.Parse((await hub.RunAsync("edge", "set-modules", "-d", "edge-cli", "-k", content)).Out)!.AsArray();
        Assert.Equal(["$edgeAgent", "$edgeHub", "m"], set.Select(module => (string?)module!["moduleId"]));
        Assert.All(set, module => Assert.Null(module!["authentication"]));

        var exported = await hub.JsonAsync("edge", "export-modules", "-d", "edge-cli");
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(content), exported["content"]), exported.ToJsonString());
    }
}
