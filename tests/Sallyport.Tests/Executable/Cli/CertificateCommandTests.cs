using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Tests.Executable.Certificates;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Executable.Cli;

public sealed class CertificateCommandTests(CliHub hub) : IClassFixture<CliHub>, IDisposable
{
    private readonly TemporaryDirectory _files = new();
    private readonly TestAuthority _plant = TestAuthority.Root("plant", DateTimeOffset.UtcNow);

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task Authority_FromCreationToDeletion_ByProofOfPossession()
    {
        var created = await hub.JsonAsync("certificate", "create", "-n", "proved", "--path", Write("ca.crt", _plant.Pem), "--id-prefix", "p-");
        Assert.Equal((false, "CN=plant", "p-", "off"), Shown(created));

        var coded = await hub.JsonAsync("certificate", "generate-verification-code", "-n", "proved");
        using var proof = _plant.Leaf((string)coded["properties"]!["verificationCode"]!);
        var verified = await hub.JsonAsync("certificate", "verify", "-n", "proved", "--path", Write("proof.crt", proof.RawData), "--etag", (string)coded["etag"]!);
        Assert.True((bool)verified["properties"]!["isVerified"]!);
        Assert.Equal(_plant.Certificate.Thumbprint, (string?)verified["properties"]!["thumbprint"]);

        var revoking = await hub.JsonAsync("certificate", "revocation", "-n", "proved", "--mode", "hard-fail", "--path", Write("ca.crl", _plant.Revoke([proof])));
        Assert.Equal(("hard-fail", 1), ((string?)revoking["properties"]!["revocation"]!["mode"], (int)revoking["properties"]!["revocation"]!["revokedCount"]!));
        Assert.Equal("", (string?)(await hub.JsonAsync("certificate", "update", "-n", "proved", "--id-prefix", ""))["properties"]!["idPrefix"]);
        Assert.Equal("""["site=berlin"]""", (await hub.JsonAsync("certificate", "update", "-n", "proved", "--device-tag", "site=berlin"))["properties"]!["deviceTags"]!.ToJsonString());
        Assert.Contains("site=berlin", (await hub.RunAsync("certificate", "list", "-o", "table")).Out);
        Assert.Equal("[]", (await hub.JsonAsync("certificate", "update", "-n", "proved", "--device-tag", ""))["properties"]!["deviceTags"]!.ToJsonString());

        Assert.Contains("proved", (await hub.RunAsync("certificate", "list", "-o", "table")).Out);
        Assert.Contains("(PreconditionFailed)", (await hub.RunAsync("certificate", "delete", "-n", "proved", "-y", "--etag", (string)coded["etag"]!)).Error);
        Assert.Equal(1, (await hub.RunAsync("certificate", "delete", "-n", "proved")).Exit);
        Assert.Equal(0, (await hub.RunAsync("certificate", "delete", "-n", "proved", "-y")).Exit);
        Assert.Contains("(NotFound)", (await hub.RunAsync("certificate", "show", "-n", "proved")).Error);
    }

    [Fact]
    public async Task Authority_TrustedExplicitly_IsVerified_AndATakenNameIsRefused()
    {
        var path = Write("ca.crt", _plant.Certificate.RawData);

        Assert.True((bool)(await hub.JsonAsync("certificate", "create", "-n", "trusted", "-p", path, "--verified"))["properties"]!["isVerified"]!);
        Assert.Contains("(Conflict)", (await hub.RunAsync("certificate", "create", "-n", "trusted", "-p", path)).Error);
        Assert.Contains("--path", (await hub.RunAsync("certificate", "create", "-n", "other", "-p", _files["missing"])).Error);
    }

    [Fact]
    public async Task Revocation_ByAnAddressThatMayNotBeFetched_IsRefused()
    {
        await hub.JsonAsync("certificate", "create", "-n", "fetched", "-p", Write("ca.crt", _plant.Pem));

        Assert.Contains("https", (await hub.RunAsync("certificate", "revocation", "-n", "fetched", "--mode", "hard-fail", "--url", "http://pki.test/plant.crl")).Error);
        Assert.Contains("169.254.169.254", (await hub.RunAsync("certificate", "revocation", "-n", "fetched", "--mode", "hard-fail", "--url", "https://169.254.169.254/plant.crl")).Error);
        Assert.Contains("revocation list", (await hub.RunAsync("certificate", "revocation", "-n", "fetched", "--mode", "hard-fail")).Error);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("m1")]
    public async Task Issued_FromTheDevelopmentRoot_ItLetsTheDeviceIn(string? module)
    {
        var id = module is null ? "issued" : "issued-with-module";
        await hub.JsonAsync("device-identity", "create", "-d", id, "--am", "x509_ca");
        if (module is not null)
            await hub.JsonAsync("module-identity", "create", "-d", id, "-m", module, "--am", "x509_ca");

        var issued = await hub.JsonAsync([.. new[] { "cert", "issue", "-d", id, "--days", "7", "--output-dir", _files.Path }, .. module is null ? [] : new[] { "-m", module }]);

        var key = (string)issued["keyFile"]!;
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(key));
        using var leaf = X509Certificate2.CreateFromPemFile((string)issued["certificateFile"]!, key);
        await using var device = await new CertificateDevices(hub.Hub).OpenAsync("MQTT", id, new PresentedCertificate(leaf, []));
        Assert.Equal(Sallyport.Protocol.Mqtt.MqttConnectCode.Accepted, await device.ConnectByCertificateAsync(module));
        var anywhere = await hub.RunAsync("cert", "issue", "-d", id, "--output-dir", _files["nowhere"]);
        Assert.Equal(1, anywhere.Exit);
        Assert.DoesNotContain("PRIVATE", anywhere.Out + anywhere.Error);
    }

    private static (bool IsVerified, string? Subject, string? IdPrefix, string? Revocation) Shown(System.Text.Json.Nodes.JsonNode authority) => (
        (bool)authority["properties"]!["isVerified"]!, (string?)authority["properties"]!["subject"], (string?)authority["properties"]!["idPrefix"],
        (string?)authority["properties"]!["revocation"]!["mode"]);

    private string Write(string name, byte[] content)
    {
        File.WriteAllBytes(_files[name], content);
        return _files[name];
    }
}
