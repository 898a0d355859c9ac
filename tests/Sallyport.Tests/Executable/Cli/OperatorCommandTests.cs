using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

public sealed class OperatorCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Operator_Created_ReadsWhatItsScopeCovers_WithTheLoginInItsFile()
    {
        using var directory = new TemporaryDirectory();
        var file = Path.Combine(directory.Path, "alice.login");
        foreach (var id in (string[])["plant-1", "mill-1"])
        {
            await hub.JsonAsync("device-identity", "create", "-d", id);
            await hub.SendAsync(id, $"\"{id}\"");
        }

        var created = await hub.JsonAsync(
            "operator", "create", "-n", "alice", "--permissions", "registry-read", "telemetry-read", "--device-prefix", "plant-", "--credential-file", file);
        var events = await hub.RunAsync("monitor-events", "--et", "0", "--message-count", "1", "--login-file", file);
        var devices = await hub.RunAsync("device-identity", "list", "--login-file", file);
        var other = await hub.RunAsync("device-identity", "show", "-d", "mill-1", "--login-file", file);
        var listed = await hub.RunAsync("operator", "list", "-o", "table");

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Null(created["key"]);
        Assert.Equal((0, ""), (events.Exit, events.Error));
        Assert.Contains("plant-1", events.Out);
        Assert.DoesNotContain("mill-1", events.Out);
        Assert.Equal("plant-1", (string?)Assert.Single(JsonNode.Parse(devices.Out)!.AsArray())!["deviceId"]);
        Assert.Equal(1, other.Exit);
        Assert.Contains("alice", listed.Out);
        Assert.Equal(0, (await hub.RunAsync("operator", "delete", "-n", "alice", "--yes")).Exit);
        Assert.Equal(1, (await hub.RunAsync("device-identity", "list", "--login-file", file)).Exit);
    }

    [Fact]
    public async Task Operator_CredentialThatCanBeWrittenNowhere_IsNotMade()
    {
        var refused = await hub.RunAsync("operator", "create", "-n", "bob", "--permissions", "registry-read", "--credential-file", "/nowhere/bob.login");

        Assert.Equal((1, ""), (refused.Exit, refused.Out));
        Assert.Contains("--credential-file", refused.Error);
        Assert.Contains("no operator bob", (await hub.RunAsync("operator", "show", "-n", "bob")).Error);
    }

    [Fact]
    public async Task Operator_Refused_LeavesTheCredentialFileAsItWas()
    {
        using var directory = new TemporaryDirectory();
        var (kept, made) = (Path.Combine(directory.Path, "kept"), Path.Combine(directory.Path, "made"));
        await File.WriteAllTextAsync(kept, "of before", TestContext.Current.CancellationToken);

        Assert.Equal(1, (await hub.RunAsync("operator", "renew", "-n", "nobody", "--credential-file", kept)).Exit);
        Assert.Equal(1, (await hub.RunAsync("operator", "renew", "-n", "nobody", "--credential-file", made)).Exit);

        Assert.Equal("of before", await File.ReadAllTextAsync(kept, TestContext.Current.CancellationToken));
        Assert.False(File.Exists(made));
    }

    [Fact]
    public async Task Advice_BeforeTheDaysAreOver_SaysHowLongItHasWatched()
    {
        var advice = await hub.RunAsync("policy", "advise", "--unused-for", "30", "-o", "table");

        Assert.Contains("observed for 0 of 30 days", advice.Out);
    }
}
