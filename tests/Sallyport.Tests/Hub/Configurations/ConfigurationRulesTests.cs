using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Moving;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Hub.Configurations;

public sealed class ConfigurationRulesTests : IAsyncLifetime
{
    private const string Content = """{"deviceContent":{"properties.desired.a":1}}""";

    private ConfigurationsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await ConfigurationsFixture.OpenAsync(new ConfigurationOptions { MaxConfigurations = 3 });

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("", "id: 1 to 128")]
    [InlineData("A", "id: 1 to 128")]
    [InlineData("a.b", "id: 1 to 128")]
    [InlineData("a b", "id: 1 to 128")]
    [InlineData("ä", "id: 1 to 128")]
    public async Task Id_ThatIsNone_IsRefused(string id, string says) =>
        Assert.StartsWith(says, await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.PutAsync(id, Content, "*")), StringComparison.Ordinal);

    [Fact]
    public async Task Id_OfTheGreatestLength_AndOneMore()
    {
        await _hub.PutAsync(new string('a', 128), Content, "*");
        await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.PutAsync(new string('a', 129), Content, "*"));
    }

    [Theory]
    [InlineData("", "the body is not the JSON of a configuration: line 1, byte 1")]
    [InlineData("[]", "the body: an object is needed")]
    [InlineData("{\"id\":\"x\",\"id\":\"x\"}", "the body is not the JSON")]
    [InlineData("{\"id\":7}", "id: a text is needed")]
    [InlineData("{\"labels\":[]}", "labels: an object is needed")]
    [InlineData("{\"labels\":{\"\":\"x\"}}", "labels: a name has 1 to 128")]
    [InlineData("{\"labels\":{\"\\ud800\":\"x\"}}", "the body has a text with half a surrogate pair")]
    [InlineData("{\"targetCondition\":\"\\ud800\"}", "the body has a text with half a surrogate pair")]
    [InlineData("{\"priority\":1.5}", "priority: a whole number")]
    [InlineData("{\"priority\":2147483648}", "priority: a whole number")]
    [InlineData("{\"metrics\":[]}", "metrics: an object is needed")]
    [InlineData("{\"metrics\":{\"queries\":{\"m\":\"SELECT * FROM devices.jobs\"}}}", "metrics.queries.m: found devices.jobs")]
    [InlineData("{\"metrics\":{\"queries\":{\"m\":\"SELECT *\"}}}", "metrics.queries.m, line 1, column 9: found the end; expected")]
    [InlineData("{\"content\":{}}", "content: one of")]
    [InlineData("{\"content\":7}", "content: an object is needed")]
    [InlineData("{\"content\":{\"deviceContent\":[]}}", "content.deviceContent: an object is needed")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired\":7}}}", "content.deviceContent, properties.desired: an object is needed")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.\":7}}}", "content.deviceContent: 'properties.desired.' has an empty name")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.a..b\":7}}}", "content.deviceContent: 'properties.desired.a..b' has an empty name")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.a b\":7}}}", "content.deviceContent: properties.desired")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.a\":9007199254740993}}}", "content.deviceContent: properties.desired.a")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.1.2.3.4.5.6.7.8.9.10.11\":{}}}}", "content.deviceContent: properties.desired")]
    [InlineData("{\"content\":{\"deviceContent\":{\"properties.desired.a\":1,\"properties.desired\":{}}}}", "content.deviceContent: properties.desired.a and properties.desired are in one another")]
    [InlineData("{\"content\":{\"modulesContent\":{\"m\":7}}}", "content.modulesContent.m: an object is needed")]
    public void Body_ThatIsNone_IsRefusedAndSaysWhere(string body, string says) =>
        Assert.StartsWith(says, Assert.Throws<HubException>(() => ConfigurationDraft.Read(Encoding.UTF8.GetBytes(body))).Message, StringComparison.Ordinal);

    [Fact]
    public void Body_OfInvalidUtf8OrTooDeep_IsRefused()
    {
        Assert.StartsWith("the body is not valid UTF-8", Assert.Throws<HubException>(() => ConfigurationDraft.Read(new byte[] { (byte)'{', 0xFF, (byte)'}' })).Message, StringComparison.Ordinal);
        Assert.StartsWith("the body is not the JSON", Assert.Throws<HubException>(() => ConfigurationDraft.Read(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("{\"a\":", 100))))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Content_BeyondItsBounds_IsRefused()
    {
        var paths = string.Join(',', Enumerable.Range(0, 101).Select(i => $"\"properties.desired.p{i}\":1"));
        Assert.Contains("more than 100 paths", Wrong("{\"deviceContent\":{" + paths + "}}"), StringComparison.Ordinal);
        var modules = string.Join(',', Enumerable.Range(0, 6).Select(i => $"\"m{i}\":{{{string.Join(',', Enumerable.Range(0, 7).Select(k => $"\"properties.desired.k{k}\":\"{new string('x', 4000)}\""))}}}"));
        Assert.Contains("at most 131072 are allowed", Wrong("{\"modulesContent\":{" + modules + "}}"), StringComparison.Ordinal);

        static string Wrong(string content) => Assert.Throws<HubException>(() => ConfigurationDraft.Read(Encoding.UTF8.GetBytes("{\"content\":" + content + "}"))).Message;
    }

    [Theory]
    [InlineData("tags.a = ", "targetCondition, line 1, column 10: found the end; expected")]
    [InlineData("tags.a = 1\nAND x = 1", "targetCondition, line 2, column 5: found 'x'; expected")]
    [InlineData("properties.desired.a = 1", "targetCondition, line 1, column 1: found properties.desired.a; expected a path that begins with tags or properties.reported")]
    [InlineData("tags.a = 1 OR connectionState = 'Connected'", "targetCondition, line 1, column 15: found connectionState; expected a path")]
    [InlineData("configurations.[[x]].status = 'Applied'", "targetCondition, line 1, column 1: found configurations.x.status; expected a path")]
    [InlineData("version > 3", "targetCondition, line 1, column 1: found version")]
    [InlineData("FROM devices.jobs", "targetCondition, line 1, column 6: found 'devices.jobs'; expected devices or devices.modules")]
    [InlineData("FROM devices.modules WHERE tags.a = 1", "targetCondition, line 1, column 1: found FROM devices.modules; expected a condition over devices")]
    [InlineData("* AND tags.a = 1", "targetCondition, line 1, column 3: found 'AND'; expected the end")]
    [InlineData("SELECT * FROM devices", "targetCondition, line 1, column 1: found 'SELECT'; expected")]
    public async Task Condition_ThatIsNone_IsRefusedAndSaysWhere(string condition, string says) =>
        Assert.StartsWith(says, await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.PutAsync("c", Content, condition)), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("  ")]
    [InlineData("deviceId IN ['d1', 'd2']")]
    [InlineData("devices.tags.a = 1")]
    [InlineData("FROM devices WHERE STARTSWITH(deviceId, 'd') AND IS_DEFINED(tags.a)")]
    [InlineData("FROM devices")]
    [InlineData("capabilities.iotEdge = true AND status = 'enabled' AND modelId != ''")]
    public async Task Condition_ThatIsOne_IsTaken(string condition) => Assert.Equal(condition, (await _hub.PutAsync("c", Content, condition)).Record.TargetCondition);

    [Theory]
    [InlineData(Content, "", "SELECT deviceId FROM devices WHERE deviceId = ''")]
    [InlineData(Content, "*", "SELECT deviceId FROM devices")]
    [InlineData(Content, "FROM devices WHERE tags.a = 1", "SELECT deviceId FROM devices WHERE tags.a = 1")]
    [InlineData(Content, "devices.tags.a = 1", "SELECT deviceId FROM devices WHERE devices.tags.a = 1")]
    [InlineData("""{"moduleContent":{}}""", "from devices.modules where moduleId = 'm'", "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId = 'm'")]
    [InlineData("""{"moduleContent":{}}""", "FROM devices . modules", "SELECT deviceId, moduleId FROM devices.modules")]
    [InlineData("""{"modulesContent":{}}""", "tags.a = 1 OR tags.b = 1", "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true AND (tags.a = 1 OR tags.b = 1)")]
    [InlineData("""{"modulesContent":{}}""", "*", "SELECT deviceId FROM devices WHERE capabilities.iotEdge = true")]
    public async Task SystemMetrics_AreQueriesThatAnybodyMayAsk(string content, string condition, string query)
    {
        var shown = JsonNode.Parse(ConfigurationState.Encode(await _hub.PutAsync("c", content, condition)))!;
        Assert.Equal(query, (string?)shown["systemMetrics"]!["queries"]!["targetedCount"]);
        foreach (var (_, one) in shown["systemMetrics"]!["queries"]!.AsObject())
            await _hub.Queries.RunAsync(Scope.Everything, (string)one!, null, null, CancellationToken.None);
    }

    [Fact]
    public async Task MoreThanThereMayBe_AreRefused()
    {
        for (var i = 0; i < 3; i++)
            await _hub.PutAsync($"c{i}", Content, "*");
        Assert.Contains("at most 3 configurations", await ConfigurationsFixture.RefusedAsync(HubErrors.TooManyConfigurations, () => _hub.PutAsync("c3", Content, "*")), StringComparison.Ordinal);
        await _hub.DeleteAsync("c0");
        await _hub.PutAsync("c3", Content, "*");
    }

    [Fact]
    public async Task Put_ChangesWhatIsGiven_AndNeverTheContent()
    {
        var made = await _hub.PutAsync("c", Content, "*", 5, ",\"labels\":{\"a\":\"b\"},\"schemaVersion\":\"2.0\"");
        var changed = await _hub.ChangeAsync("c", """{"id":"c","priority":6,"schemaVersion":"3.0","content":{"deviceContent":{"properties.desired.a": 1},"moduleContent":null},"systemMetrics":{"results":{}},"etag":"x"}""");
        Assert.Equal((6, "*", "2.0", 2L, """{"a":"b"}"""), (changed.Record.Priority, changed.Record.TargetCondition, changed.Record.SchemaVersion, changed.Record.ETag, Encoding.UTF8.GetString(changed.Record.Labels)));

        await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.ChangeAsync("c", """{"content":{"deviceContent":{"properties.desired.a":2}}}"""));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => _hub.ChangeAsync("c", """{"id":"d"}"""));
        await ConfigurationsFixture.RefusedAsync(HubErrors.PreconditionFailed, () => _hub.ChangeAsync("c", "{}", match: EntityTagCondition.Parse(EntityTag.Format(made.Record.ETag))));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ConfigurationNotFound, () => _hub.ChangeAsync("d", "{}"));
        await ConfigurationsFixture.RefusedAsync(HubErrors.Conflict, () => _hub.PutAsync("c", Content, "*"));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ConfigurationNotFound, () => _hub.DeleteAsync("d"));
    }

    [Fact]
    public async Task Acts_AreInTheTrail_AndRefusedWithoutIt()
    {
        await _hub.PutAsync("c", Content, "*");
        await _hub.ChangeAsync("c", "{}");
        await _hub.DeleteAsync("c");
        await ConfigurationsFixture.RefusedAsync(HubErrors.ConfigurationNotFound, () => _hub.DeleteAsync("c"));
        Assert.Equal(
            ["configuration create c done", "configuration update c done", "configuration delete c done", "configuration delete c refused"],
            _hub.Audit.Entries.Select(entry => $"{entry.Action} {entry.Target} {entry.Result}"));

        _hub.Audit.IsBroken = true;
        await Assert.ThrowsAnyAsync<Exception>(() => _hub.PutAsync("c", Content, "*"));
        Assert.Empty(_hub.Metadata.Read(_hub.Metadata.Configurations.List));
    }

    [Fact]
    public async Task Who_IsLimitedToSomeDevices_SeesTheConfigurationsOfThese_AndCountsThem()
    {
        Assert.True(Scope.TryCreate(["plant-"], [], [], out var plant, out _));
        var alice = ConfigurationsFixture.Owner with { Principal = "operator:alice", Scope = plant };
        _hub.Held["operator:alice"] = (AzureRights.All, plant);
        foreach (var id in new[] { "plant-1", "mill-1" })
            await _hub.CreateAsync(id);
        const string metric = ",\"metrics\":{\"queries\":{\"all\":\"SELECT deviceId FROM devices\"}}";
        await _hub.PutAsync("theirs", """{"deviceContent":{"properties.desired.b":1}}""", "*");
        await _hub.PutAsync("hers", Content, "*", rest: metric, actor: alice);
        await _hub.SettleAsync();

        Assert.Equal(["hers"], (await _hub.Configurations.ListAsync(alice, 100, CancellationToken.None)).Select(one => one.Record.Id));
        Assert.Equal(["theirs", "hers"], (await _hub.Configurations.ListAsync(ConfigurationsFixture.Owner, 100, CancellationToken.None)).Select(one => one.Record.Id));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ConfigurationNotFound, () => _hub.DeleteAsync("theirs", alice));
        await ConfigurationsFixture.RefusedAsync(HubErrors.Conflict, () => _hub.PutAsync("theirs", Content, "*", actor: alice));
        var (mine, owners) = (await _hub.Configurations.GetAsync(alice, "hers", CancellationToken.None), await _hub.Configurations.GetAsync(ConfigurationsFixture.Owner, "hers", CancellationToken.None));
        Assert.Equal((1, 1, 1, 2), (mine.SystemResults["appliedCount"], mine.Results["all"], owners.SystemResults["appliedCount"], owners.Results["all"]));
    }

    [Fact]
    public async Task Metrics_WhoseTimeIsOver_HaveNoResult()
    {
        var made = await _hub.PutAsync("c", Content, "*", rest: ",\"metrics\":{\"queries\":{\"all\":\"SELECT deviceId FROM devices\"}}");
        var limits = new QueryLimits();
        var metrics = new ConfigurationMetrics(_hub.Metadata, _hub.Queries, limits, _hub.Time);
        var from = _hub.Time.GetTimestamp();
        Assert.Equal(["all"], (await metrics.OwnAsync(made.Record, Scope.Everything, from, CancellationToken.None)).Keys);
        _hub.Time.Advance(limits.MaxTime + TimeSpan.FromSeconds(1));
        Assert.Empty(await metrics.OwnAsync(made.Record, Scope.Everything, from, CancellationToken.None));
    }

    [Fact]
    public async Task Plans_BeyondTheirBound_AreMadeAnew()
    {
        var one = (await _hub.PutAsync("c", Content, "*")).Record;
        var inForce = ConfigurationsInForce.Of(
            [.. Enumerable.Range(0, 11).Select(i => one with { Id = $"c{i}", Number = i, Content = Encoding.UTF8.GetBytes("{\"deviceContent\":{\"properties.desired.p" + i + "\":1}}") })],
            _ => (AzureRights.All, Scope.Everything), new TwinFields(_hub.Connected, null!));
        for (var match = 0; match < 1 << 11; match++)
        {
            Assert.Equal(int.PopCount(match), inForce.PlanOfDevice((UInt128)match).Device.Settings.Count);
            Assert.True(inForce.RememberedPlans <= ConfigurationsInForce.MaxPlans);
        }
    }

    [Fact]
    public async Task Moved_ToAnotherHub_SaysTheSame()
    {
        await _hub.PutAsync("a", Content, "tags.a = 1", 7, ",\"labels\":{\"x\":\"y\"},\"metrics\":{\"queries\":{\"m\":\"SELECT deviceId FROM devices\"}}");
        await _hub.PutAsync("b", """{"modulesContent":{"$edgeAgent":{"properties.desired":{}}}}""", "");
        var lines = await LinesAsync(_hub);
        await using var other = await ConfigurationsFixture.OpenAsync();
        foreach (var line in lines.Concat(lines))
            await ImportAsync(other, line);

        Assert.Equal(lines.Select(Told), (await LinesAsync(other)).Select(Told));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, async () => await ImportAsync(other, lines[0].Replace("desired.a\":1", "desired.a\":2", StringComparison.Ordinal)));
        await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentNull, async () => await ImportAsync(other, "{}"));

        static async Task<string[]> LinesAsync(ConfigurationsFixture hub) =>
            [.. (await new MovedConfigurations(hub.Configurations).ExportAsync(ConfigurationsFixture.Owner, CancellationToken.None)).Select(Encoding.UTF8.GetString)];

        static async Task ImportAsync(ConfigurationsFixture hub, string line) =>
            await new MovedConfigurations(hub.Configurations).ImportAsync(ConfigurationsFixture.Owner, JsonNode.Parse(line)!.AsObject(), CancellationToken.None);

        static string Told(string line)
        {
            var one = JsonNode.Parse(line)!.AsObject();
            foreach (var own in new[] { "etag", "createdTimeUtc", "lastUpdatedTimeUtc" })
                one.Remove(own);
            return one.ToJsonString();
        }
    }

    [Fact]
    public void Test_SaysWhatIsWrong()
    {
        Assert.Equal("""{"targetConditionError":null,"customMetricQueryErrors":{}}""", Test("""{"targetCondition":"FROM devices.modules WHERE tags.a = 1","customMetricQueries":{"a":"SELECT * FROM devices"}}"""));
        Assert.Contains("\"b\":\"b, line 1, column 1:", Test("""{"targetCondition":"*","customMetricQueries":{"b":"x","c":7}}"""), StringComparison.Ordinal);
        Assert.Throws<HubException>(() => Test("""{"targetCondition":7}"""));
        Assert.Throws<HubException>(() => Test("x"));

        string Test(string body) => Encoding.UTF8.GetString(_hub.Configurations.Test(Encoding.UTF8.GetBytes(body)));
    }
}
