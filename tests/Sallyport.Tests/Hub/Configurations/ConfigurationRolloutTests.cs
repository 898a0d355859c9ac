using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Configurations;

namespace Sallyport.Tests.Hub.Configurations;

public sealed class ConfigurationRolloutTests : IAsyncLifetime
{
    private ConfigurationsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await ConfigurationsFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Device_ThatAConfigurationReaches_HasWhatItSays_AndIsTold()
    {
        await _hub.CreateAsync("d1", """{"site":"a"}""");
        await _hub.CreateAsync("d2", """{"site":"b"}""");
        await _hub.PatchAsync("d1", """{"properties":{"desired":{"own":1,"fan":{"kept":true}}}}""");
        var link = _hub.Connect("d1");
        await _hub.PutDeviceAsync("fast", """{"properties.desired.fan.speed":7,"properties.desired.mode":{"a":[1,2]}}""", "tags.site = 'a'");
        await _hub.SettleAsync();

        Assert.Equal("""{"own":1,"fan":{"kept":true,"speed":7},"mode":{"a":[1,2]}}""", _hub.Desired("d1"));
        Assert.Equal(["""{"fan":{"speed":7},"mode":{"a":[1,2]},"$version":3}"""], link.Desired);
        Assert.Equal(("fast=Applied", "", "{}"), (_hub.Shown("d1"), _hub.Shown("d2"), _hub.Desired("d2")));
        Assert.Equal((4, 5, 3), (_hub.Stored("d1")!.ETag, _hub.Stored("d1")!.Version, _hub.Stored("d1")!.Desired.Version));
    }

    [Fact]
    public async Task Device_WhoseTagChanges_ComesIntoReach_AndLeavesIt_WithWhatWasSet()
    {
        await _hub.CreateAsync("d1");
        await _hub.PatchAsync("d1", """{"properties":{"desired":{"own":1,"fan":{"kept":true}}}}""");
        await _hub.PutDeviceAsync("fast", """{"properties.desired.fan.speed":7,"properties.desired.deep.er.x":1}""", "tags.site = 'a'");
        await _hub.SettleAsync();
        Assert.Equal("""{"own":1,"fan":{"kept":true}}""", _hub.Desired("d1"));

        await _hub.TagAsync("d1", """{"site":"a"}""");
        await _hub.SettleAsync();
        Assert.Equal("""{"own":1,"fan":{"kept":true,"speed":7},"deep":{"er":{"x":1}}}""", _hub.Desired("d1"));

        var link = _hub.Connect("d1");
        await _hub.TagAsync("d1", """{"site":"b"}""");
        await _hub.SettleAsync();
        Assert.Equal("""{"own":1,"fan":{"kept":true}}""", _hub.Desired("d1"));
        Assert.Equal(["""{"fan":{"speed":null},"deep":null,"$version":4}"""], link.Desired);
        Assert.Null(_hub.Stored("d1")!.Configurations);
        Assert.Null(_hub.Stored("d1")!.Configured);
    }

    [Fact]
    public async Task Device_ThatReports_OrIsMade_ComesIntoReach()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("cool", """{"properties.desired.fan":1}""", "properties.reported.t > 30");
        await _hub.PutDeviceAsync("all", """{"properties.desired.all":1}""", "*");
        await _hub.SettleAsync();
        await _hub.ReportAsync("d1", """{"t":31}""");
        await _hub.CreateAsync("d2");
        await _hub.SettleAsync();

