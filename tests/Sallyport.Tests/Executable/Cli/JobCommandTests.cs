namespace Sallyport.Tests.Executable.Cli;

public sealed class JobCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Create_OfTwins_WaitsForItsEnd_AndDevicesShowsWhatBecameOfIt()
    {
        foreach (var id in (string[])["tw-1", "tw-2"])
            await hub.JsonAsync("device-identity", "create", "-d", id);

        var job = await hub.JsonAsync(
            "job", "create", "--job-id", "tw", "--job-type", "scheduleUpdateTwin", "-q", "deviceId IN ['tw-1','tw-2']", "--twin-patch", """{"tags":{"season":"winter"}}""", "--wait");
        var devices = await hub.JsonAsync("job", "devices", "--job-id", "tw");
        var table = await hub.RunAsync("job", "devices", "--job-id", "tw", "--status", "completed", "-o", "table");

        Assert.Equal(("completed", 2), ((string?)job["status"], (int)job["deviceJobStatistics"]!["succeededCount"]!));
        Assert.Equal(["tw-1", "tw-2"], devices.AsArray().Select(row => (string)row!["deviceId"]!));
        Assert.Contains("tw-2", table.Out);
        Assert.Empty((await hub.JsonAsync("job", "devices", "--job-id", "tw", "--status", "failed")).AsArray());
        Assert.Equal("winter", (string?)(await hub.JsonAsync("device-twin", "show", "-d", "tw-1"))["tags"]!["season"]);
    }

    [Fact]
    public async Task Create_OfAMethod_InTheFuture_IsShownListedAndCancelled()
    {
        var start = DateTime.UtcNow.AddHours(1).ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
        var made = await hub.JsonAsync("job", "create", "--jid", "me", "-q", "*", "--mn", "reboot", "--mp", """{"delay":5}""", "--start", start, "--ttl", "60");

        Assert.Equal(("scheduled", "scheduleDeviceMethod", 60), ((string?)made["status"], (string?)made["type"], (int)made["maxExecutionTimeInSeconds"]!));
        Assert.Equal("""{"methodName":"reboot","payload":{"delay":5},"responseTimeoutInSeconds":30}""", made["cloudToDeviceMethod"]!.ToJsonString());
        Assert.Equal("me", (string?)(await hub.JsonAsync("job", "show", "--job-id", "me"))["jobId"]);
        Assert.Contains("me", (await hub.RunAsync("job", "list", "--js", "scheduled", "--jt", "scheduleDeviceMethod", "-o", "table")).Out);
        Assert.Equal("cancelled", (string?)(await hub.JsonAsync("job", "cancel", "--job-id", "me"))["status"]);
        Assert.DoesNotContain("me", (await hub.JsonAsync("job", "list", "--js", "scheduled")).AsArray().Select(job => (string?)job!["jobId"]));
        Assert.Equal(1, (await hub.RunAsync("job", "show", "--job-id", "nobody")).Exit);
    }

    [Fact]
    public async Task Create_ThatWaitsTooLong_SaysThatItGoesOn()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "away");

        var result = await hub.RunAsync("job", "create", "--job-id", "long", "-q", "deviceId = 'away'", "--mn", "reboot", "--wait", "--wait-timeout", "1");

        Assert.Equal(1, result.Exit);
        Assert.Contains("The job long is running after 1 s. It goes on", result.Error);
        await hub.JsonAsync("job", "cancel", "--job-id", "long");
    }

    [Theory]
    [InlineData("--job-type scheduleUpdateTwin --mn m")]
    [InlineData("--job-type scheduleDeviceMethod --twin-patch {}")]
    [InlineData("--mn m --twin-patch {}")]
    [InlineData("--ttl 60")]
    public async Task Create_OfBothOrNeither_IsWrongUsage(string flags)
    {
        var result = await hub.RunAsync(["job", "create", "--job-id", "w", "-q", "*", .. flags.Split(' ')]);

        Assert.Equal(2, result.Exit);
        Assert.Contains("a job does one of them", result.Error);
    }

    [Fact]
    public async Task Create_WithAConditionThatIsNone_SaysWhere()
    {
        var result = await hub.RunAsync("job", "create", "--job-id", "w", "-q", "tags.a == 1", "--twin-patch", """{"tags":{"a":1}}""");

        Assert.Equal(1, result.Exit);
        Assert.Contains("line 1, column 9: found '='", result.Error);
    }

    [Fact]
    public async Task Patch_OfAFile_IsRead_AndWhatIsNoJson_IsWrongUsage()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["patch.json"], """{"tags":{"file":true}}""", TestContext.Current.CancellationToken);

        Assert.Equal("""{"tags":{"file":true}}""", (await hub.JsonAsync("job", "create", "--job-id", "file", "-q", "deviceId = 'x'", "--patch", "@" + directory["patch.json"]))["updateTwin"]!.ToJsonString());
        Assert.Equal(2, (await hub.RunAsync("job", "create", "--job-id", "w", "-q", "*", "--patch", "[1")).Exit);
    }
}
