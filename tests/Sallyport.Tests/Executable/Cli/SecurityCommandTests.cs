using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Text.Json.Nodes;
using Sallyport.Settings;

namespace Sallyport.Tests.Executable.Cli;

public sealed class SecurityCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Posture_OfADevelopmentHub_SaysSoWithFixes()
    {
        var report = await hub.JsonAsync("security", "posture");
        var table = await hub.RunAsync("security", "posture", "-o", "table");

        Assert.Equal("low", Level(report, "development-root"));
        Assert.Equal("low", Level(report, "owner-string-on-disk"));
        Assert.Equal("medium", Level(report, "key-file-beside-data")); // The test keeps it so.
        Assert.Null(Level(report, "open-without-production"));
        Assert.Contains("--tls-certificate FILE", table.Out);
        Assert.Equal(0, table.Exit);
    }

    [Theory]
    [InlineData("low", 1)]
    [InlineData("medium", 1)]
    [InlineData("critical", 0)]
    public async Task Posture_FailOn_IsTheExitCode(string level, int exit)
    {
        var result = await hub.RunAsync("security", "posture", "--fail-on", level);

        Assert.Equal(exit, result.Exit);
        Assert.Contains("\"findings\"", result.Out);
        if (exit != 0)
            Assert.Contains($"of level {level} or higher", result.Error);
    }

    [Fact]
    public async Task Posture_AfterAClientOfTls12_NamesItsAddress()
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync("localhost", hub.Hub.Endpoints.MqttsPort!.Value, TestContext.Current.CancellationToken);
        await using var tls = new SslStream(tcp.GetStream());
        await tls.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions
            {
                TargetHost = "localhost",
                EnabledSslProtocols = SslProtocols.Tls12,
#pragma warning disable CA5359 // Which version is spoken is all that is asked here.
                RemoteCertificateValidationCallback = (_, _, _, _) => true,
#pragma warning restore CA5359
            },
            TestContext.Current.CancellationToken);
        await tls.WriteAsync(new byte[] { 0xC0, 0x00 }, TestContext.Current.CancellationToken); // Answered with the end of the connection.
        while (await tls.ReadAsync(new byte[16], TestContext.Current.CancellationToken) > 0)
            continue;

        Assert.Equal("low", Level(await hub.JsonAsync("security", "posture"), "tls12-clients"));
    }

    [Fact]
    public async Task Posture_AfterTheOwnersTokenOnADevice_IsCritical()
    {
        // A hub of its own: the others look at one where nobody did so.
        var own = new CliHub();
        await own.InitializeAsync();
        try
        {
            await own.JsonAsync("device-identity", "create", "-d", "p1");
            await own.SendAsync("p1", "1");

            Assert.Equal("critical", Level(await own.JsonAsync("security", "posture"), "broad-policy-on-devices"));
        }
        finally
        {
            await own.DisposeAsync();
        }
    }

    [Fact]
    public async Task Posture_OfAnOpenHub_NamesWhatItsSettingsLoosen()
    {
        await using var open = await TestHub.StartAsync(settings => settings with
        {
            Listeners = settings.Listeners with { Bind = "0.0.0.0" },
            Registry = new RegistrySettings { InsecureSharedCredentials = new InsecureSwitch("alice", "old fleet", new DateOnly(9999, 1, 1)) },
        });
        using var owner = open.Owner();
        await owner.PutConnectionAsync(
            "warehouse", new JsonObject { ["kind"] = "sql", ["connectionString"] = "Host=localhost;Port=1;Username=u;Password=p;Database=d", ["table"] = "t" },
            TestContext.Current.CancellationToken);

        var report = (await owner.SendAsync(HttpMethod.Get, "manage/v1/posture", cancel: TestContext.Current.CancellationToken))!;

        Assert.Equal("high", Level(report, "open-without-production"));
        Assert.Equal("high", Level(report, "development-root"));
        Assert.Equal("medium", Level(report, "insecure-switch"));
        Assert.Equal("low", Level(report, "plain-connections"));
        Assert.Contains("Registry:InsecureSharedCredentials = alice; old fleet; 9999-01-01", report.ToJsonString());
    }

    private static string? Level(JsonNode report, string id) =>
        (string?)report["findings"]!.AsArray().SingleOrDefault(finding => (string?)finding!["id"] == id)?["level"];
}
