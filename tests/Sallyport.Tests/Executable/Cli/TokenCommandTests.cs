using System.Globalization;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Executable.Bounds;

namespace Sallyport.Tests.Executable.Cli;

/// <summary><c>token</c> and <c>device diagnose</c> against a running hub, with devices on real sockets.</summary>
public sealed class TokenCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Explain_OfAToken_SaysWhatItOpens_AndNeverPrintsIt()
    {
        var key = await RegisterAsync("explained");
        var token = Token("explained", key);

        var json = JsonNode.Parse((await hub.RunWithInputAsync(token, "token", "explain", "-")).Out)!;
        var table = await hub.RunWithInputAsync(token, "token", "explain", "-", "-o", "table");

        Assert.Equal(("Good.", "explained", "primary"), ((string?)json["verdict"], (string?)json["subject"], (string?)json["signedWith"]));
        Assert.Contains("connect as explained", table.Out);
        var signature = Uri.UnescapeDataString(token.Split("sig=")[1].Split('&')[0]);
        Assert.DoesNotContain(signature, json.ToJsonString() + table.Out);
        Assert.DoesNotContain(key, json.ToJsonString() + table.Out);
    }

    [Fact]
    public async Task Explain_OfATokenOnTheCommandLine_IsWrongUsage()
    {
        var result = await hub.RunAsync("token", "explain", "SharedAccessSignature sr=a");

        Assert.Equal(2, result.Exit);
        Assert.Contains("not the secret itself", result.Error);
    }

    [Theory]
    [InlineData("MQTT")]
    [InlineData("MQTT-WS")]
    public async Task Revoke_ByTheFingerprintThatDiagnoseShows_EndsTheLiveSession(string transport)
    {
        var id = $"revoked-{transport}";
        var key = await RegisterAsync(id);
        await using var device = await WireDevice.OpenAsync(hub.Hub.Endpoints, transport, id);
        var expires = DateTimeOffset.UtcNow.AddMinutes(30);
        await device.ConnectAsync(key, expires);
        var fingerprint = (string)(await hub.JsonAsync("device", "diagnose", id))["attempts"]![0]!["credential"]!;

        var revoked = await hub.RunAsync("token", "revoke", fingerprint[..16]);

        Assert.Equal(0, revoked.Exit);
        Assert.Contains("if the key leaked, renew it", revoked.Error);
        await device.ExpectClosedAsync();
        var diagnosis = await hub.JsonAsync("device", "diagnose", id);
        Assert.Contains("revoked", (string)diagnosis["attempts"]![0]!["reason"]!);
        Assert.False((bool)diagnosis["connected"]!);
        Assert.Contains(fingerprint, (await hub.RunAsync("token", "list", "-o", "table")).Out);

        // Another token of the same key is let in.
        await using var again = await WireDevice.OpenAsync(hub.Hub.Endpoints, transport, id);
        await again.ConnectAsync(key, expires.AddSeconds(1));
    }

    [Fact]
    public async Task Reset_OfADevice_SaysWhomItCutsOff_AndEndsTheLiveSession()
    {
        var key = await RegisterAsync("reset");
        await using var device = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "reset");
        await device.ConnectAsync(key, DateTimeOffset.UtcNow.AddMinutes(30));

        var unconfirmed = await hub.RunAsync("token", "reset", "reset", "--lifetime", "7200");
        await device.ExpectAliveAsync();
        var done = await hub.RunAsync("token", "reset", "reset", "--lifetime", "7200", "--yes");

        Assert.Equal((1, 0), (unconfirmed.Exit, done.Exit));
        Assert.Contains("reset is cut off until it shows a token that ends after", unconfirmed.Error);
        Assert.Contains("It is connected now; that session ends.", unconfirmed.Error);
        Assert.Contains("If its key leaked, renew the key instead", unconfirmed.Error);
        await device.ExpectClosedAsync();
        await using var later = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "reset");
        await later.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(3));
    }

    [Fact]
    public async Task Diagnose_OfTwoThatTakeTheIdentityFromEachOther_NamesBothAddresses()
    {
        var key = await RegisterAsync("duel");
        var devices = new List<WireDevice>();
        for (var i = 0; i < 5; i++)
        {
            devices.Add(await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "duel"));
            await devices[^1].ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));
        }

        var diagnosis = await hub.JsonAsync("device", "diagnose", "-d", "duel");
        var table = await hub.RunAsync("device", "diagnose", "duel", "-o", "table");
        foreach (var device in devices)
            await device.DisposeAsync();

        Assert.Equal(4, (long)Assert.Single(diagnosis["duels"]!.AsArray())!["takeOvers"]!);
        Assert.StartsWith("Two ends take the identity from each other: ", table.Out);
        Assert.Contains("the same identity connected again from", table.Out);
    }

    [Fact]
    public async Task Diagnose_OfANameThatDoesNotExist_SaysWhatStrangersTried()
    {
        await using var stranger = await WireDevice.OpenAsync(hub.Hub.Endpoints, "MQTT", "ghost");
        await Assert.ThrowsAnyAsync<Exception>(() => stranger.ConnectAsync(Convert.ToBase64String(new byte[32]), DateTimeOffset.UtcNow.AddHours(1)));

        var diagnosis = await hub.JsonAsync("device", "diagnose", "ghost");
        var strangers = await hub.JsonAsync("device", "diagnose");

        Assert.False((bool)diagnosis["registered"]!);
        Assert.Equal(("refused", 401003, "there is no such device"), ((string)diagnosis["attempts"]![0]!["outcome"]!, (int)diagnosis["attempts"]![0]!["code"]!, (string)diagnosis["attempts"]![0]!["reason"]!));
        Assert.Contains(strangers.AsArray(), attempt => (string?)attempt!["subject"] == "ghost");
    }

    [Fact]
    public async Task Diagnose_AfterADeviceToldItsTimeInADateHeader_EstimatesTheSkew()
    {
        var key = await RegisterAsync("late");
        await using var tls = await WireDevice.TlsAsync(hub.Hub.Endpoints, hub.Hub.Endpoints.HttpsPort);
        var date = DateTimeOffset.UtcNow.AddHours(-1).ToString("R", CultureInfo.InvariantCulture);
        var expired = SharedAccessSignature.Create("localhost/devices/late", key, DateTimeOffset.UtcNow.AddMinutes(-40));
        await tls.WriteAsync(System.Text.Encoding.ASCII.GetBytes(
            $"POST /devices/late/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\nAuthorization: {expired}\r\n\r\n"), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(tls);
        await reader.ReadToEndAsync(TestContext.Current.CancellationToken);

        var diagnosis = await hub.JsonAsync("device", "diagnose", "late");

        Assert.InRange((double)diagnosis["clockSkewSeconds"]!, -3660, -3540);
        Assert.StartsWith("the token expired at", (string)diagnosis["attempts"]![0]!["reason"]!);
    }

    /// <summary>The other two ends of a live session: what the registry takes away.</summary>
    [Theory]
    [InlineData("MQTT", "renewed")]
    [InlineData("MQTT", "disabled")]
    [InlineData("MQTT", "deleted")]
    [InlineData("MQTT-WS", "renewed")]
    [InlineData("MQTT-WS", "disabled")]
    [InlineData("MQTT-WS", "deleted")]
    public async Task Identity_ThatIsChanged_LosesItsLiveSession(string transport, string change)
    {
        var id = $"{change}-{transport}";
        var key = await RegisterAsync(id);
        await using var device = await WireDevice.OpenAsync(hub.Hub.Endpoints, transport, id);
        await device.ConnectAsync(key, DateTimeOffset.UtcNow.AddHours(1));

        var done = change switch
        {
            "renewed" => await hub.RunAsync("device-identity", "renew-key", "-d", id, "--key-type", "both"),
            "disabled" => await hub.RunAsync("device-identity", "update", "-d", id, "--status", "disabled"),
            _ => await hub.RunAsync("device-identity", "delete", "-d", id, "--yes"),
        };

        Assert.Equal(0, done.Exit);
        await device.ExpectClosedAsync();
        Assert.Contains(
            change switch { "renewed" => "its credential was changed", "disabled" => "the device was disabled", _ => "the device was deleted" },
            string.Join('\n', (await hub.JsonAsync("device", "diagnose", id))["attempts"]!.AsArray().Select(attempt => (string?)attempt!["reason"])));
    }

    [Fact]
    public async Task EventStream_WhoseTokenIsRevoked_Ends()
    {
        var policy = await hub.JsonAsync("policy", "create", "-n", "watcher", "--permissions", "telemetry-read");
        var token = SharedAccessSignature.Create("localhost", (string)policy["primaryKey"]!, DateTimeOffset.UtcNow.AddHours(1), "watcher");
        await using var tls = await WireDevice.TlsAsync(hub.Hub.Endpoints, hub.Hub.Endpoints.HttpsPort);
        await tls.WriteAsync(System.Text.Encoding.ASCII.GetBytes(
            $"GET /manage/v1/events?positions= HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n"), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(tls);
        while (!(await reader.ReadLineAsync(TestContext.Current.CancellationToken))!.Contains("\"start\"", StringComparison.Ordinal))
            continue;

        Assert.Equal(0, (await hub.RunWithInputAsync(token, "token", "revoke", "-")).Exit);

        Assert.Contains("the token was revoked", await reader.ReadToEndAsync(TestContext.Current.CancellationToken));
    }

    private static string Token(string id, string key) => SharedAccessSignature.Create($"localhost/devices/{id}", key, DateTimeOffset.UtcNow.AddHours(1));

    private async Task<string> RegisterAsync(string id) =>
        (string)(await hub.JsonAsync("device-identity", "create", "-d", id))["authentication"]!["symmetricKey"]!["primaryKey"]!;
}
