using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Client.Service;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Up;

/// <summary>The program as it is started, asked and stopped.</summary>
public sealed class UpProcessTests : IDisposable
{
    private readonly TemporaryDirectory _home = new();

    private string Data => Path.Combine(_home.Path, "sallyport", "data");

    public void Dispose() => _home.Dispose();

    [Fact]
    public async Task Up_Ready_AnswersWhereEndpointsFileSays()
    {
        await using var hub = await SallyportProcess.UpAsync(_home);
        var endpoints = EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!;

        Assert.Equal(WholeFile.OwnerOnly, File.GetUnixFileMode(EndpointsFile.PathIn(Data)));
        Assert.Equal("localhost", endpoints.HostName);
        using var owner = new ServiceClient(endpoints.OwnerConnectionString!, Options(endpoints));
        Assert.Empty(await owner.ListDevicesAsync());
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, endpoints.MqttsPort!.Value);
    }

    [Fact]
    public async Task Sigterm_StopsAndLeavesNoEndpoints()
    {
        await using var hub = await SallyportProcess.UpAsync(_home);

        hub.Signal("TERM");

        Assert.Equal(0, await hub.ExitAsync());
        Assert.False(File.Exists(EndpointsFile.PathIn(Data)));
        Assert.Contains("Stopped", hub.Error);
    }

    [Fact]
    public async Task SecondSignal_WhileARequestIsBeingWaitedFor_EndsAtOnce()
    {
        await using var hub = await SallyportProcess.UpAsync(_home);
        using var halfARequest = await ConnectAsync(EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!);
        await halfARequest.WriteAsync("POST /devices/d1/messages/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"u8.ToArray());

        // Not INT: a shell makes what it runs in the background ignore it.
        hub.Signal("TERM");
        await hub.Stopping;
        hub.Signal("TERM");

        Assert.Equal(143, await hub.ExitAsync());
    }

    [Fact]
    public async Task SecondStart_OnTheSameData_NamesTheFirst()
    {
        await using var hub = await SallyportProcess.UpAsync(_home);

        var (exitCode, output, error) = await SallyportProcess.RunAsync(_home, "up", "--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0");

        Assert.Equal(1, exitCode);
        Assert.Empty(output);
        Assert.Contains($"in use by process {hub.Id}", error);
    }

    [Fact]
    public async Task Restart_KeepsKeysAndCertificates()
    {
        await using (var first = await SallyportProcess.UpAsync(_home))
        {
            first.Signal("TERM");
            await first.ExitAsync();
        }

        var before = File.ReadAllText(Path.Combine(Data, "tls", "server.crt"));
        await using var again = await SallyportProcess.UpAsync(_home);

        Assert.Equal(before, File.ReadAllText(Path.Combine(Data, "tls", "server.crt")));
    }

    [Fact]
    public async Task OwnerRecover_OnAStoppedHub_RenewsTheOwnersKeys()
    {
        string old;
        await using (var hub = await SallyportProcess.UpAsync(_home))
        {
            old = EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!.OwnerConnectionString!;
            var running = await SallyportProcess.RunAsync(_home, "owner", "recover");
            Assert.Equal(1, running.ExitCode);
            Assert.Contains($"in use by process {hub.Id}", running.Error);
            hub.Signal("TERM");
            await hub.ExitAsync();
        }

        var (exitCode, output, _) = await SallyportProcess.RunAsync(_home, "owner", "recover");
        await using var again = await SallyportProcess.UpAsync(_home);
        var endpoints = EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!;

        Assert.Equal(0, exitCode);
        Assert.Equal(endpoints.OwnerConnectionString, output.Trim());
        using var refused = new ServiceClient(old, Options(endpoints));
        Assert.Equal(HttpStatusCode.Unauthorized, (await Assert.ThrowsAsync<ServiceException>(() => refused.ListDevicesAsync())).Status);
    }

    [Fact]
    public async Task DataVerify_OfAStoppedHub_FindsItSound()
    {
        await using (var hub = await SallyportProcess.UpAsync(_home))
        {
            hub.Signal("TERM");
            await hub.ExitAsync();
        }

        var (exitCode, output, error) = await SallyportProcess.RunAsync(_home, "data", "verify");

        Assert.True(exitCode == 0, output + error);
        Assert.StartsWith("sound: 4 partitions", output);
    }

    [Fact]
    public async Task CaExport_GivesTheRootThatSignedTheServer()
    {
        await using var hub = await SallyportProcess.UpAsync(_home);

        var (exitCode, pem, _) = await SallyportProcess.RunAsync(_home, "ca", "export");

        Assert.Equal(0, exitCode);
        Assert.Equal(File.ReadAllText(EndpointsFile.TryRead(EndpointsFile.PathIn(Data))!.CaFile!), pem);
    }

    [Fact]
    public async Task Production_WithNothingProvided_RefusesWithEveryReason()
    {
        var (exitCode, output, error) = await SallyportProcess.RunAsync(_home, "up", "--production", "--simulate", "2");

        Assert.Equal(1, exitCode);
        Assert.Empty(output);
        Assert.Contains("--tls-certificate FILE", error);
        Assert.Contains("--key-file FILE", error);
        Assert.Contains("--host NAME", error);
        Assert.Contains("--simulate", error);
        Assert.False(Directory.Exists(Data));
    }

    [Theory]
    [InlineData("up", "--nosuch")]
    [InlineData("nosuch")]
    [InlineData("up", "--https-port")]
    public async Task WrongUsage_EndsWith2AndSaysWhereToLook(params string[] arguments)
    {
        var (exitCode, output, error) = await SallyportProcess.RunAsync(_home, arguments);

        Assert.Equal(2, exitCode);
        Assert.Empty(output);
        Assert.Contains("--help", error);
    }

    [Fact]
    public async Task Settings_Wrong_AreAllToldAndNothingStarts()
    {
        var (exitCode, _, error) = await SallyportProcess.RunAsync(_home, "up", "--https-port", "x", "--bind", "nowhere");

        Assert.Equal(1, exitCode);
        Assert.Contains("Listeners:HttpsPort must be a whole number", error);
        Assert.Contains("Listeners:Bind must be an IP address", error);
        Assert.False(Directory.Exists(Data));
    }

    private static ServiceClientOptions Options(EndpointsFile endpoints) => new() { Port = endpoints.HttpsPort, CaFile = endpoints.CaFile };

    private static async Task<SslStream> ConnectAsync(EndpointsFile endpoints)
    {
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(endpoints.CaFile!);
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, endpoints.HttpsPort);
        var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = trust });
        return stream;
    }
}
