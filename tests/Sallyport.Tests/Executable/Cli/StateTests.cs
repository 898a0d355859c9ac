using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

/// <summary>State files of <c>az iot hub state</c> against a whole hub.</summary>
public sealed class StateTests(CliHub hub) : IClassFixture<CliHub>, IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    // As azure-iot-cli-extension writes it.
    private const string State = """
        {"arm": {"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "resources": [{"type": "Microsoft.Devices/IotHubs", "properties": {"routing": {"endpoints": {}, "routes": []}}}]},
         "configurations": {"admConfigurations": {"adm1": {"id": "adm1", "content": {"deviceContent": {"properties.desired.interval": 5}}, "labels": {}, "metrics": {"queries": {}, "results": {}}, "priority": 10, "systemMetrics": {"queries": {}, "results": {}}, "targetCondition": "tags.site='berlin'"}},
                            "edgeDeployments": {}},
         "devices": {
           "st-leaf": {"parent": "st-edge",
                       "twin": {"properties": {"desired": {"n": 1, "deep": {"x": [1, 2]}}}, "tags": {"site": "berlin"}},
                       "identity": {"status": "disabled", "statusReason": "spare", "connectionState": "Disconnected", "capabilities": {"iotEdge": false},
                                    "authentication": {"type": "sas", "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null}, "symmetricKey": {"primaryKey": "KEY", "secondaryKey": "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="}}},
                       "modules": {"m1": {"identity": {"managedBy": null, "connectionState": "Disconnected", "authentication": {"symmetricKey": {"primaryKey": "TU9EVUxFa2V5TU9EVUxFa2V5TU9EVUxFa2V5TU9EVUw=", "secondaryKey": "ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ="}, "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null}, "type": "sas"}},
                                          "twin": {"status": "enabled", "tags": {"role": "camera"}, "properties": {"desired": {"fps": 25}}}}}},
           "st-edge": {"twin": {"properties": {"desired": {}}},
                       "identity": {"status": "enabled", "connectionState": "Disconnected", "capabilities": {"iotEdge": true},
                                    "authentication": {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "secondaryThumbprint": "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"}}},
                       "modules": {"$edgeAgent": {"identity": {"managedBy": "iotEdge", "authentication": {"type": "none"}}, "twin": {"properties": {"desired": {"schemaVersion": "1.1"}}}}}},
           "st-wrong": {"twin": {}},
           "st no id": {"twin": {"properties": {"desired": {}}}, "identity": {"status": "enabled", "capabilities": {"iotEdge": false}, "authentication": {"type": "sas"}}}}}
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("sallyport-state-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Import_OfWhatAzWrote_TakesOverIdentitiesTwinsModulesAndParents_AndSaysWhatItCannot()
    {
        var result = await hub.RunAsync("import", "azure", "--state", Write(State));

        Assert.Equal(1, result.Exit);
        var outcomes = JsonNode.Parse(result.Out)!.AsArray().ToDictionary(
            outcome => (string?)outcome!["item"] ?? $"{outcome["deviceId"]}/{outcome["moduleId"]}", outcome => ((string?)outcome!["result"], (string?)outcome["why"]));
        Assert.Equal(
            ["arm", "st no id/", "st-edge/", "st-edge/$edgeAgent", "st-leaf/", "st-leaf/m1", "st-wrong/"],
            outcomes.Keys.Where(key => !key.Contains("adm1", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Equal("cannot", outcomes["arm"].Item1);
        Assert.Contains("connection create", outcomes["arm"].Item2, StringComparison.Ordinal);
        Assert.Contains("configuration adm1", outcomes.Keys);
        Assert.Equal(("done", "done", "done", "done"), (outcomes["st-leaf/"].Item1, outcomes["st-leaf/m1"].Item1, outcomes["st-edge/"].Item1, outcomes["st-edge/$edgeAgent"].Item1));
        Assert.Equal(("cannot", "cannot"), (outcomes["st-wrong/"].Item1, outcomes["st no id/"].Item1));

        var leaf = await hub.JsonAsync("device-identity", "show", "-d", "st-leaf");
        var edge = await hub.JsonAsync("device-identity", "show", "-d", "st-edge");
        Assert.Equal((Key, "disabled", "spare"), ((string?)leaf["authentication"]!["symmetricKey"]!["primaryKey"], (string?)leaf["status"], (string?)leaf["statusReason"]));
        Assert.Equal((string?)edge["deviceScope"], (string?)leaf["parentScopes"]![0]);
        Assert.Equal(new string('A', 40), (string?)edge["authentication"]!["x509Thumbprint"]!["primaryThumbprint"]);
        var twin = await hub.JsonAsync("device-twin", "show", "-d", "st-leaf");
        Assert.Equal(("berlin", 2), ((string?)twin["tags"]!["site"], (int)twin["properties"]!["desired"]!["deep"]!["x"]![1]!));
        Assert.Equal("camera", (string?)(await hub.JsonAsync("module-twin", "show", "-d", "st-leaf", "-m", "m1"))["tags"]!["role"]);
        Assert.Equal("1.1", (string?)(await hub.JsonAsync("module-twin", "show", "-d", "st-edge", "-m", "$edgeAgent"))["properties"]!["desired"]!["schemaVersion"]);
    }

    [Fact]
    public async Task Export_IsWhatAzReads_AndImportsBack()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "se-edge", "--edge-enabled");
        await hub.JsonAsync("device-identity", "create", "-d", "se-leaf");
        await hub.JsonAsync("device-identity", "parent", "set", "-d", "se-leaf", "--pd", "se-edge");
        await hub.JsonAsync("module-identity", "create", "-d", "se-leaf", "-m", "m1");
        await hub.JsonAsync("device-twin", "update", "-d", "se-leaf", "--tags", """{"ort":"Köln"}""", "--desired", """{"n":1}""");
        var before = await hub.JsonAsync("device-identity", "show", "-d", "se-leaf");
        var file = Path.Combine(_folder, "out.json");

        var written = await hub.JsonAsync("export", "azure", "--state", file);

        Assert.Equal(0, (int)written["withoutKeys"]!);
        var leaf = JsonNode.Parse(File.ReadAllText(file))!["devices"]!["se-leaf"]!;
        Assert.Equal(("se-edge", "sas", "enabled", "Köln", 1), ((string?)leaf["parent"], (string?)leaf["identity"]!["authentication"]!["type"], (string?)leaf["identity"]!["status"], (string?)leaf["twin"]!["tags"]!["ort"], (int)leaf["twin"]!["properties"]!["desired"]!["n"]!));
        Assert.Equal(false, (bool?)leaf["identity"]!["capabilities"]!["iotEdge"]);
        Assert.Null(leaf["twin"]!["properties"]!["reported"]);
        Assert.Null(leaf["twin"]!["properties"]!["desired"]!["$version"]);
        Assert.Null(leaf["identity"]!["deviceId"]);
        Assert.NotNull(leaf["modules"]!["m1"]!["identity"]!["authentication"]!["symmetricKey"]!["primaryKey"]);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));

        await hub.RunAsync("device-identity", "delete", "-d", "se-leaf", "-y");
        var outcomes = (await hub.JsonAsync("import", "azure", "--state", file)).AsArray();
        Assert.DoesNotContain(outcomes, outcome => (string?)outcome!["result"] == "cannot");
        var after = await hub.JsonAsync("device-identity", "show", "-d", "se-leaf");
        Assert.Equal((string?)before["authentication"]!["symmetricKey"]!["primaryKey"], (string?)after["authentication"]!["symmetricKey"]!["primaryKey"]);
        Assert.Equal((string?)before["parentScopes"]![0], (string?)after["parentScopes"]![0]);
        Assert.Equal("Köln", (string?)(await hub.JsonAsync("device-twin", "show", "-d", "se-leaf"))["tags"]!["ort"]);
    }

    [Theory]
    [InlineData("", "not JSON")]
    [InlineData("[]", "no JSON object")]
    [InlineData("7", "no JSON object")]
    [InlineData("{\"devices\":{\"a\":{\"identity\":{}", "not JSON")]
    [InlineData("{\"devices\":{}", "not JSON")]
    [InlineData("{} {}", "not JSON")]
    [InlineData("{\"devices\":{\"a\":{\"twin\":{},\"twin\":{}}}}", "not JSON")]
    public async Task Import_OfNoStateFile_SaysSo(string text, string why)
    {
        var result = await hub.RunAsync("import", "azure", "--state", Write(text));

        Assert.Equal((1, ""), (result.Exit, result.Out));
        Assert.Contains(why, result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Import_OfAnotherForm_SaysSo()
    {
        var result = await hub.RunAsync("import", "azure", "--state", Write("""{"devices":[1],"configurations":[],"modules":{"a":[]},"something":1}"""));

        Assert.Equal(1, result.Exit);
        Assert.Equal(["cannot", "cannot", "cannot", "cannot"], JsonNode.Parse(result.Out)!.AsArray().Select(outcome => (string?)outcome!["result"]));
    }

    [Fact]
    public async Task Import_OfAFileThatIsRead_InPieces_IsTheSame()
    {
        // Longer than what is read at once, so that values are cut everywhere.
        var devices = string.Join(',', Enumerable.Range(0, 400).Select(n => $"\"sp-{n:000}\":{{\"identity\":{{\"status\":\"enabled\",\"authentication\":{{\"type\":\"sas\"}}}},\"twin\":{{\"tags\":{{\"n\":{n},\"t\":\"{new string('x', 600)}\"}}}}}}"));

        var outcomes = (await hub.JsonAsync("import", "azure", "--state", Write($"{{\"devices\":{{{devices}}}}}"))).AsArray();

        Assert.Equal(400, outcomes.Count(outcome => (string?)outcome!["result"] == "done"));
        Assert.Equal(399, (int)(await hub.JsonAsync("device-twin", "show", "-d", "sp-399"))["tags"]!["n"]!);
    }

    [Theory]
    [InlineData("import")]
    [InlineData("export")]
    public async Task Verb_WithBothFilesOrNone_IsWrongUsage(string verb)
    {
        Assert.Equal(2, (await hub.RunAsync(verb, "azure")).Exit);
        Assert.Equal(2, (await hub.RunAsync(verb, "azure", "--devices", "a", "--state", "b")).Exit);
    }

    private string Write(string text)
    {
        var path = Path.Combine(_folder, $"{Guid.NewGuid():N}.json");
        File.WriteAllText(path, text.Replace("KEY", Key, StringComparison.Ordinal));
        return path;
    }
}
