using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
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
    public async Task Operator_LimitedByTag_ReadsWhoHasIt_AndKeepsThemTagged()
    {
        using var directory = new TemporaryDirectory();
        var file = directory["dora.login"];
        foreach (var id in (string[])["tag-1", "tag-2"])
        {
            await hub.JsonAsync("device-identity", "create", "-d", id);
            await hub.SendAsync(id, $"\"{id}\"");
        }

        await hub.JsonAsync("device-twin", "update", "-d", "tag-1", "--tags", """{"location":{"site":"dorado"}}""");
        var created = await hub.JsonAsync(
            "operator", "create", "-n", "dora", "--permissions", "registry-read", "telemetry-read", "twin-read", "twin-write", "--device-tag", "location.site=dorado", "--credential-file", file);
        var events = await hub.RunAsync("monitor-events", "--et", "0", "--message-count", "1", "--login-file", file);
        var devices = await hub.RunAsync("device-identity", "list", "--login-file", file);
        var other = await hub.RunAsync("device-identity", "show", "-d", "tag-2", "--login-file", file);
        var away = await hub.RunAsync("device-twin", "update", "-d", "tag-1", "--tags", """{"location":null}""", "--login-file", file);

        Assert.Equal("""["location.site=dorado"]""", created["deviceTags"]!.ToJsonString());
        Assert.Equal((0, ""), (events.Exit, events.Error));
        Assert.Contains("tag-1", events.Out);
        Assert.Equal("tag-1", (string?)Assert.Single(JsonNode.Parse(devices.Out)!.AsArray())!["deviceId"]);
        Assert.Equal((1, 1), (other.Exit, away.Exit));
        Assert.Contains("location.site: rights are limited by this tag", away.Error);
        Assert.Contains("location.site=dorado", (await hub.RunAsync("operator", "list", "-o", "table")).Out);
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
    public async Task Operator_WithACertificate_DoesEverythingWithIt_UntilDisabled()
    {
        using var directory = new TemporaryDirectory();
        var (certificate, key, login) = (directory["carol.crt"], directory["carol.key"], directory["carol.login"]);
        Write(certificate, key, out var thumbprint);
        await File.WriteAllTextAsync(login, "HostName=localhost;ClientCertificate=carol.crt;ClientKey=carol.key\n", TestContext.Current.CancellationToken);

        var created = await hub.JsonAsync("operator", "create", "-n", "carol", "--rights", "RegistryWrite", "access-manage", "telemetry-read", "--certificate", certificate);
        Assert.Equal((thumbprint, "enabled", null), ((string?)created["certificateThumbprint"], (string?)created["status"], (string?)created["key"]));

        string[] shown = ["--client-certificate", certificate, "--client-key", key];
        Assert.Equal((0, ""), Ended(await hub.RunAsync(["device-identity", "create", "-d", "carols", .. shown])));
        Assert.Contains("carols", (await hub.RunAsync("device-identity", "list", "--login-file", login)).Out);
        Assert.Contains("certificateThumbprint", (await hub.RunAsync(["operator", "show", "-n", "carol", .. shown])).Out);
        await hub.SendAsync("carols", "1");
        Assert.Contains("carols", (await hub.RunAsync(["monitor-events", "--et", "0", "-d", "carols", "--message-count", "1", .. shown])).Out);
        Assert.Equal((0, ""), Ended(await hub.RunAsync(["generate-sas-token", "-d", "carols", .. shown])));
        Assert.Contains("A certificate signs no tokens", (await hub.RunAsync(["generate-sas-token", .. shown])).Error);
        Assert.Contains($"certificate {certificate} does not hold the right that this needs", (await hub.RunAsync(["connection", "list", .. shown])).Error);

        // Elsewhere, without the hub's data directory.
        var remote = await CliResult.OfAsync(
            ["device-identity", "show", "-d", "carols", "--hub", "localhost", "--https-port", hub.Hub.Endpoints.HttpsPort.ToString(System.Globalization.CultureInfo.InvariantCulture), "--ca-file", hub.Hub.Endpoints.CaFile!, .. shown]);
        Assert.Equal((0, ""), Ended(remote));

        await hub.JsonAsync("operator", "update", "-n", "carol", "--status", "disabled");
        var refused = await hub.RunAsync(["device-identity", "list", .. shown]);
        Assert.Equal(1, refused.Exit);
        Assert.Contains($"(IotHubUnauthorized): check that an operator is registered with certificate {certificate}, is enabled, and has not ended.", refused.Error);
        await hub.JsonAsync("operator", "update", "-n", "carol", "--status", "enabled");
        Assert.Equal((0, ""), Ended(await hub.RunAsync(["device-identity", "list", .. shown])));

        static (int, string) Ended(CliResult result) => (result.Exit, result.Error);
    }

    [Fact]
    public async Task Operator_ByThumbprint_AsOpenSslPrintsIt_AndTheCertificateOfAnother_IsRefused()
    {
        using var directory = new TemporaryDirectory();
        Write(directory["c.crt"], directory["c.key"], out var thumbprint);
        var printed = "sha256 Fingerprint=" + string.Join(':', thumbprint.Chunk(2).Select(pair => new string(pair)));

        var created = await hub.JsonAsync("operator", "create", "-n", "dave", "--rights", "registry-read", "--thumbprint", printed, "--valid-for", "1");

        Assert.Equal(thumbprint, (string?)created["certificateThumbprint"]);
        Assert.Equal(0, (await hub.RunAsync("device-identity", "list", "--client-certificate", directory["c.crt"], "--client-key", directory["c.key"])).Exit);
        Assert.Contains("(Conflict)", (await hub.RunAsync("operator", "create", "-n", "erin", "--rights", "registry-read", "--certificate", directory["c.crt"])).Error);
    }

    [Fact]
    public async Task ClientKey_OpenToOthersOrUnusable_IsNotUsed()
    {
        using var directory = new TemporaryDirectory();
        var (certificate, key) = (directory["c.crt"], directory["c.key"]);
        Write(certificate, key, out _);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);

        Assert.Contains($"The key {key} is open to other users of this machine", (await hub.RunAsync("device-identity", "list", "--client-certificate", certificate, "--client-key", key)).Error);
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Assert.Contains("cannot be used", (await hub.RunAsync("device-identity", "list", "--client-certificate", key, "--client-key", key)).Error);
        Assert.Contains("cannot be used", (await hub.RunAsync("device-identity", "list", "--client-certificate", directory["missing"], "--client-key", key)).Error);
    }

    [Theory]
    [InlineData("operator create -n x --rights twin-read", "Give one of --credential-file, --certificate and --thumbprint.")]
    [InlineData("operator renew -n x --thumbprint 00 --cf f", "Give one of --credential-file, --certificate and --thumbprint.")]
    [InlineData("status --client-key f", "--client-key and --hub need --client-certificate.")]
    [InlineData("status --client-certificate f --login-file f", "Give one of --login, --login-file and --client-certificate.")]
    [InlineData("status --login HostName=localhost;ClientCertificate=f;SharedAccessKey=eA==", "a login by certificate has each of")]
    public async Task Credential_SaidWrongly_IsWrongUsage(string call, string expected)
    {
        var result = await hub.RunAsync(call.Split(' '));

        Assert.Equal(2, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    private static void Write(string certificate, string key, out string thumbprint)
    {
        using var pair = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var made = new CertificateRequest("CN=somebody", pair, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(30));
        File.WriteAllText(certificate, made.ExportCertificatePem());
        File.WriteAllText(key, pair.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(key, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        thumbprint = made.GetCertHashString(HashAlgorithmName.SHA256);
    }

    [Fact]
    public async Task Advice_BeforeTheDaysAreOver_SaysHowLongItHasWatched()
    {
        var advice = await hub.RunAsync("policy", "advise", "--unused-for", "30", "-o", "table");

        Assert.Contains("observed for 0 of 30 days", advice.Out);
    }
}
