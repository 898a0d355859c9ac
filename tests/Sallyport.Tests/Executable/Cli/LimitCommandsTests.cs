using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

public sealed class LimitCommandsTests(CliHub hub) : IClassFixture<CliHub>
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Show_OfHubAndDevice_SaysWhatIsLeft()
    {
        var all = await hub.JsonAsync("limits", "show");
        var one = await hub.JsonAsync("limits", "show", "-d", "d1");

        Assert.Equal(["connections", "messages", "bytes", "registry operations"], all["hub"]!["levels"]!.AsArray().Select(level => (string?)level!["limit"]));
        Assert.True((int)all["admission"]!["handshakes"]! >= 1);
        Assert.Equal(("d1", 10_000, 0.0), ((string?)one["deviceId"], (int)one["device"]!["levels"]![1]!["perSecond"]!, (double)one["takeOverDelaySeconds"]!));
    }

    [Fact]
    public async Task IpFilter_AddMoveDelete_IsInForceAtOnce_AlsoForWhoIsConnected()
    {
        var elsewhere = IPAddress.Parse("127.0.0.2");
        using var connected = await ConnectAsync(elsewhere);
        await hub.JsonAsync("ip-filter", "add", "-n", "friends", "--network", "127.0.0.0/30", "--action", "allow");

        var added = await hub.JsonAsync("ip-filter", "add", "-n", "thief", "--network", "127.0.0.2", "--action", "deny");
        Assert.Equal(["friends", "thief"], Names(added));
        Assert.False(await IsClosedAsync(elsewhere));

        var moved = await hub.JsonAsync("ip-filter", "move", "-n", "thief", "--position", "1");
        Assert.Equal(["thief", "friends"], Names(moved));
        await ExpectClosedAsync(connected);
        Assert.True(await IsClosedAsync(elsewhere));
        Assert.False(await IsClosedAsync(IPAddress.Loopback));

        Assert.Equal(["friends"], Names(await hub.JsonAsync("ip-filter", "delete", "-n", "thief")));
        Assert.False(await IsClosedAsync(elsewhere));
        Assert.Equal(["friends"], Names(await hub.JsonAsync("ip-filter", "list")));
        Assert.Contains("There is no rule thief", (await hub.RunAsync("ip-filter", "delete", "-n", "thief")).Error);
        Assert.Contains("Network:", (await hub.RunAsync("ip-filter", "add", "-n", "x", "--network", "127.0.0.1/64", "--action", "deny")).Error);
    }

    private static IEnumerable<string?> Names(JsonNode rules) => rules.AsArray().Select(rule => (string?)rule!["name"]);

    private async Task<TcpClient> ConnectAsync(IPAddress from)
    {
        var tcp = new TcpClient(new IPEndPoint(from, 0));
        await tcp.ConnectAsync(IPAddress.Loopback, hub.Hub.Endpoints.MqttsPort!.Value, Cancel);
        return tcp;
    }

    // True: before TLS.
    private async Task<bool> IsClosedAsync(IPAddress from)
    {
        try
        {
            using var tcp = await ConnectAsync(from);
            await using var tls = new SslStream(tcp.GetStream());
            var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            trust.CustomTrustStore.ImportFromPemFile(hub.Hub.Endpoints.CaFile!);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = trust }, Cancel);
            return false;
        }
        catch (Exception reset) when (reset is IOException or SocketException)
        {
            return true;
        }
    }

    private static async Task ExpectClosedAsync(TcpClient tcp)
    {
        try
        {
            Assert.Equal(0, await tcp.GetStream().ReadAsync(new byte[1], Cancel));
        }
        catch (IOException reset)
        {
            Assert.IsType<SocketException>(reset.InnerException);
        }
    }
}
