using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

/// <summary><c>import azure</c> and <c>export azure</c> against a whole hub.</summary>
public sealed class MovingTests(CliHub hub) : IClassFixture<CliHub>, IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    private readonly string _folder = Directory.CreateTempSubdirectory("sallyport-moving-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Import_OfWhatAnExportJobWrote_MakesIdentitiesWithKeysTwinsModulesAndScopes()
    {
        var file = Write(
            """{"id":"im-edge","eTag":"MA==","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=","secondaryKey":"YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="},"type":"sas"},"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://im-edge-638000000000000000"}""",
            """{"id":"im-leaf","eTag":"MQ==","status":"disabled","statusReason":"spare","authentication":{"symmetricKey":{"primaryKey":"KEY","secondaryKey":"Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M="},"type":"sas"},"deviceScope":"ms-azure-iot-edge://im-edge-638000000000000000","twinETag":"AAAAAAAAAAE=","tags":{"site":"berlin"},"properties":{"desired":{"n":1,"$metadata":{"$lastUpdated":"2026-01-01T00:00:00Z"},"$version":3},"reported":{"$metadata":{"$lastUpdated":"2026-01-01T00:00:00Z"},"$version":1}}}""",
            """{"id":"im-leaf","moduleId":"m1","eTag":"MQ==","authentication":{"type":"sas"},"tags":{"role":"camera"}}""");

        var outcomes = (await hub.JsonAsync("import", "azure", "--devices", file)).AsArray();

        Assert.Equal(["done", "done", "done"], outcomes.Select(outcome => (string?)outcome!["result"]));
        var edge = await hub.JsonAsync("device-identity", "show", "-d", "im-edge");
        var leaf = await hub.JsonAsync("device-identity", "show", "-d", "im-leaf");
        Assert.Equal((Key, "disabled", "spare"), ((string?)leaf["authentication"]!["symmetricKey"]!["primaryKey"], (string?)leaf["status"], (string?)leaf["statusReason"]));
        Assert.Equal((string?)edge["deviceScope"], (string?)leaf["parentScopes"]![0]);
        var twin = await hub.JsonAsync("device-twin", "show", "-d", "im-leaf");
        Assert.Equal(("berlin", 1), ((string?)twin["tags"]!["site"], (int)twin["properties"]!["desired"]!["n"]!));
        Assert.Equal("camera", (string?)(await hub.JsonAsync("module-twin", "show", "-d", "im-leaf", "-m", "m1"))["tags"]!["role"]);
    }

    [Fact]
    public async Task Import_SaysOfEachItemWhatBecameOfIt_AndDoesTheOthers()
    {
        var file = Write(
            """{"id":"ii-1","tags":{"a.b":1}}""",
            """{"id":"ii-2","properties":{"reported":{"battery":3}}}""",
            """{"id":"ii-3","importMode":"updateIfMatchETag","eTag":"MA=="}""",
            """{"id":"ii-4","deviceScope":"ms-azure-iot-edge://nobody-1"}""",
            "no JSON",
            "",
            """{"name":"ii-5"}""",
            """{"id":"ii-6"}""");

        var result = await hub.RunAsync("import", "azure", "--devices", file);

        Assert.Equal(1, result.Exit);
        Assert.StartsWith("4 of 7 cannot be taken over", result.Error, StringComparison.Ordinal);
        var outcomes = JsonNode.Parse(result.Out)!.AsArray();
        Assert.Equal(
            [("ii-1", "cannot"), ("ii-2", "differs"), ("ii-3", "cannot"), ("ii-4", "differs"), (null, "cannot"), (null, "cannot"), ("ii-6", "done")],
            outcomes.Select(outcome => ((string?)outcome!["deviceId"], (string?)outcome["result"])));
        Assert.Contains("a.b", (string?)outcomes[0]!["why"], StringComparison.Ordinal);
        Assert.Contains("line 5", (string?)outcomes[4]!["why"], StringComparison.Ordinal);
        Assert.Equal(1, (await hub.RunAsync("device-identity", "show", "-d", "ii-1")).Exit);
        Assert.Equal(0, (await hub.RunAsync("device-identity", "show", "-d", "ii-6")).Exit);
    }

    [Fact]
    public async Task Import_OfMoreThanARequestHolds_IsDoneWhole()
    {
        var large = new string('x', 3000);
        var file = Write([.. Enumerable.Range(0, 250).Select(n => """{"id":"many-N","tags":{"t":"T"}}""".Replace("N", $"{n:000}", StringComparison.Ordinal).Replace("\"T\"", $"\"{large}\"", StringComparison.Ordinal))]);

        var outcomes = (await hub.JsonAsync("import", "azure", "--devices", file)).AsArray();

        Assert.Equal(250, outcomes.Count(outcome => (string?)outcome!["result"] == "done"));
    }

    [Fact]
    public async Task Import_OfAFileThatIsNotThere_Fails_AndSaysSo()
    {
        var result = await hub.RunAsync("import", "azure", "--devices", Path.Combine(_folder, "missing.txt"));

        Assert.Equal((1, ""), (result.Exit, result.Out));
        Assert.Contains("missing.txt cannot be read", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Export_ThenImport_ChangesNothing()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "ex-1");
        await hub.JsonAsync("module-identity", "create", "-d", "ex-1", "-m", "m1");
        await hub.JsonAsync("device-twin", "update", "-d", "ex-1", "--tags", """{"site":"hamburg"}""");
        var before = await hub.JsonAsync("device-identity", "show", "-d", "ex-1");
        var file = Path.Combine(_folder, "out.txt");

        var written = await hub.JsonAsync("export", "azure", "--devices", file);
        var line = File.ReadLines(file).Select(text => JsonNode.Parse(text)!).Single(one => (string?)one["id"] == "ex-1" && one["moduleId"] is null);
        await hub.RunAsync("device-identity", "delete", "-d", "ex-1", "-y");
        var outcomes = (await hub.JsonAsync("import", "azure", "--devices", file)).AsArray();

        Assert.Equal(0, (int)written["withoutKeys"]!);
        Assert.Equal("hamburg", (string?)line["tags"]!["site"]);
        Assert.DoesNotContain(outcomes, outcome => (string?)outcome!["result"] == "cannot");
        var after = await hub.JsonAsync("device-identity", "show", "-d", "ex-1");
        Assert.Equal((string?)before["authentication"]!["symmetricKey"]!["primaryKey"], (string?)after["authentication"]!["symmetricKey"]!["primaryKey"]);
        Assert.Equal("hamburg", (string?)(await hub.JsonAsync("device-twin", "show", "-d", "ex-1"))["tags"]!["site"]);
        Assert.Equal(0, (await hub.RunAsync("module-identity", "show", "-d", "ex-1", "-m", "m1")).Exit);
    }

    [Fact]
    public async Task Export_ToAFileThatIsThere_LeavesItAsItIs()
    {
        var file = Write("mine");

        var result = await hub.RunAsync("export", "azure", "--devices", file);

        Assert.Equal(1, result.Exit);
        Assert.Contains("cannot be written", result.Error, StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(file).Trim());
    }

    private string Write(params string[] lines)
    {
        var path = Path.Combine(_folder, "devices.txt");
        File.WriteAllText(path, string.Join("\r\n", lines).Replace("KEY", Key, StringComparison.Ordinal) + "\r\n");
        return path;
    }
}
