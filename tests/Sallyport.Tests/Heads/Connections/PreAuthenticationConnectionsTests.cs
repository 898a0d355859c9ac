using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Limits;
using Sallyport.Tests.Client;
using Sallyport.Tests.Heads.Mqtt;

namespace Sallyport.Tests.Heads.Connections;

/// <summary>What strangers may use, on real sockets under TLS. Behind it, "hello" authenticates, and everything is said back.</summary>
public sealed class PreAuthenticationConnectionsTests : IAsyncLifetime
{
    private static readonly IPAddress Elsewhere = IPAddress.Parse("127.0.0.2");

    // The head of a TLS record of 16 KiB, which the other side waits for.
    private static readonly byte[] BeginOfARecord = [0x16, 0x03, 0x01, 0x40, 0x00];

    private readonly TestCertificates _certificates = new("localhost");
    private readonly StepTime _time = new();
    private readonly NotedRefusals _audit = new();
    private readonly PreAuthenticationLimits _limits = new(new ConnectionLimitsOptions
    {
        MaxConnections = 3,
        MaxHandshakes = 1,
        MaxConnectionsPerAddress = 2,
        MaxBytesPerConnection = 6000,
        MaxBytesPerAddress = 10_000,
        MaxBytes = 12_000,
    });

    private readonly ConcurrentQueue<bool> _wereOnHandshakeThreads = new();
    private WebApplication _server = null!;
    private int _port;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Any, 0, listen =>
        {
            listen.UsePreAuthenticationLimits(_limits, _audit, _time);
            listen.UseHttps(_certificates.Server);
            listen.Run(EchoAsync);
        }));
        _server = builder.Build();
        await _server.StartAsync(Cancel);
        _port = new Uri(_server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _limits.Dispose();
        _certificates.Dispose();
    }

    public static TheoryData<string, byte[]> Silences() => new()
    {
        { "nothing", [] },
        { "half a ClientHello", [.. BeginOfARecord, 0x01, 0x00, 0x3f, 0xfc, 0x03, 0x03] },
    };

    [Theory]
    [MemberData(nameof(Silences))]
    public async Task Handshake_NotDoneAtTheDeadline_IsCutOff_AndNobodyElse(string sent, byte[] bytes)
    {
        await using var other = await AuthenticatedAsync();
        using var slow = await ConnectAsync();
        await slow.GetStream().WriteAsync(bytes, Cancel);
        await _time.WaitBeganAsync(_limits.Options.HandshakeDeadline, _limits.Options.HandshakeDeadline);

        _time.Advance(_limits.Options.HandshakeDeadline - TimeSpan.FromMilliseconds(1));
        Assert.Empty(_audit.Entries);
        _time.Advance(TimeSpan.FromMilliseconds(1));

        await ExpectClosedAsync(slow.GetStream());
        Assert.True(("anonymous", "refused", "404104 no authentication within 10 s") == Single(), sent);
        await ExpectEchoAsync(other);
    }

    [Fact]
    public async Task Strangers_WhenTheHandshakesHaveNoTime_Wait_AndWhoIsLetInDoesNot()
    {
        await using var other = await AuthenticatedAsync();
        using var busy = new ManualResetEventSlim();
        var occupation = OccupyAsync();
        using var tcp = await AcceptedAsync();
        var stranger = HandshakeAsync(tcp);
        while (_limits.Handshakes.Waiting == 0)
            await Task.Yield();

        for (var i = 0; i < 3; i++)
            await ExpectEchoAsync(other);
        Assert.False(stranger.IsCompleted);

        busy.Set();
        await occupation;
        await using var known = await stranger;
        await ExpectEchoAsync(known);

        async Task OccupyAsync()
        {
            await _limits.Handshakes.Turn();
            busy.Wait(Cancel);
        }
    }

    [Fact]
    public async Task Stranger_IsHeardOnTheHandshakesThreads_AndOnThePoolOnceItIsLetIn()
    {
        await using var device = await AuthenticatedAsync();
        await ExpectEchoAsync(device);
        await ExpectEchoAsync(device);
        Assert.Equal([true, false, false], _wereOnHandshakeThreads);
    }

    [Fact]
    public async Task Handshake_HalfSent_HoldsNoThread()
    {
        using var slow = await AcceptedAsync();
        await slow.GetStream().WriteAsync((byte[])[.. BeginOfARecord, 0x01, 0x00], Cancel);
        await using var other = await AuthenticatedAsync();
        await ExpectEchoAsync(other);
    }

    [Fact]
    public async Task Silence_BehindTheHandshake_IsCutOffAtTheSameDeadline()
    {
        await using var other = await AuthenticatedAsync();
        using var tcp = await ConnectAsync();
        await using var silent = await HandshakeAsync(tcp);
        await _time.WaitBeganAsync(_limits.Options.HandshakeDeadline, _limits.Options.HandshakeDeadline);

        _time.Advance(_limits.Options.HandshakeDeadline);

        await ExpectClosedAsync(silent);
        await ExpectEchoAsync(other);
    }

    [Fact]
    public async Task Connections_BeyondTheBoundOfAnAddress_AreClosed_AndOtherAddressesAreLetIn()
    {
        await using var other = await AuthenticatedAsync();
        using var first = await AcceptedAsync();
        using var second = await AcceptedAsync();

        await ExpectRefusedAsync(IPAddress.Loopback);

        Assert.Equal(("anonymous", "refused", "429001 there are too many connections that have not authenticated"), Single());
        await using var elsewhere = await AuthenticatedAsync(Elsewhere);
        await ExpectEchoAsync(elsewhere);
        await ExpectEchoAsync(other);
    }

    [Fact]
    public async Task Connections_BeyondTheBoundInAll_AreClosed_UntilOneAuthenticates()
    {
        using var first = await AcceptedAsync();
        using var second = await AcceptedAsync();
        using var third = await AcceptedAsync(Elsewhere);

        await ExpectRefusedAsync(Elsewhere);

        await using var known = await HandshakeAsync(first);
        await ExpectEchoAsync(known);
        await using var later = await AuthenticatedAsync(Elsewhere);
        await ExpectEchoAsync(later);
    }

    [Fact]
    public async Task Bytes_BeyondTheBoundOfAConnection_CutItOff_AndNobodyElse()
    {
        await using var other = await AuthenticatedAsync();
        using var greedy = await ConnectAsync();

        await greedy.GetStream().WriteAsync((byte[])[.. BeginOfARecord, .. new byte[6000]], Cancel);

        await ExpectClosedAsync(greedy.GetStream());
        Assert.Equal(("anonymous", "refused", "429001 too many bytes before authentication"), Single());
        await ExpectEchoAsync(other);
    }

    public static TheoryData<string, (string Address, int Bytes)[]> TooManyBytes() => new()
    {
        { "of an address", [("127.0.0.1", 5900), ("127.0.0.1", 5900)] },
        { "in all", [("127.0.0.1", 5900), ("127.0.0.2", 5900), ("127.0.0.2", 500)] },
    };

    [Theory]
    [MemberData(nameof(TooManyBytes))]
    public async Task Bytes_BeyondTheBoundOfAnAddressOrInAll_CutOffWhoSentTheLast(string bound, (string Address, int Bytes)[] senders)
    {
        await using var other = await AuthenticatedAsync();
        var connections = new List<TcpClient>();
        foreach (var (address, _) in senders)
            connections.Add(await AcceptedAsync(IPAddress.Parse(address)));

        foreach (var (connection, bytes) in connections.Zip(senders.Select(sender => sender.Bytes)))
            await connection.GetStream().WriteAsync((byte[])[.. BeginOfARecord, .. new byte[bytes]], Cancel);

        var ends = connections.ConvertAll(connection => ExpectClosedAsync(connection.GetStream()));
        await await Task.WhenAny(ends);
        Assert.True(("anonymous", "refused", "429001 too many bytes before authentication") == Single(), bound);
        await ExpectEchoAsync(other);
        _time.Advance(_limits.Options.HandshakeDeadline);
        await Task.WhenAll(ends);
        Assert.Equal(senders.Length, _audit.Entries.Count);
        connections.ForEach(connection => connection.Dispose());
    }

    [Fact]
    public async Task Bytes_BehindAuthentication_AreNotCounted()
    {
        await using var device = await AuthenticatedAsync();
        for (var sent = 0; sent < 5; sent++)
            await ExpectEchoAsync(device, new string('x', 2000));

        Assert.Equal((0, 0L), _limits.Current);
    }

    private async Task EchoAsync(ConnectionContext connection)
    {
        while (await connection.Transport.Input.ReadAsync(connection.ConnectionClosed) is { IsCompleted: false } read)
        {
            _wereOnHandshakeThreads.Enqueue(_limits.Handshakes.IsCurrent);
            connection.Features.Get<PreAuthenticationLease>()!.Dispose();
            await HandshakeThreads.Leave();
            foreach (var part in read.Buffer)
                await connection.Transport.Output.WriteAsync(part);
            connection.Transport.Input.AdvanceTo(read.Buffer.End);
        }
    }

    private (string Principal, string Result, string Reason) Single()
    {
        var entry = Assert.Single(_audit.Entries);
        return (entry.Principal, entry.Result, entry.Reason);
    }

    private async Task<TcpClient> ConnectAsync(IPAddress? from = null)
    {
        var tcp = new TcpClient(new IPEndPoint(from ?? IPAddress.Loopback, 0));
        await tcp.ConnectAsync(from ?? IPAddress.Loopback, _port, Cancel);
        return tcp;
    }

    // The server has it: it begins to wait for what the peer says.
    private async Task<TcpClient> AcceptedAsync(IPAddress? from = null)
    {
        var tcp = await ConnectAsync(from);
        await _time.WaitBeganAsync(_limits.Options.HandshakeDeadline, _limits.Options.HandshakeDeadline);
        return tcp;
    }

    private async Task<SslStream> HandshakeAsync(TcpClient tcp)
    {
        var tls = new SslStream(tcp.GetStream(), false, (_, certificate, _, _) => certificate?.GetCertHashString() == _certificates.Server.GetCertHashString());
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost" }, Cancel);
        return tls;
    }

    private async Task<SslStream> AuthenticatedAsync(IPAddress? from = null)
    {
        var tls = await HandshakeAsync(await AcceptedAsync(from));
        await ExpectEchoAsync(tls);
        return tls;
    }

    private static async Task ExpectEchoAsync(SslStream tls, string text = "hello")
    {
        await tls.WriteAsync(Encoding.ASCII.GetBytes(text), Cancel);
        var back = new byte[text.Length];
        await tls.ReadExactlyAsync(back, Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
        Assert.Equal(text, Encoding.ASCII.GetString(back));
    }

    // The reset may come before connecting is through.
    private async Task ExpectRefusedAsync(IPAddress from)
    {
        try
        {
            using var tcp = await ConnectAsync(from);
            await ExpectClosedAsync(tcp.GetStream());
        }
        catch (SocketException refused)
        {
            Assert.Equal(SocketError.ConnectionReset, refused.SocketErrorCode);
        }
    }

    private static async Task ExpectClosedAsync(Stream stream)
    {
        try
        {
            Assert.Equal(0, await stream.ReadAsync(new byte[1], Cancel).AsTask().WaitAsync(MqttTestClient.Patience));
        }
        catch (IOException reset)
        {
            Assert.IsType<SocketException>(reset.InnerException);
        }
    }
}
