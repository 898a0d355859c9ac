using System.Text.Json.Nodes;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Tests.Executable.Bounds;

namespace Sallyport.Tests.Executable.Cli;

/// <summary>A whole hub gets a new key while a device is connected.</summary>
public sealed class SecretsCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    private string KeyFile => Path.Combine(Path.GetDirectoryName(hub.Data)!, "key");

    [Fact]
    public async Task Rotate_OnARunningHub_LosesNoConnectionNoKeyAndNoProof()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "r1");
        var key = ConnectionString.Parse((string)(await hub.JsonAsync("device-identity", "connection-string", "show", "-d", "r1"))["connectionString"]!).SharedAccessKey!;
        await using var device = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "r1");
        await device.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));
        await device.PublishAsync("1");
        var before = await hub.JsonAsync("secrets", "show");
        var old = (string)before["keys"]![0]!["id"]!;
        var line = File.ReadAllText(KeyFile);

        var rotated = await hub.RunAsync("secrets", "rotate");

        Assert.Equal(0, rotated.Exit);
        Assert.Equal("finished", (string?)JsonNode.Parse(rotated.Out)!["state"]);
        Assert.Contains("secrets sealed anew", rotated.Error);
        await device.PublishAsync("2", 2);
        await using (var another = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT-WS", "r1"))
            await another.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));

        var after = await hub.JsonAsync("secrets", "show");
        var only = Assert.Single(after["keys"]!.AsArray())!;
        Assert.NotEqual(old, (string)only["id"]!);
        Assert.Equal((long)before["keys"]![0]!["seals"]!, (long)only["seals"]!);
        Assert.Equal([old], after["retired"]!.AsArray().Select(id => (string)id!));
        Assert.True((bool)after["isFinished"]!);
        Assert.NotEqual(line, File.ReadAllText(KeyFile));
        Assert.Equal(["secrets rotate", "secrets retire-key"], (await EntriesAsync()).Select(entry => (string)entry["action"]!));

        // Nothing of the old key is needed, by the hub or by those who check what it wrote.
        await hub.Hub.RestartAsync(async () =>
        {
            var verified = await CliResult.OfAsync(["data", "verify", "--data", hub.Data, "--key-file", KeyFile]);
            Assert.StartsWith("sound", verified.Out.Split('\n')[^2]);
            Assert.Equal(0, verified.Exit);
            Assert.Equal(0, (await CliResult.OfAsync(["audit", "verify", "--directory", Path.Combine(hub.Data, "audit"), "--key-file", KeyFile])).Exit);
        });
        await using var later = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "r1");
        await later.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));

        // One that somebody began by hand: the hub says so, and goes on.
        var own = File.ReadAllText(KeyFile);
        await hub.Hub.RestartAsync(() => File.WriteAllTextAsync(KeyFile, line.Replace(line[16..20], "AAAA", StringComparison.Ordinal) + own));
        Assert.Contains("rotation-unfinished", (await hub.RunAsync("security", "posture")).Out);
        Assert.False((bool)(await hub.JsonAsync("secrets", "show"))["isFinished"]!);
        Assert.Equal(0, (await hub.RunAsync("secrets", "rotate", "-o", "table")).Exit);
        Assert.DoesNotContain("rotation-unfinished", (await hub.RunAsync("security", "posture")).Out);
        Assert.Equal(2, (await hub.JsonAsync("secrets", "show"))["retired"]!.AsArray().Count);
    }

    [Fact]
    public async Task Rotate_WithoutTheRight_IsRefused()
    {
        using var service = new Sallyport.Client.Service.ServiceClient(
            hub.Hub.Endpoints.ServiceConnectionString!, new() { Port = hub.Hub.Endpoints.HttpsPort, CaFile = hub.Hub.Endpoints.CaFile });

        foreach (var (method, path) in new[] { (HttpMethod.Post, "manage/v1/secrets/rotate"), (HttpMethod.Get, "manage/v1/secrets"), (HttpMethod.Get, "manage/v1/secrets/rotation") })
        {
            var refused = await Assert.ThrowsAsync<Sallyport.Client.Service.ServiceException>(() => service.SendAsync(method, path));
            Assert.Equal(System.Net.HttpStatusCode.Unauthorized, refused.Status);
        }
    }

    private async Task<IReadOnlyList<JsonNode>> EntriesAsync()
    {
        var page = await hub.JsonAsync("audit", "list");
        var entries = page is JsonArray array ? array : page["entries"]!.AsArray();
        return [.. entries.Select(entry => entry!).Where(entry => ((string)entry["action"]!).StartsWith("secrets", StringComparison.Ordinal)).OrderBy(entry => (long)entry["sequence"]!)];
    }
}
