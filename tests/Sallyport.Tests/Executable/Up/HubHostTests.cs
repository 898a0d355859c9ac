using System.Net;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Up;

/// <summary>What the hub as a whole answers, over its real listeners.</summary>
public sealed class HubHostTests : IAsyncLifetime
{
    private TestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await TestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Health_WithoutCredentials_SaysYesAndNothingElse()
    {
        Assert.Equal((HttpStatusCode.OK, "live\n"), await _hub.GetAsync("health/live"));
        Assert.Equal((HttpStatusCode.OK, "ready\n"), await _hub.GetAsync("health/ready"));
    }

    [Fact]
    public async Task Metrics_WithoutCredentials_AreRefused()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.GetAsync("metrics")).Status);
    }

    [Fact]
    public async Task Metrics_ForAServicePolicy_AreRefused()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.GetAsync("metrics", _hub.Endpoints.ServiceConnectionString)).Status);
    }

    [Fact]
    public async Task Metrics_ForTheOwner_HoldTheHubsMeters()
    {
        var (status, text) = await _hub.GetAsync("metrics", _hub.Endpoints.OwnerConnectionString);

        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Contains("sallyport_", text);
        Assert.Contains("# TYPE", text);
    }

    [Fact]
    public async Task Config_ForTheOwner_IsEverySettingInForce()
    {
        using var owner = _hub.Owner();
        var sections = (await owner.SendAsync(HttpMethod.Get, "manage/v1/config"))!.AsObject();

        Assert.Equal(_hub.Data, (string?)sections["Hub"]!["Data"]);
        Assert.Equal(["localhost", "sallyport.localhost"], sections["Hub"]!["Hosts"]!.AsArray().Select(host => (string?)host));
        Assert.Equal(24, (int?)sections["EventLog"]!["RetentionHours"]);
        Assert.Equal(Sallyport.Settings.AllSettings.Table.Count, sections.Sum(section => section.Value!.AsObject().Count));
    }

    [Fact]
    public async Task Connections_ForTheOwner_AreServed()
    {
        using var owner = _hub.Owner();

        Assert.Empty(await owner.ListConnectionsAsync());
    }

    [Fact]
    public async Task Device_Created_SurvivesARestartOfTheHub()
    {
        using (var owner = _hub.Owner())
            await owner.PutDeviceAsync("d1", new JsonObject());

        await _hub.RestartAsync();

        using var again = _hub.Owner();
        Assert.Equal("d1", (string?)(await again.GetDeviceAsync("d1"))["deviceId"]);
    }
}
