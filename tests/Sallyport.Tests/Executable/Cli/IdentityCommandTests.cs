using System.Text.Json.Nodes;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Tests.Executable.Cli;

public sealed class IdentityCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    private const string Key = "MTIzNDU2Nzg5MDEyMzQ1Ng==";
    private const string OtherKey = "QUJDREVGR0hJSktMTU5PUA==";
    private const string Thumbprint = "0123456789ABCDEF0123456789ABCDEF01234567";

    [Fact]
    public async Task Create_OfADevice_PrintsItWithItsKeys()
    {
        var device = await hub.JsonAsync("device-identity", "create", "-d", "new", "--edge-enabled", "--status", "disabled", "--status-reason", "not here yet");

        Assert.Equal("new", (string?)device["deviceId"]);
        Assert.Equal("disabled", (string?)device["status"]);
        Assert.Equal("not here yet", (string?)device["statusReason"]);
        Assert.True((bool)device["capabilities"]!["iotEdge"]!);
        Assert.Equal(32, Convert.FromBase64String((string)device["authentication"]!["symmetricKey"]!["primaryKey"]!).Length);
    }

    [Fact]
    public async Task Create_OfADeviceThatExists_SaysWhatToDo()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "twice");

        var again = await hub.RunAsync("device-identity", "create", "-d", "twice");

        Assert.Equal(1, again.Exit);
        Assert.Equal("", again.Out);
        Assert.Contains("(DeviceAlreadyExists): choose another name, or change what there is.", again.Error);
        Assert.Single(again.Error.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task Create_WithKeysOfStandardInput_TakesALineEach()
    {
        var result = await hub.RunWithInputAsync($"{Key}\n{OtherKey}\n", "device-identity", "create", "-d", "given", "--primary-key", "-", "--secondary-key", "-");

        Assert.Equal("", result.Error);
        var keys = JsonNode.Parse(result.Out)!["authentication"]!["symmetricKey"]!;
        Assert.Equal(Key, (string?)keys["primaryKey"]);
        Assert.Equal(OtherKey, (string?)keys["secondaryKey"]);
    }

    [Fact]
    public async Task Create_WithAKeyOnTheCommandLine_IsWrongUsage()
    {
        var result = await hub.RunAsync("device-identity", "create", "-d", "leaked", "--primary-key", Key);

        Assert.Equal(2, result.Exit);
        Assert.Contains("--primary-key takes - (standard input) or @FILE", result.Error);
        Assert.DoesNotContain(Key, result.Error);
    }

    [Fact]
    public async Task Create_WithThumbprints_MakesNoKeys()
    {
        var device = await hub.JsonAsync("device-identity", "create", "-d", "x509", "--am", "x509_thumbprint", "--primary-thumbprint", Thumbprint);
        var connection = await hub.JsonAsync("device-identity", "connection-string", "show", "-d", "x509");

        Assert.Equal("selfSigned", (string?)device["authentication"]!["type"]);
        Assert.Equal("HostName=localhost;DeviceId=x509;x509=true", (string?)connection["connectionString"]);
    }

    [Theory]
    [InlineData("--am", "x509_thumbprint", "--primary-thumbprint")]
    [InlineData("--am", "password", "--auth-method is one of")]
    [InlineData("--status", "maybe", "--status is one of enabled, disabled.")]
    [InlineData("--top", "5", "--top")]
    public async Task Create_WronglyUsed_NamesTheFlag(string flag, string value, string expected)
    {
        var result = await hub.RunAsync("device-identity", "create", "-d", "wrong", flag, value);

        Assert.Equal(2, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    [Fact]
    public async Task Show_OfADeviceThatIsNot_SaysWhatToDo()
    {
        var result = await hub.RunAsync("device-identity", "show", "-d", "nobody");

        Assert.Equal(1, result.Exit);
        Assert.Contains("(DeviceNotFound): `sallyport device-identity list` shows those there are.", result.Error);
    }

    [Fact]
    public async Task List_AsTable_HasARowEachAndNoSecrets()
    {
        var one = await hub.JsonAsync("device-identity", "create", "-d", "row-1");
        await hub.JsonAsync("device-identity", "create", "-d", "row-2", "--status", "disabled");

        var result = await hub.RunAsync("device-identity", "list", "-o", "table");

        Assert.Equal(0, result.Exit);
        Assert.Contains(result.Out.Split('\n'), line => line.Contains("row-1") && line.Contains("enabled") && line.Contains("sas"));
        Assert.Contains(result.Out.Split('\n'), line => line.Contains("row-2") && line.Contains("disabled"));
        Assert.DoesNotContain((string)one["authentication"]!["symmetricKey"]!["primaryKey"]!, result.Out);
        Assert.DoesNotContain((string)one["authentication"]!["symmetricKey"]!["secondaryKey"]!, result.Out);
    }

    [Fact]
    public async Task List_WithTop_GivesNoMore()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "top-1");
        await hub.JsonAsync("device-identity", "create", "-d", "top-2");

        Assert.Single((await hub.JsonAsync("device-identity", "list", "--top", "1")).AsArray());
        Assert.Contains("--top is a number from 1 to 2147483647.", (await hub.RunAsync("device-identity", "list", "--top", "0")).Error);
    }

    [Fact]
    public async Task List_OfMoreThanARequestGives_GoesOn()
    {
        await using var own = new CliHub();
        await own.InitializeAsync();
        using (var owner = own.Hub.Owner())
        {
            foreach (var ids in Enumerable.Range(0, 1001).Select(i => $"many-{i:D4}").Chunk(100))
            {
                await owner.SendAsync(
                    HttpMethod.Post, "devices", new JsonArray([.. ids.Select(id => new JsonObject { ["id"] = id, ["importMode"] = "create" })]),
                    cancel: TestContext.Current.CancellationToken);
            }
        }

        var usual = await own.RunAsync("device-identity", "list");
        var more = await own.JsonAsync("device-identity", "list", "--top", "5000");

        Assert.Equal(1000, JsonNode.Parse(usual.Out)!.AsArray().Count);
        Assert.Equal("These are the first 1000: say --top for more.\n", usual.Error);
        Assert.Equal(Enumerable.Range(0, 1001).Select(i => $"many-{i:D4}"), more.AsArray().Select(device => (string?)device!["deviceId"]));
    }

    [Fact]
    public async Task Update_ChangesWhatIsNamedOnly()
    {
        var before = await hub.JsonAsync("device-identity", "create", "-d", "updated", "--status-reason", "spare");

        var after = await hub.JsonAsync("device-identity", "update", "-d", "updated", "--status", "disabled");

        Assert.Equal("disabled", (string?)after["status"]);
        Assert.Equal("spare", (string?)after["statusReason"]);
        Assert.Equal(before["authentication"]!.ToJsonString(), after["authentication"]!.ToJsonString());
    }

    [Fact]
    public async Task Update_OfOneKey_KeepsTheOther()
    {
        var before = await hub.JsonAsync("device-identity", "create", "-d", "one-key");

        var result = await hub.RunWithInputAsync("YSBrZXkgb2YgaXRzIG93bg==", "device-identity", "update", "-d", "one-key", "--pk", "-");

        Assert.Equal("", result.Error);
        var keys = JsonNode.Parse(result.Out)!["authentication"]!["symmetricKey"]!;
        Assert.Equal("YSBrZXkgb2YgaXRzIG93bg==", (string?)keys["primaryKey"]);
        Assert.Equal((string?)before["authentication"]!["symmetricKey"]!["secondaryKey"], (string?)keys["secondaryKey"]);
    }

    [Fact]
    public async Task Update_OfAnOlderETag_IsRefused()
    {
        var before = await hub.JsonAsync("device-identity", "create", "-d", "tagged");
        await hub.JsonAsync("device-identity", "update", "-d", "tagged", "--status-reason", "moved", "--etag", (string)before["etag"]!);

        var result = await hub.RunAsync("device-identity", "update", "-d", "tagged", "--status-reason", "moved again", "--etag", (string)before["etag"]!);

        Assert.Equal(1, result.Exit);
        Assert.Contains("(PreconditionFailed): somebody changed it meanwhile", result.Error);
    }

    [Fact]
    public async Task Update_OfNothing_IsWrongUsage()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "unchanged");

        var result = await hub.RunAsync("device-identity", "update", "-d", "unchanged");

        Assert.Equal(2, result.Exit);
        Assert.Contains("Nothing to change: give one of --auth-method", result.Error);
    }

    [Fact]
    public async Task RenewKey_OfThePrimary_KeepsTheSecondary()
    {
        var before = (await hub.JsonAsync("device-identity", "create", "-d", "renewed"))["authentication"]!["symmetricKey"]!;

        var after = (await hub.JsonAsync("device-identity", "renew-key", "-d", "renewed", "--key-type", "primary"))["authentication"]!["symmetricKey"]!;

        Assert.NotEqual((string?)before["primaryKey"], (string?)after["primaryKey"]);
        Assert.Equal((string?)before["secondaryKey"], (string?)after["secondaryKey"]);
        Assert.Contains("(DeviceNotFound)", (await hub.RunAsync("device-identity", "renew-key", "-d", "nobody", "--kt", "both")).Error);
        Assert.Contains("--key-type", (await hub.RunAsync("device-identity", "renew-key", "-d", "renewed")).Error);
    }

    [Fact]
    public async Task ConnectionString_IsWhatADeviceConnectsWith()
    {
        var device = await hub.JsonAsync("device-identity", "create", "-d", "connected");
        var keys = device["authentication"]!["symmetricKey"]!;

        var primary = ConnectionString.Parse((string)(await hub.JsonAsync("device-identity", "connection-string", "show", "-d", "connected"))["connectionString"]!);
        var secondary = await hub.RunAsync("device-identity", "connection-string", "show", "-d", "connected", "--key-type", "secondary", "-o", "tsv");

        Assert.Equal(("localhost", "connected", (string?)keys["primaryKey"]), (primary.HostName, primary.DeviceId, primary.SharedAccessKey));
        Assert.Equal($"HostName=localhost;DeviceId=connected;SharedAccessKey={keys["secondaryKey"]}\n", secondary.Out);
        Assert.Contains("--output is one of json, tsv.", (await hub.RunAsync("device-identity", "connection-string", "show", "-d", "connected", "-o", "table")).Error);
    }

    [Theory]
    [InlineData("", "There is nobody to ask: say --yes.")]
    [InlineData("n\n", "Nothing was deleted.")]
    public async Task Delete_NotConfirmed_LeavesTheDevice(string input, string expected)
    {
        await hub.RunAsync("device-identity", "create", "-d", "kept");

        var result = await hub.RunWithInputAsync(input, "device-identity", "delete", "-d", "kept");

        Assert.Equal(1, result.Exit);
        Assert.Contains("Delete device kept and its modules? [y/N]", result.Error);
        Assert.Contains(expected, result.Error);
        await hub.JsonAsync("device-identity", "show", "-d", "kept");
    }

    [Fact]
    public async Task Delete_Confirmed_TakesTheDeviceAway()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "gone");
        await hub.JsonAsync("device-identity", "create", "-d", "gone-too");

        Assert.Equal(0, (await hub.RunWithInputAsync("y\n", "device-identity", "delete", "-d", "gone")).Exit);
        var silent = await hub.RunAsync("device-identity", "delete", "-d", "gone-too", "--yes");

        Assert.Equal(new CliResult(0, "", ""), silent);
        Assert.Equal(1, (await hub.RunAsync("device-identity", "show", "-d", "gone")).Exit);
        Assert.Equal(1, (await hub.RunAsync("device-identity", "delete", "-d", "gone-too", "--yes")).Exit);
    }

    [Fact]
    public async Task Module_LivesItsLife()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "host");

        var created = await hub.JsonAsync("module-identity", "create", "-d", "host", "-m", "m 1".Replace(" ", "-"));
        var listed = await hub.RunAsync("module-identity", "list", "-d", "host", "-o", "table");
        var updated = await hub.JsonAsync("module-identity", "update", "-d", "host", "-m", "m-1", "--am", "x509_ca");
        var renewed = await hub.RunAsync("module-identity", "renew-key", "-d", "host", "-m", "m-1", "--kt", "swap");
        await hub.JsonAsync("module-identity", "update", "-d", "host", "-m", "m-1", "--am", "shared_private_key");
        var connection = await hub.JsonAsync("module-identity", "connection-string", "show", "-d", "host", "-m", "m-1");
        var deleted = await hub.RunAsync("module-identity", "delete", "-d", "host", "-m", "m-1", "-y");

        Assert.Contains("m-1", listed.Out);
        Assert.DoesNotContain((string)created["authentication"]!["symmetricKey"]!["primaryKey"]!, listed.Out);
        Assert.Equal("certificateAuthority", (string?)updated["authentication"]!["type"]);
        Assert.Equal(1, renewed.Exit);
        Assert.StartsWith("HostName=localhost;DeviceId=host;ModuleId=m-1;SharedAccessKey=", (string?)connection["connectionString"]);
        Assert.Equal(0, deleted.Exit);
        Assert.Contains("(ModuleNotFound)", (await hub.RunAsync("module-identity", "show", "-d", "host", "-m", "m-1")).Error);
    }
}
