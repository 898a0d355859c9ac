using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Routing;
using Sallyport.Client.Device;
using Sallyport.Client.Service;
using Sallyport.Heads;
using Sallyport.Tests.Executable.Cli;

namespace Sallyport.Tests.Executable.Up;

/// <summary>Devices on 127.0.0.1, services on 127.0.0.2.</summary>
public sealed class ServiceBindTests : IAsyncLifetime
{
    private TestHub _hub = null!;

    [Fact]
    public async Task EveryRoute_IsServedInItsZoneAndNowhereElse()
    {
        var wrong = new List<string>();
        var zones = new HashSet<Zone>();
        foreach (var route in _hub.Host.Routes.OfType<RouteEndpoint>())
        {
            var zone = route.Metadata.GetMetadata<RequiredRights>()!.Zone;
            zones.Add(zone);
            var path = route.RoutePattern.Parameters.Aggregate(route.RoutePattern.RawText!, (text, part) => text.Replace($"{{{part.Name}}}", "nobody", StringComparison.Ordinal));
            foreach (var method in route.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"])
            {
                foreach (var (side, address, port) in Sides())
                {
                    var (status, answer) = await AskAsync(address, port, method, path);
                    var isThere = status != HttpStatusCode.NotFound || !answer.Contains("there is nothing at this path", StringComparison.Ordinal);
                    if (isThere != ((zone & side) != 0))
                        wrong.Add($"{method} {path} ({zone}) on the side of {side}: {(int)status}");
                }
            }
        }

        Assert.Empty(wrong);
        Assert.Equal([Zone.Devices, Zone.Services, Zone.All], zones.Order());
    }

    [Fact]
    public void Devices_AreServedTheirOwnRoutesAndHealthAlone() =>
        Assert.Equal(
            ["/$iothub/websocket", "/$servicebus/websocket", "/health/live", "/health/ready", "/uploads/{**blob}"],
            _hub.Host.Routes.OfType<RouteEndpoint>()
                .Where(route => route.Metadata.GetMetadata<RequiredRights>() is { AsDevice: false } required && required.Zone.HasFlag(Zone.Devices))
                .Select(route => route.RoutePattern.RawText!)
                .Order(StringComparer.Ordinal));

    [Fact]
    public async Task Requests_OnTheWrongSide_AreOnRecordOnceAndThenCounted()
    {
        for (var i = 0; i < 5; i++)
            Assert.Equal(HttpStatusCode.NotFound, (await AskAsync("127.0.0.1", _hub.Endpoints.HttpsPort, "GET", "/metrics")).Status);
        await _hub.StopAsync();

        var audit = string.Concat(Directory.GetFiles(Path.Combine(_hub.Data, "audit")).Select(File.ReadAllText));
        var lines = audit.Split('\n').Where(line => line.Contains("GET /metrics", StringComparison.Ordinal)).ToList();
        Assert.InRange(lines.Count, 1, 2);
        Assert.All(lines, line => Assert.Contains("not served on the address of devices", line));
    }

    [Fact]
    public async Task OwnClients_FindTheirSides()
    {
        Assert.Equal("127.0.0.2", _hub.Endpoints.ServiceAddress);
        using var owner = new ServiceClient(_hub.Endpoints.OwnerConnectionString!, new ServiceClientOptions
        {
            Address = _hub.Endpoints.ServiceAddress, Port = _hub.Endpoints.ServicePort!.Value, CaFile = _hub.Endpoints.CaFile,
        });
        var device = await owner.PutDeviceAsync("d1");
        await using var client = new DeviceClient(
            $"HostName=localhost;DeviceId=d1;SharedAccessKey={device["authentication"]!["symmetricKey"]!["primaryKey"]}",
            new DeviceClientOptions { Port = _hub.Endpoints.MqttsPort!.Value, CaFile = _hub.Endpoints.CaFile });
        await client.SendAsync(new TelemetryMessage(Encoding.UTF8.GetBytes("1")));

        // The command line reads the same file.
        var listed = await CliResult.OfAsync(["device-identity", "list", "--data", _hub.Data]);
        Assert.Equal((0, ""), (listed.Exit, listed.Error));
        Assert.Contains("\"d1\"", listed.Out);

        // Called by its address, the hub proves that too.
        using var byAddress = new ServiceClient(
            _hub.Endpoints.OwnerConnectionString!.Replace("HostName=localhost", "HostName=127.0.0.2", StringComparison.Ordinal),
            new ServiceClientOptions { Port = _hub.Endpoints.ServicePort!.Value, CaFile = _hub.Endpoints.CaFile });
        Assert.Equal("d1", (string?)(await byAddress.SendAsync(HttpMethod.Get, "devices/d1", cancel: TestContext.Current.CancellationToken))!["deviceId"]);
    }

    public async ValueTask InitializeAsync() => _hub = await TestHub.StartAsync(
        settings => settings with
        {
            Listeners = settings.Listeners with { Bind = "127.0.0.1", ServiceBind = "127.0.0.2" },
            // The stranger who asks for every route is answered to the end, however slow the machine.
            Limits = settings.Limits with { Backoff = settings.Limits.Backoff with { Failures = 10_000 } },
        });

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    private (Zone Side, string Address, int Port)[] Sides() =>
        [(Zone.Devices, "127.0.0.1", _hub.Endpoints.HttpsPort), (Zone.Services, "127.0.0.2", _hub.Endpoints.ServicePort!.Value)];

    // A socket of its own for each: the Host header is localhost on both sides.
    private async Task<(HttpStatusCode Status, string Answer)> AskAsync(string address, int port, string method, string path)
    {
        var cancel = TestContext.Current.CancellationToken;
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Parse(address), port, cancel);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.ImportFromPemFile(_hub.Endpoints.CaFile!);
        await using var tls = new SslStream(tcp.GetStream());
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = policy }, cancel);
        await tls.WriteAsync(Encoding.ASCII.GetBytes($"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), cancel);
        using var reader = new StreamReader(tls);
        var answer = await reader.ReadToEndAsync(cancel);
        return ((HttpStatusCode)int.Parse(answer.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture), answer);
    }
}
