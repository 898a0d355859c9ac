namespace Sallyport.Tests.Executable.Cli;

public sealed class StatusCommandsTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Status_OfAHub_SaysWhatRuns()
    {
        var status = await hub.JsonAsync("status");
        var table = await hub.RunAsync("status", "-o", "table");

        Assert.Equal(0, (int)status["connectedDevices"]!);
        Assert.NotEmpty(status["listeners"]!.AsArray());
        Assert.Contains("UptimeSeconds", table.Out);
    }

    [Fact]
    public async Task Stats_OfAHub_CountItsDevices()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "counted");
        await hub.JsonAsync("device-identity", "create", "-d", "counted-out", "--status", "disabled");

        var stats = await hub.JsonAsync("show-stats");

        Assert.Equal((2, 1, 1, 0), ((int)stats["totalDeviceCount"]!, (int)stats["enabledDeviceCount"]!, (int)stats["disabledDeviceCount"]!, (int)stats["connectedDeviceCount"]!));
        Assert.Contains("Connected", (await hub.RunAsync("show-stats", "-o", "table")).Out);
    }

    [Fact]
    public async Task Config_OfAHub_IsWhatIsInForce()
    {
        var config = await hub.JsonAsync("config", "show");

        Assert.Equal(hub.Data, (string?)config["Hub"]!["Data"]);
        Assert.Contains("--output is one of json.", (await hub.RunAsync("config", "show", "-o", "yaml")).Error);
    }
}
