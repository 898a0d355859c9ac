namespace Sallyport.Tests.Executable.Cli;

public sealed class PolicyCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Create_OfAPolicy_TakesAzuresRightsAndOurs()
    {
        var policy = await hub.JsonAsync("policy", "create", "-n", "reader", "--permissions", "RegistryRead", "telemetry-read");
        var shown = await hub.JsonAsync("policy", "show", "-n", "reader");

        Assert.Equal("RegistryRead, telemetry-read", (string?)policy["rights"]);
        Assert.Equal((string?)policy["primaryKey"], (string?)shown["primaryKey"]);
        Assert.Contains("(Conflict)", (await hub.RunAsync("policy", "create", "-n", "reader", "--rights", "twin-read")).Error);
    }

    [Fact]
    public async Task Create_WithAnUnknownRight_NamesThoseThatAre()
    {
        var result = await hub.RunAsync("policy", "create", "-n", "wrong", "--permissions", "everything");

        Assert.Equal(2, result.Exit);
        Assert.Contains("--permissions: rights are named", result.Error);
        Assert.Contains("telemetry-read", result.Error);
    }

    [Fact]
    public async Task Update_WithAnEtag_IsDoneOnlyIfNobodyWasFaster()
    {
        var made = await hub.JsonAsync("policy", "create", "-n", "contested", "--permissions", "RegistryRead");
        var etag = (string)made["etag"]!;

        var first = await hub.JsonAsync("policy", "update", "-n", "contested", "--permissions", "telemetry-read", "--etag", etag);
        var second = await hub.RunAsync("policy", "update", "-n", "contested", "--permissions", "RegistryWrite", "--etag", etag);

        Assert.NotEqual(etag, (string?)first["etag"]);
        Assert.Equal((1, ""), (second.Exit, second.Out));
        Assert.Contains("(PreconditionFailed): somebody changed it meanwhile; look at it with `show`", second.Error);
        var shown = await hub.JsonAsync("policy", "show", "-n", "contested");
        Assert.Equal(("telemetry-read", (string?)first["etag"]), ((string?)shown["rights"], (string?)shown["etag"]));
        await hub.JsonAsync("policy", "update", "-n", "contested", "--permissions", "RegistryWrite", "--etag", "*");
    }

    [Fact]
    public async Task RenewKeyAndDelete_WithAnEtag_AreDoneOnlyIfNobodyWasFaster()
    {
        var etag = (string)(await hub.JsonAsync("policy", "create", "-n", "raced", "--permissions", "RegistryRead"))["etag"]!;

        var renewed = await hub.JsonAsync("policy", "renew-key", "-n", "raced", "--renew-key", "primary", "--etag", etag);
        Assert.Contains("(PreconditionFailed)", (await hub.RunAsync("policy", "renew-key", "-n", "raced", "--renew-key", "primary", "--etag", etag)).Error);
        Assert.Contains("(PreconditionFailed)", (await hub.RunAsync("policy", "delete", "-n", "raced", "--yes", "--etag", etag)).Error);
        Assert.Equal((string?)renewed["primaryKey"], (string?)(await hub.JsonAsync("policy", "show", "-n", "raced"))["primaryKey"]);
        Assert.Equal(0, (await hub.RunAsync("policy", "delete", "-n", "raced", "--yes", "--etag", (string)renewed["etag"]!)).Exit);
    }

    [Fact]
    public async Task LimitByTag_FromCreationToRemoval()
    {
        var made = await hub.JsonAsync("policy", "create", "-n", "tagged", "--permissions", "twin-read", "--device-tag", "site=berlin mitte", "location.floor=3", "--device-prefix", "plant-");
        Assert.Equal("""["site=berlin mitte","location.floor=3"]""", made["deviceTags"]!.ToJsonString());
        Assert.Contains("location.floor=3", (await hub.RunAsync("policy", "list", "-o", "table")).Out);

        Assert.Equal("""["site=hamburg"]""", (await hub.JsonAsync("policy", "update", "-n", "tagged", "--dt", "site=hamburg"))["deviceTags"]!.ToJsonString());
        var freed = await hub.JsonAsync("policy", "update", "-n", "tagged", "--device-tag", "");
        Assert.Equal(("[]", """["plant-"]"""), (freed["deviceTags"]!.ToJsonString(), freed["devicePrefixes"]!.ToJsonString()));

        var wrong = await hub.RunAsync("policy", "update", "-n", "tagged", "--device-tag", "site");
        Assert.Equal(2, wrong.Exit);
        Assert.Contains("--device-tag: a device tag is PATH=VALUE", wrong.Error);
    }

    [Fact]
    public async Task List_AsTable_HasNoSecrets()
    {
        var service = await hub.JsonAsync("policy", "show", "-n", "service");

        var result = await hub.RunAsync("policy", "list", "-o", "table");

        foreach (var name in new[] { "iothubowner", "service", "device", "registryRead", "registryReadWrite" })
            Assert.Contains(name, result.Out);
        Assert.DoesNotContain((string)service["primaryKey"]!, result.Out);
        Assert.DoesNotContain((string)service["secondaryKey"]!, result.Out);
    }

    [Fact]
    public async Task RenewKey_OfThePrimary_LocksItsUsersOut()
    {
        var old = await hub.JsonAsync("policy", "create", "-n", "rotated", "--permissions", "RegistryRead");
        var login = $"HostName=localhost;SharedAccessKeyName=rotated;SharedAccessKey={old["primaryKey"]}";
        Assert.Equal(0, (await hub.RunAsync("device-identity", "list", "--login", login)).Exit);

        var renewed = await hub.JsonAsync("policy", "renew-key", "-n", "rotated", "--renew-key", "primary");

        Assert.Equal((string?)old["secondaryKey"], (string?)renewed["secondaryKey"]);
        var refused = await hub.RunAsync("device-identity", "list", "--login", login);
        Assert.Equal(1, refused.Exit);
        Assert.Contains("check that policy rotated exists and that this is its key of now.", refused.Error);
    }

    [Fact]
    public async Task Delete_OfAPolicy_AsksFirst()
    {
        await hub.JsonAsync("policy", "create", "-n", "brief", "--permissions", "twin-read");

        Assert.Equal(1, (await hub.RunAsync("policy", "delete", "-n", "brief")).Exit);
        Assert.Equal(0, (await hub.RunAsync("policy", "delete", "-n", "brief", "-y")).Exit);
        Assert.Contains("(NotFound)", (await hub.RunAsync("policy", "show", "-n", "brief")).Error);
    }
}