        Assert.Equal(("""{"all":1,"fan":1}""", """{"all":1}"""), (_hub.Desired("d1"), _hub.Desired("d2")));
        Assert.Equal(("all=Applied cool=Applied", "all=Applied"), (_hub.Shown("d1"), _hub.Shown("d2")));
    }

    [Fact]
    public async Task Priority_DecidesPathByPath_AndOfTheSameTheNewestWins()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("low", """{"properties.desired.a":"low","properties.desired.b":"low"}""", "*", 1);
        await _hub.PutDeviceAsync("high", """{"properties.desired.a":"high"}""", "*", 10);
        await _hub.PutDeviceAsync("old", """{"properties.desired.c":"old"}""", "*", 5);
        await _hub.PutDeviceAsync("new", """{"properties.desired.c":"new"}""", "*", 5);
        await _hub.SettleAsync();
        Assert.Equal("""{"b":"low","c":"new","a":"high"}""", _hub.Desired("d1"));
        Assert.Equal("high=Applied low=Applied new=Applied old=Targeted", _hub.Shown("d1"));

        await _hub.DeleteAsync("high");
        await _hub.ChangeAsync("old", """{"priority":6}""");
        await _hub.SettleAsync();
        Assert.Equal("""{"b":"low","c":"old","a":"low"}""", _hub.Desired("d1"));

        await _hub.DeleteAsync("low");
        await _hub.DeleteAsync("old");
        await _hub.DeleteAsync("new");
        await _hub.SettleAsync();
        Assert.Equal(("{}", ""), (_hub.Desired("d1"), _hub.Shown("d1")));
    }

    [Fact]
    public async Task Paths_WithinOneAnother_AreBothInForce_TheStrongerOverTheOther()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("outer", """{"properties.desired.a":{"x":1,"y":1}}""", "*", 1);
        await _hub.PutDeviceAsync("inner", """{"properties.desired.a.x":2,"properties.desired.a.z.w":2}""", "*", 2);
        await _hub.SettleAsync();
        Assert.Equal("""{"a":{"x":2,"y":1,"z":{"w":2}}}""", _hub.Desired("d1"));

        await _hub.ChangeAsync("outer", """{"priority":3}""");
        await _hub.SettleAsync();
        Assert.Equal("""{"a":{"x":1,"y":1}}""", _hub.Desired("d1"));
        Assert.Equal("inner=Targeted outer=Applied", _hub.Shown("d1"));

        await _hub.DeleteAsync("outer");
        await _hub.SettleAsync();
        Assert.Equal("""{"a":{"x":2,"z":{"w":2}}}""", _hub.Desired("d1"));
    }

    [Fact]
    public async Task Change_OfWhatAConfigurationSays_IsSetAgain()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("fast", """{"properties.desired.speed":7}""", "*");
        await _hub.SettleAsync();
        var link = _hub.Connect("d1");
        await _hub.PatchAsync("d1", """{"properties":{"desired":{"speed":8,"own":1}}}""");
        await _hub.SettleAsync();

        Assert.Equal("""{"speed":7,"own":1}""", _hub.Desired("d1"));
        Assert.Equal(["""{"speed":8,"own":1,"$version":3}""", """{"speed":7,"$version":4}"""], link.Desired);
    }

    [Fact]
    public async Task Settled_NothingIsWrittenAgain_AlsoAfterAStart()
    {
        await _hub.CreateAsync("d1", """{"site":"a"}""");
        await _hub.PutDeviceAsync("fast", """{"properties.desired.x":{"b":1,"a":[{"c":null}]}}""", "tags.site = 'a'");
        await _hub.SettleAsync();
        var (version, events) = (_hub.Stored("d1")!.Version, _hub.Events());

        await _hub.TagAsync("d1", """{"other":1}""");
        await _hub.SettleAsync();
        await using var after = await _hub.AfterCrashAsync();
        await after.SettleAsync();
        Assert.Equal((version + 1, events + 1), (after.Stored("d1")!.Version, after.Events()));
    }

    [Fact]
    public async Task Modules_AreReachedByConditionsOverModules()
    {
        await _hub.CreateAsync("d1");
        await _hub.CreateAsync("d1", """{"kind":"x"}""", "m1");
        await _hub.CreateAsync("d1", """{"kind":"y"}""", "m2");
        await _hub.PutAsync("mods", """{"moduleContent":{"properties.desired.a":1}}""", "FROM devices.modules WHERE tags.kind = 'x'");
        await _hub.SettleAsync();
        Assert.Equal(("""{"a":1}""", "{}", "{}", "mods=Applied"), (_hub.Desired("d1", "m1"), _hub.Desired("d1", "m2"), _hub.Desired("d1"), _hub.Shown("d1", "m1")));

        await _hub.PatchAsync("d1", """{"tags":{"kind":"x"}}""", "m2");
        await _hub.PatchAsync("d1", """{"tags":{"kind":null}}""", "m1");
        await _hub.SettleAsync();
        Assert.Equal(("{}", """{"a":1}"""), (_hub.Desired("d1", "m1"), _hub.Desired("d1", "m2")));

        await _hub.DeleteAsync("mods");
        await _hub.SettleAsync();
        Assert.Equal(("{}", ""), (_hub.Desired("d1", "m2"), _hub.Shown("d1", "m2")));
    }

    [Fact]
    public async Task Writer_LimitedToSomeDevices_ReachesThese()
    {
        Assert.True(Scope.TryCreate(["plant-"], ["site=a"], [], out var scope, out _));
        var limited = ConfigurationsFixture.Owner with { Principal = "operator:alice", Scope = scope.Asking(_hub.Tags) };
        _hub.Held["operator:alice"] = (AzureRights.All, limited.Scope);
        await _hub.CreateAsync("plant-1", """{"site":"a"}""");
        await _hub.CreateAsync("plant-2", """{"site":"b"}""");
        await _hub.CreateAsync("mill-1", """{"site":"a"}""");
        await _hub.PutDeviceAsync("hers", """{"properties.desired.a":1}""", "*", actor: limited);
        await _hub.SettleAsync();
        Assert.Equal(("""{"a":1}""", "{}", "{}"), (_hub.Desired("plant-1"), _hub.Desired("plant-2"), _hub.Desired("mill-1")));

        // By the tags that the device has now.
        await _hub.TagAsync("plant-2", """{"site":"a"}""");
        await _hub.TagAsync("plant-1", """{"site":"c"}""");
        await _hub.SettleAsync();
        Assert.Equal(("{}", """{"a":1}"""), (_hub.Desired("plant-1"), _hub.Desired("plant-2")));
    }

    [Fact]
    public async Task Writer_WhoLosesTheRight_ReachesNoOther_AndLeavesNone_UntilSomebodyTakesOver()
    {
        var alice = ConfigurationsFixture.Owner with { Principal = "operator:alice" };
        _hub.Held["operator:alice"] = (AzureRights.All, Scope.Everything);
        await _hub.CreateAsync("d1", """{"site":"a"}""");
        await _hub.CreateAsync("d2");
        await _hub.PutDeviceAsync("hers", """{"properties.desired.a":1}""", "tags.site = 'a'", actor: alice);
        await _hub.SettleAsync();

        _hub.Held.Remove("operator:alice");
        await _hub.TagAsync("d1", """{"site":"b"}""");
        await _hub.TagAsync("d2", """{"site":"a"}""");
        await _hub.SettleAsync();
        Assert.Equal(("""{"a":1}""", "{}"), (_hub.Desired("d1"), _hub.Desired("d2")));
        Assert.Contains("operator:alice", (await _hub.Configurations.GetAsync(ConfigurationsFixture.Owner, "hers", CancellationToken.None)).Suspension, StringComparison.Ordinal);

        await _hub.ChangeAsync("hers", "{}");
        await _hub.SettleAsync();
        Assert.Equal(("{}", """{"a":1}"""), (_hub.Desired("d1"), _hub.Desired("d2")));
    }

    [Fact]
    public async Task Rights_ThatComeBack_AreSeenInTheNextTurn()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("all", """{"properties.desired.a":1}""", "*");
        _hub.Held.Clear();
        await _hub.SettleAsync();
        Assert.Equal("{}", _hub.Desired("d1"));

        _hub.Held[ConfigurationsFixture.Owner.Principal] = (AzureRights.ServiceConnect, Scope.Everything);
        await _hub.SettleAsync();
        Assert.Equal("""{"a":1}""", _hub.Desired("d1"));
    }

    [Fact]
    public async Task Twin_ThatHasNoRoom_KeepsWhatItHas_SaysWhy_AndIsTriedAgain()
    {
        await _hub.CreateAsync("d1");
        string[] large = [.. Enumerable.Range(0, 8).Select(i => $"\"k{i}\":\"{new string('x', 4000)}\"")];
        await _hub.PatchAsync("d1", "{\"properties\":{\"desired\":{" + string.Join(',', large) + "}}}");
        await _hub.PutDeviceAsync("more", $$"""{"properties.desired.more":"{{new string('y', 2000)}}"}""", "*");
        await _hub.SettleAsync();
        var shown = Encoding.UTF8.GetString(_hub.Stored("d1")!.Configurations!);
        Assert.StartsWith("""{"more":{"status":"Targeted","error":"properties.desired: would have """, shown, StringComparison.Ordinal);
        Assert.DoesNotContain("\"more\":\"y", _hub.Desired("d1"), StringComparison.Ordinal);

        await _hub.PatchAsync("d1", """{"properties":{"desired":{"k0":null}}}""");
        await _hub.SettleAsync();
        Assert.Equal("more=Applied", _hub.Shown("d1"));
    }

    [Fact]
    public async Task Notes_BeyondTheirBound_AllTwinsAreLookedAt()
    {
        await using var hub = await ConfigurationsFixture.OpenAsync(new ConfigurationOptions { MaxNoted = 3, TwinsPerTurn = 2, WritesAtOnce = 2 });
        for (var i = 0; i < 7; i++)
            await hub.CreateAsync($"d{i}");
        await hub.PutDeviceAsync("fast", """{"properties.desired.a":1}""", "tags.site = 'a'");
        await hub.SettleAsync();
        for (var i = 0; i < 7; i++)
            await hub.TagAsync($"d{i}", """{"site":"a"}""");
        await hub.SettleAsync();

        Assert.All(Enumerable.Range(0, 7), i => Assert.Equal("""{"a":1}""", hub.Desired($"d{i}")));
    }

    [Fact]
    public async Task Queries_SeeWhichConfigurationsTwinsHave()
    {
        await _hub.CreateAsync("d1");
        await _hub.CreateAsync("d2", """{"site":"a"}""");
        const string id = "a-:+%_#*?!(),=@;'z";
        await _hub.PutDeviceAsync(id, """{"properties.desired.a":1}""", "tags.site = 'a'");
        await _hub.SettleAsync();

        Assert.Equal("""[{"deviceId":"d2"}]""", await QueryAsync($"SELECT deviceId FROM devices WHERE configurations.[[{id}]].status = 'Applied'"));
        Assert.Equal("""[{"status":"Applied"}]""", await QueryAsync($"SELECT configurations.[[{id}]].status FROM devices WHERE IS_DEFINED(configurations)"));
        await _hub.TagAsync("d2", """{"site":"b"}""");
        await _hub.SettleAsync();
        Assert.Equal("[]", await QueryAsync($"SELECT deviceId FROM devices WHERE configurations.[[{id}]].status = 'Applied'"));
    }

    [Fact]
    public async Task Change_OfATwin_IsInTheLogWithWhatChanged()
    {
        await _hub.CreateAsync("d1");
        await _hub.PutDeviceAsync("fast", """{"properties.desired.a":1}""", "*");
        await _hub.SettleAsync();

        var last = Encoding.UTF8.GetString(_hub.Metadata.Read(tx => _hub.Metadata.Outbox.Peek(tx, 100))[^1].Message);
        Assert.Contains("twinChangeNotification", last, StringComparison.Ordinal);
        Assert.Contains("\"desired\":{\"a\":1,\"$metadata\"", last, StringComparison.Ordinal);
        Assert.Contains("configurations/d1", last, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Twin_ThatCannotBeRead_KeepsNoOtherFromWhatItIsToBe()
    {
        foreach (var id in new[] { "d1", "d2", "d3" })
            await _hub.CreateAsync(id);
        await _hub.Metadata.WriteAsync(tx =>
        {
            var twin = _hub.Metadata.Twins.Find(tx, "d2", null)!;
            _hub.Metadata.Twins.Put(tx, twin with { Tags = Encoding.UTF8.GetBytes("{\"site\":"), Desired = twin.Desired with { Stamps = [9] } });
            return 0;
        });
        await _hub.PutDeviceAsync("fast", """{"properties.desired.a":1}""", "NOT IS_DEFINED(tags.site)");
        await _hub.SettleAsync();

        Assert.Equal(("""{"a":1}""", "{}", """{"a":1}"""), (_hub.Desired("d1"), _hub.Desired("d2"), _hub.Desired("d3")));
    }

    private async Task<string> QueryAsync(string query) =>
        Encoding.UTF8.GetString((await _hub.Queries.RunAsync(Scope.Everything, query, null, null, CancellationToken.None)).Json.Span);
}
