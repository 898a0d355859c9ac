using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Many who may not come in, from many addresses, while somebody who may does.</summary>
public sealed class FloodTests : IAsyncDisposable
{
    private static readonly byte[] Refused = Packets.ConnAck(MqttConnectCode.NotAuthorized);
    private static readonly byte[] LetIn = Packets.ConnAck(MqttConnectCode.Accepted);

    private TestHub _hub = null!;
    private string _key = "";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Attackers_AThousandNamingD1_WhileItReconnects_DoNotKeepItOut()
    {
        await StartAsync(TimeProvider.System);
        var attackers = Parallel.ForEachAsync(
            Enumerable.Range(0, 1000), new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = Cancel },
            async (i, _) => Assert.Equal(Refused, await KnockAsync(IPAddress.Parse($"127.0.{1 + (i / 250)}.{1 + (i % 250)}"), "d1", WrongKey)));

        var reconnects = 0;
        do
        {
            Assert.Equal(LetIn, await KnockAsync(IPAddress.Loopback, "d1", _key));
            reconnects++;
        }
        while (!attackers.IsCompleted || reconnects < 3);

        await attackers;
    }

    [Fact]
    public async Task Address_ThatFailsBeyondItsFirstSecond_IsClosedBeforeTls_AndComesBackAfterItsBackoff()
    {
        var time = new StepTime(DateTimeOffset.UtcNow);
        await StartAsync(time);
        var attacker = IPAddress.Parse("127.0.0.66");
        for (var i = 0; i < 10; i++)
            Assert.Equal(Refused, await KnockAsync(attacker, "d1", WrongKey));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Refused, await KnockAsync(attacker, "d1", WrongKey));

        Assert.Null(await KnockAsync(attacker, "d1", WrongKey));
        Assert.Null(await KnockAsync(attacker, "d1", _key));
        Assert.Equal(LetIn, await KnockAsync(IPAddress.Loopback, "d1", _key));

        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(Refused, await KnockAsync(attacker, "d1", WrongKey));
        Assert.Null(await KnockAsync(attacker, "d1", WrongKey));
        time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal(LetIn, await KnockAsync(attacker, "d1", _key));
        Assert.Contains(await new TestDevices(_hub, time).RefusalsAsync(), refusal => refusal.Reason.StartsWith("429001 it fails again and again", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Nat_WithGoodAndBadDevices_LetsTheGoodOnesIn_WhateverTheBadOnesName()
    {
        var time = new StepTime(DateTimeOffset.UtcNow);
        await StartAsync(time);
        var nat = IPAddress.Parse("127.0.0.77");
        Assert.Equal(LetIn, await KnockAsync(nat, "d1", _key));
        for (var second = 0; second < 3; second++)
        {
            for (var i = 0; i < 10; i++)
                Assert.Equal(Refused, await KnockAsync(nat, "d1", WrongKey));
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(LetIn, await KnockAsync(nat, "d1", _key));
        Assert.Equal(Refused, await KnockAsync(nat, "d1", WrongKey));
    }

    private static string WrongKey => Convert.ToBase64String(new byte[32]);

    private async Task StartAsync(TimeProvider time)
    {
        _hub = await TestHub.StartAsync(settings => settings with { Limits = settings.Limits with { Quotas = settings.Limits.Quotas with { DeviceConnectionsPerSecond = 0 } } }, time);
        using var owner = _hub.Owner();
        _key = (string)(await owner.PutDeviceAsync("d1"))["authentication"]!["symmetricKey"]!["primaryKey"]!;
    }

    // The CONNACK; null when the socket was closed before TLS.
    private async Task<byte[]?> KnockAsync(IPAddress from, string id, string key)
    {
        try
        {
            using var tcp = new TcpClient(new IPEndPoint(from, 0));
            await tcp.ConnectAsync(IPAddress.Loopback, _hub.Endpoints.MqttsPort!.Value, Cancel);
            await using var tls = new SslStream(tcp.GetStream());
            var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            trust.CustomTrustStore.ImportFromPemFile(_hub.Endpoints.CaFile!);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = trust }, Cancel);
            var token = SharedAccessSignature.Create($"localhost/devices/{id}", key, DateTimeOffset.UtcNow.AddDays(1));
            await tls.WriteAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect(id, true, 60, $"localhost/{id}/?api-version=2021-04-12", token, null))), Cancel);
            var answer = new byte[4];
            await tls.ReadExactlyAsync(answer, Cancel).AsTask().WaitAsync(MqttTestClient.Patience, Cancel);
            return answer;
        }
        catch (Exception closed) when (closed is SocketException or IOException)
        {
            return null;
        }
    }
}
