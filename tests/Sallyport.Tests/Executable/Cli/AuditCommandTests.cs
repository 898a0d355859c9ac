using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

public sealed class AuditCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    private string Trail => Path.Combine(hub.Data, "audit");

    private string Key => Path.Combine(Path.GetDirectoryName(hub.Data)!, "key");

    [Fact]
    public async Task List_ByTarget_ShowsTheActNewestFirst_AndIsItselfThere()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "listed-1");
        await hub.RunAsync("device-identity", "delete", "-d", "listed-1", "-y");

        var acts = (await hub.JsonAsync("audit", "list", "--target", "listed-*")).AsArray();
        var reads = (await hub.JsonAsync("audit", "list", "--action", "audit list")).AsArray();

        Assert.Equal(["device delete", "device create"], acts.Select(act => act!["action"]!.GetValue<string>()));
        Assert.All(acts, act => Assert.Equal("policy:iothubowner", act!["principal"]!.GetValue<string>()));
        Assert.Contains(reads, read => read!["target"]!.GetValue<string>() == "target=listed-*");
    }

    [Fact]
    public async Task List_MoreThanAPage_GoesOn()
    {
        for (var number = 0; number < 12; number++)
            await hub.RunAsync("policy", "show", "-n", $"nobody-{number}");
        foreach (var top in (string[])["5", "0"])
        {
            var all = (await hub.JsonAsync("audit", "list", "--top", top)).AsArray();
            var sequences = all.Select(entry => entry!["sequence"]!.GetValue<long>()).ToList();
            Assert.Equal(sequences.OrderDescending(), sequences);
            Assert.Equal(sequences.Distinct().Count(), sequences.Count);
            if (top == "5")
                Assert.Equal(5, sequences.Count);
            else
                Assert.Equal(1, sequences[^1]);
        }
    }

    [Fact]
    public async Task Export_IsEveryLineAsItIsInTheFile()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "exported-1");

        var result = await hub.RunAsync("audit", "export");

        Assert.Equal("", result.Error);

        Assert.Equal(0, result.Exit);
        var lines = result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var file = await File.ReadAllTextAsync(Path.Combine(Trail, "audit-00000001.jsonl"), TestContext.Current.CancellationToken);
        Assert.All(lines, line => Assert.Contains(line + "\n", file, StringComparison.Ordinal));

        // Each follows the one before it, as whoever reads the format can check.
        for (var i = 1; i < lines.Length; i++)
        {
            var body = lines[i][..lines[i].IndexOf(",\"hash\":", StringComparison.Ordinal)];
            var previous = Convert.FromHexString(JsonNode.Parse(lines[i - 1])!["hash"]!.GetValue<string>());
            Assert.Equal(JsonNode.Parse(lines[i])!["hash"]!.GetValue<string>(), Convert.ToHexStringLower(SHA256.HashData([.. previous, .. Encoding.UTF8.GetBytes(body)])));
        }
    }

    [Fact]
    public async Task Verify_OfARunningHub_IsSoundBothWays()
    {
        var anchors = Path.Combine(hub.Data, "..", "anchors.jsonl");
        var anchor = await hub.RunAsync("audit", "anchor");
        await File.WriteAllTextAsync(anchors, anchor.Out, TestContext.Current.CancellationToken);

        var online = await hub.JsonAsync("audit", "verify", "--anchor", anchors);
        var offline = await CliResult.OfAsync(["audit", "verify", "--directory", Trail, "--key-file", Key, "--anchor", anchors]);

        Assert.Empty(online["findings"]!.AsArray());
        Assert.Equal(1, online["anchors"]!.GetValue<int>());
        Assert.Equal("", offline.Error);
        Assert.Equal(0, offline.Exit);
        Assert.Equal(1, JsonNode.Parse(offline.Out)!["anchors"]!.GetValue<int>());
    }

    [Theory]
    [InlineData("--key-file")]
    [InlineData(null)]
    public async Task Verify_OfAChangedCopy_SaysWhichLine_AndFails(string? withKey)
    {
        using var copy = new TemporaryDirectory();
        var text = await File.ReadAllTextAsync(Path.Combine(Trail, "audit-00000001.jsonl"), TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(copy["audit-00000001.jsonl"], text.Replace("registryReadWrite", "registryReadWrits", StringComparison.Ordinal), TestContext.Current.CancellationToken);

        var result = await CliResult.OfAsync(["audit", "verify", "--directory", copy.Path, "-o", "table", .. withKey is null ? Array.Empty<string>() : [withKey, Key]]);

        Assert.Equal(1, result.Exit);
        Assert.Contains("Changed", result.Out, StringComparison.Ordinal);
        Assert.Contains("audit-00000001.jsonl", result.Out, StringComparison.Ordinal);
        Assert.Contains("Not excluded:", result.Out, StringComparison.Ordinal);
        Assert.Contains("The audit trail is not what was written (1 findings)", result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("There is no audit trail in", "audit", "verify", "--directory", "/nowhere")]
    [InlineData("There is no audit trail in", "audit", "anchor", "--directory", "/nowhere")]
    [InlineData("--anchor: /nowhere/anchors cannot be read", "audit", "verify", "--directory", "/", "--anchor", "/nowhere/anchors")]
    public async Task Verb_WithWhatIsNotThere_SaysSo(string message, params string[] arguments)
    {
        var result = await CliResult.OfAsync(arguments);

        Assert.Equal(1, result.Exit);
        Assert.StartsWith(message, result.Error, StringComparison.Ordinal);
    }
}
