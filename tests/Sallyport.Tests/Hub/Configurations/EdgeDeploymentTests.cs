using System.Text;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Hub.Configurations;

public sealed class EdgeDeploymentTests : IAsyncLifetime
{
    private ConfigurationsFixture _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await ConfigurationsFixture.OpenAsync();
        await _hub.CreateAsync("e1", """{"site":"a"}""", isEdge: true);
        await _hub.CreateAsync("d1", """{"site":"a"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    private static string Base(string runtime, string module = "temp", int interval = 5) =>
        "{\"modulesContent\":{\"$edgeAgent\":{\"properties.desired\":{\"runtime\":\"" + runtime + "\",\"modules\":{\"" + module + "\":{\"image\":\"i\"}}}},"
        + "\"$edgeHub\":{\"properties.desired\":{\"routes\":{}}},\"" + module + "\":{\"properties.desired\":{\"interval\":" + interval + "}}}}";

    [Fact]
    public async Task Deployment_MakesItsModules_AndSetsAllTheirDesiredProperties()
    {
        await _hub.PatchAsync("e1", """{"properties":{"desired":{"old":1}}}""", "$edgeAgent");
        await _hub.PutAsync("dep", Base("r1"), "tags.site = 'a'", 1);
        await _hub.SettleAsync();

        Assert.Equal("""{"runtime":"r1","modules":{"temp":{"image":"i"}}}""", _hub.Desired("e1", "$edgeAgent"));
        Assert.Equal(("""{"routes":{}}""", """{"interval":5}"""), (_hub.Desired("e1", "$edgeHub"), _hub.Desired("e1", "temp")));
        Assert.Equal("IotEdge", _hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, "e1", "temp"))!.ManagedBy);
        Assert.Equal(("dep=Applied", "dep=Applied", "dep=Applied", ""), (_hub.Shown("e1"), _hub.Shown("e1", "$edgeAgent"), _hub.Shown("e1", "temp"), _hub.Shown("d1")));
        Assert.Null(_hub.Stored("d1", "temp"));
    }

    [Fact]
    public async Task Deployment_OfAHigherPriority_TakesItsPlace_AndLeavesItAgain()
    {
        await _hub.PutAsync("low", Base("low", "one"), "*", 1);
        await _hub.PutAsync("high", Base("high", "two"), "tags.site = 'a'", 2);
        await _hub.SettleAsync();
        Assert.Equal(("high=Applied low=Targeted", "high=Applied low=Targeted"), (_hub.Shown("e1"), _hub.Shown("e1", "$edgeAgent")));
        Assert.Contains("\"runtime\":\"high\"", _hub.Desired("e1", "$edgeAgent"), StringComparison.Ordinal);
        Assert.Null(_hub.Stored("e1", "one"));

        await _hub.TagAsync("e1", """{"site":"b"}""");
        await _hub.SettleAsync();
        Assert.Contains("\"runtime\":\"low\"", _hub.Desired("e1", "$edgeAgent"), StringComparison.Ordinal);
        Assert.Equal(("low=Applied", """{"interval":5}""", "{}"), (_hub.Shown("e1"), _hub.Desired("e1", "one"), _hub.Desired("e1", "two")));
    }

    [Fact]
    public async Task Device_ThatNoDeploymentReachesAnyMore_KeepsItsModules()
    {
        await _hub.PutAsync("dep", Base("r1"), "tags.site = 'a'", 1);
        await _hub.SettleAsync();
        await _hub.DeleteAsync("dep");
        await _hub.SettleAsync();

        Assert.Contains("\"runtime\":\"r1\"", _hub.Desired("e1", "$edgeAgent"), StringComparison.Ordinal);
        Assert.Equal(("""{"interval":5}""", "", "", ""), (_hub.Desired("e1", "temp"), _hub.Shown("e1"), _hub.Shown("e1", "$edgeAgent"), _hub.Shown("e1", "temp")));

        // Another one takes away what it left.
        await _hub.PutAsync("next", Base("r2", "other"), "*", 1);
        await _hub.SettleAsync();
        Assert.Equal(("{}", """{"interval":5}"""), (_hub.Desired("e1", "temp"), _hub.Desired("e1", "other")));
    }

    [Fact]
    public async Task Layers_AreSetOverTheBase_WhenTheirPriorityIsHigher()
    {
        const string layer = """{"modulesContent":{"$edgeAgent":{"properties.desired.modules.extra":{"image":"x"}},"extra":{"properties.desired":{"on":true}},"temp":{"properties.desired.layered":{"a":1}}}}""";
        await _hub.PutAsync("layer", layer, "*", 5);
        await _hub.SettleAsync();
        Assert.Equal(("layer=Targeted", "{}"), (_hub.Shown("e1"), _hub.Desired("e1", "$edgeAgent")));

        await _hub.PutAsync("dep", Base("r1"), "*", 1);
        await _hub.SettleAsync();
        Assert.Equal("""{"runtime":"r1","modules":{"temp":{"image":"i"},"extra":{"image":"x"}}}""", _hub.Desired("e1", "$edgeAgent"));
        Assert.Equal(("""{"on":true}""", """{"interval":5,"layered":{"a":1}}""", "dep=Applied layer=Applied"), (_hub.Desired("e1", "extra"), _hub.Desired("e1", "temp"), _hub.Shown("e1")));

        await _hub.ChangeAsync("dep", """{"priority":9}""");
        await _hub.SettleAsync();
        Assert.Equal("""{"runtime":"r1","modules":{"temp":{"image":"i"}}}""", _hub.Desired("e1", "$edgeAgent"));
        Assert.Equal(("{}", """{"interval":5}""", "dep=Applied layer=Targeted"), (_hub.Desired("e1", "extra"), _hub.Desired("e1", "temp"), _hub.Shown("e1")));
    }

    [Fact]
    public async Task Change_OfAModule_IsSetBack_ButOneThatIsDeletedStaysDeleted()
    {
        await _hub.PutAsync("dep", Base("r1"), "*", 1);
        await _hub.SettleAsync();
        await _hub.PatchAsync("e1", """{"properties":{"desired":{"interval":9,"mine":1}}}""", "temp");
        await _hub.SettleAsync();
        Assert.Equal("""{"interval":5}""", _hub.Desired("e1", "temp"));

        await _hub.Registry.ChangeAsync(ConfigurationsFixture.Owner, IdentityChange.Delete(Identity.Of("e1", "temp"), EntityTagCondition.Any), CancellationToken.None);
        await _hub.SettleAsync();
        Assert.Null(_hub.Stored("e1", "temp"));

        await _hub.CreateAsync("e1", moduleId: "temp");
        await _hub.SettleAsync();
        Assert.Equal("""{"interval":5}""", _hub.Desired("e1", "temp"));
    }

    [Fact]
    public async Task ModuleConfigurations_AreSetOverDeployments()
    {
        await _hub.PutAsync("dep", Base("r1"), "*", 100);
        await _hub.PutAsync("mods", """{"moduleContent":{"properties.desired.interval":7,"properties.desired.more":1}}""", "FROM devices.modules WHERE moduleId = 'temp'");
        await _hub.SettleAsync();
        Assert.Equal(("""{"interval":7,"more":1}""", "dep=Applied mods=Applied"), (_hub.Desired("e1", "temp"), _hub.Shown("e1", "temp")));

        await _hub.DeleteAsync("mods");
        await _hub.SettleAsync();
        Assert.Equal("""{"interval":5}""", _hub.Desired("e1", "temp"));
    }

    [Fact]
    public async Task Device_ThatHasNoRoomForAModule_SaysWhy_AndIsTriedAgain()
    {
        for (var i = 0; i < DeviceRegistry.MaxModulesPerDevice - 2; i++)
            await _hub.CreateAsync("e1", moduleId: $"m{i}");
        await _hub.PutAsync("dep", Base("r1"), "*", 1);
        await _hub.SettleAsync();
        Assert.Contains("\"error\":\"e1/temp: a device has at most 50 modules\"", Encoding.UTF8.GetString(_hub.Stored("e1")!.Configurations!), StringComparison.Ordinal);

        await _hub.Registry.ChangeAsync(ConfigurationsFixture.Owner, IdentityChange.Delete(Identity.Of("e1", "m0"), EntityTagCondition.Any), CancellationToken.None);
        await _hub.SettleAsync();
        Assert.Equal(("dep=Applied", """{"interval":5}"""), (_hub.Shown("e1"), _hub.Desired("e1", "temp")));
    }

    [Fact]
    public async Task Device_ThatBecomesAnEdgeDevice_OrIsNoneAnyMore_IsReachedAndLeft()
    {
        await _hub.PutAsync("dep", Base("r1"), "*", 1);
        await _hub.SettleAsync();
        await UpdateAsync("d1", isEdge: true);
        await _hub.SettleAsync();
        Assert.Equal(("dep=Applied", """{"interval":5}"""), (_hub.Shown("d1"), _hub.Desired("d1", "temp")));

        await UpdateAsync("d1", isEdge: false);
        await _hub.SettleAsync();
        Assert.Equal(("", ""), (_hub.Shown("d1"), _hub.Shown("d1", "temp")));
        Assert.Null(_hub.Stored("d1", "$edgeAgent"));
    }

    [Fact]
    public async Task Metrics_SayWhatRuntimesReport()
    {
        await _hub.CreateAsync("e2", isEdge: true);
        await _hub.CreateAsync("e3", isEdge: true);
        await _hub.PutAsync("dep", Base("r1"), "*", 1);
        await _hub.SettleAsync();
        await ReportAsync("e1", 200);
        await ReportAsync("e2", 400);
        var state = await _hub.Configurations.GetAsync(ConfigurationsFixture.Owner, "dep", CancellationToken.None);

        Assert.Equal("appliedCount=3 reportedFailedCount=1 reportedSuccessfulCount=1 targetedCount=3", string.Join(' ', state.SystemResults.OrderBy(one => one.Key).Select(one => $"{one.Key}={one.Value}")));
    }

    [Fact]
    public async Task Apply_OnDemand_MakesModulesAndSetsThem_OnlyOnEdgeDevices()
    {
        await ApplyAsync("e1", Base("now"));
        Assert.Contains("\"runtime\":\"now\"", _hub.Desired("e1", "$edgeAgent"), StringComparison.Ordinal);
        Assert.Equal(("""{"interval":5}""", ""), (_hub.Desired("e1", "temp"), _hub.Shown("e1")));

        var link = _hub.Connect("d1");
        await ApplyAsync("d1", """{"deviceContent":{"properties.desired.a.b":1}}""");
        Assert.Equal(["""{"a":{"b":1},"$version":2}"""], link.Desired);
        Assert.Contains("d1 is no edge device", await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => ApplyAsync("d1", Base("x"))), StringComparison.Ordinal);
        Assert.Contains("moduleContent is for", await ConfigurationsFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => ApplyAsync("d1", """{"moduleContent":{"properties.desired.a":1}}""")), StringComparison.Ordinal);
        await ConfigurationsFixture.RefusedAsync(HubErrors.DeviceNotFound, () => ApplyAsync("nobody", """{"deviceContent":{"properties.desired.a":1}}"""));
        Assert.Equal(["done", "done", "refused", "refused", "refused"], _hub.Audit.Entries.Where(entry => entry.Action == "configuration apply").Select(entry => entry.Result));
    }

    [Fact]
    public async Task Apply_OnDemand_OfMoreModulesThanThereMayBe_ChangesNothing()
    {
        for (var i = 0; i < DeviceRegistry.MaxModulesPerDevice - 2; i++)
            await _hub.CreateAsync("e1", moduleId: $"m{i}");
        await ConfigurationsFixture.RefusedAsync(HubErrors.TooManyModules, () => ApplyAsync("e1", Base("now")));
        Assert.Equal("{}", _hub.Desired("e1", "$edgeAgent"));
    }

    private Task ApplyAsync(string device, string content) =>
        _hub.Configurations.ApplyAsync(ConfigurationsFixture.Owner, Identity.Of(device), Encoding.UTF8.GetBytes(content), CancellationToken.None).AsTask();

    private Task ReportAsync(string device, int code) =>
        _hub.ReportAsync(device, "{\"lastDesiredVersion\":" + _hub.Stored(device, "$edgeAgent")!.Desired.Version + ",\"lastDesiredStatus\":{\"code\":" + code + "}}", "$edgeAgent");

    private async Task UpdateAsync(string device, bool isEdge) => await _hub.Registry.ChangeAsync(
        ConfigurationsFixture.Owner, new IdentityChange(Identity.Of(device), PutMode.Update, new IdentityDraft { IotEdge = isEdge }, EntityTagCondition.Any), CancellationToken.None);
}
