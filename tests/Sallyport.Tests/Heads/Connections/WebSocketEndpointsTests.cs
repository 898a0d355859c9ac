using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Heads;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Limits;
using Sallyport.Tests.Heads.Mqtt;

namespace Sallyport.Tests.Heads.Connections;

/// <summary>Two heads on one path and one on another, on real sockets; one listener serves all, the other services alone.</summary>
public sealed class WebSocketEndpointsTests : IAsyncLifetime
{
    private const string Shared = "/$shared/websocket";
    private const string Own = "/$own/websocket";
    private const int ManyBytes = 64 * 1024;

    private readonly ScriptedHead _sharing = new("sharing", "sharing-ws", Zone.Devices, Shared);
    private readonly ScriptedHead _everywhere = new("EVERYWHERE1", "everywhere-ws", Zone.All, Shared, Own);
    private readonly HttpClient _http = new();
    private WebApplication _server = null!;
    private int[] _ports = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton<TimeProvider>(new FakeTimeProvider()).AddSingleton<IWebSocketHead>(_sharing).AddSingleton<IWebSocketHead>(_everywhere);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Serves(Zone.Services));
        });
        _server = builder.Build();
        _server.UseWebSockets();
        _server.UseRouting();
        _server.MapWebSocketHeads();
        await _server.StartAsync(Cancel);
        _ports = [.. _server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Select(a => new Uri(a).Port)];
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _server.DisposeAsync();
    }

    [Theory]
    [InlineData(Shared, "sharing", "sharing-ws")]
    [InlineData(Shared, "SHARING", "sharing-ws")]
    [InlineData(Shared, "everywhere1", "everywhere-ws")]
    [InlineData(Own, "EVERYWHERE1", "everywhere-ws")]
    [InlineData(Shared, "unknown, everywhere1, sharing", "everywhere-ws")]
    public async Task Connection_GoesToTheHeadOfItsPathAndSubProtocol_WhichIsEchoedAsSent(string path, string subProtocols, string protocol)
    {
        _sharing.Serve = _everywhere.Serve = EchoAsync;
        var asked = subProtocols.Split(", ");
        using var socket = await ConnectAsync(path, asked);

        await socket.SendAsync("hello"u8.ToArray(), WebSocketMessageType.Binary, true, Cancel);

        Assert.Equal(asked.Length == 1 ? asked[0] : asked[1], socket.SubProtocol);
        Assert.Equal("hello"u8.ToArray(), await MessageAsync(socket));
        var head = Assert.Single(new[] { _sharing, _everywhere }, head => head.Arrived.IsCompleted);
        var (peer, zone) = await head.Arrived;
        Assert.Equal((protocol, Zone.All), (peer.Protocol, zone));
    }

    [Theory]
    [InlineData(Shared, "mqtt5", "the sub-protocols sharing and EVERYWHERE1.")]
    [InlineData(Shared, null, "the sub-protocols sharing and EVERYWHERE1.")]
    [InlineData(Own, "sharing", "the sub-protocol EVERYWHERE1.")]
    public async Task UnknownSubProtocol_Is400_NamingThoseServedThere(string path, string? subProtocol, string served)
    {
        using var answer = await AskAsync(_ports[0], path, subProtocol);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.EndsWith(served, await answer.Content.ReadAsStringAsync(Cancel), StringComparison.Ordinal);
    }

    [Fact]
    public async Task RequestWithoutUpgrade_Is400()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{_ports[0]}{Shared}") { Headers = { { "Sec-WebSocket-Protocol", "sharing" } } };
        using var answer = await _http.SendAsync(request, Cancel);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task HeadOfAnotherZone_IsNotThere()
    {
        using var answer = await AskAsync(_ports[1], Shared, "sharing");

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.EndsWith("the sub-protocol EVERYWHERE1.", await answer.Content.ReadAsStringAsync(Cancel), StringComparison.Ordinal);
    }

    [Fact]
    public async Task HeadOfBothZones_IsToldThroughWhichItsPeerCame()
    {
        using var answer = await AskAsync(_ports[1], Shared, "EVERYWHERE1");

        Assert.Equal(HttpStatusCode.SwitchingProtocols, answer.StatusCode);
        Assert.Equal(Zone.Services, (await _everywhere.Arrived.WaitAsync(MqttTestClient.Patience, Cancel)).Zone);
    }

    [Fact]
    public async Task Compression_ThatIsOffered_IsNotTaken()
    {
        using var answer = await AskAsync(_ports[0], Shared, "sharing", "permessage-deflate; client_max_window_bits");

        Assert.Equal(HttpStatusCode.SwitchingProtocols, answer.StatusCode);
        Assert.False(answer.Headers.Contains("Sec-WebSocket-Extensions"));
    }

    [Fact]
    public async Task WriteOfMuch_IsOneMessage()
    {
        _sharing.Serve = async transport => await transport.Output.WriteAsync(Pattern());
        using var socket = await ConnectAsync(Shared, "sharing");

        Assert.Equal(Pattern(), await MessageAsync(socket));
    }

    [Fact]
    public async Task FlushOfMuch_IsOneMessage()
    {
        _sharing.Serve = async transport =>
        {
            foreach (var part in Pattern().Chunk(1000))
                transport.Output.Write(part);
            await transport.Output.FlushAsync();
        };
        using var socket = await ConnectAsync(Shared, "sharing");

        Assert.Equal(Pattern(), await MessageAsync(socket));
    }

    [Fact]
    public async Task WriteAfterBytesThatWereNotFlushed_KeepsTheOrder()
    {
        _sharing.Serve = async transport =>
        {
            transport.Output.Write("first"u8);
            await transport.Output.WriteAsync("second"u8.ToArray());
            transport.Output.Write("third"u8);
            await transport.Output.CompleteAsync();
        };
        using var socket = await ConnectAsync(Shared, "sharing");

        Assert.Equal("first"u8.ToArray(), await MessageAsync(socket));
        Assert.Equal("second"u8.ToArray(), await MessageAsync(socket));
        Assert.Equal("third"u8.ToArray(), await MessageAsync(socket));
        Assert.Null(await MessageAsync(socket));
    }

    [Fact]
    public async Task FlushOfNothing_IsNoMessage()
    {
        _sharing.Serve = async transport =>
        {
            await transport.Output.FlushAsync();
            await transport.Output.WriteAsync(ReadOnlyMemory<byte>.Empty);
        };
        using var socket = await ConnectAsync(Shared, "sharing");

        Assert.Null(await MessageAsync(socket));
    }

    [Fact]
    public async Task TextMessage_ThrowsWhereItIsRead()
    {
        var thrown = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        _sharing.Serve = async transport =>
        {
            try
            {
                await EchoAsync(transport);
            }
            catch (Exception e)
            {
                thrown.SetResult(e);
            }
        };
        using var socket = await ConnectAsync(Shared, "sharing");

        await socket.SendAsync(Encoding.UTF8.GetBytes("hello"), WebSocketMessageType.Text, true, Cancel);

        Assert.IsType<NonBinaryMessageException>(await thrown.Task.WaitAsync(MqttTestClient.Patience, Cancel));
        Assert.Null(await MessageAsync(socket));
    }

    private static byte[] Pattern() => [.. Enumerable.Range(0, ManyBytes).Select(i => (byte)(i * 7 >> 3))];

    private static async Task EchoAsync(IDuplexPipe transport)
    {
        while (true)
        {
            var read = await transport.Input.ReadAsync();
            foreach (var memory in read.Buffer)
                await transport.Output.WriteAsync(memory);
            transport.Input.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return;
        }
    }

    private async Task<ClientWebSocket> ConnectAsync(string path, params string[] subProtocols)
    {
        var client = new ClientWebSocket();
        foreach (var subProtocol in subProtocols)
            client.Options.AddSubProtocol(subProtocol);
        await client.ConnectAsync(new Uri($"ws://127.0.0.1:{_ports[0]}{path}"), Cancel);
        return client;
    }

    private async Task<HttpResponseMessage> AskAsync(int port, string path, string? subProtocol, string? extension = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{port}{path}")
        {
            Headers =
            {
                { "Connection", "Upgrade" }, { "Upgrade", "websocket" }, { "Sec-WebSocket-Version", "13" }, { "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==" },
            },
        };
        if (subProtocol is not null)
            request.Headers.Add("Sec-WebSocket-Protocol", subProtocol);
        if (extension is not null)
            request.Headers.Add("Sec-WebSocket-Extensions", extension);
        return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancel);
    }

    // One whole message; null for the goodbye.
    private static async Task<byte[]?> MessageAsync(WebSocket socket)
    {
        var bytes = new byte[2 * ManyBytes];
        for (var at = 0; ;)
        {
            var received = await socket.ReceiveAsync(bytes.AsMemory(at), Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            at += received.Count;
            if (received.MessageType == WebSocketMessageType.Close)
                return null;
            if (received.EndOfMessage)
                return bytes[..at];
        }
    }

    private sealed class ScriptedHead(string subProtocol, string peerProtocol, Zone servedTo, params string[] paths) : IWebSocketHead
    {
        private readonly TaskCompletionSource<(Peer Peer, Zone Zone)> _arrived = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Func<IDuplexPipe, Task> Serve { get; set; } = _ => Task.CompletedTask;

        /// <summary>The first connection.</summary>
        public Task<(Peer Peer, Zone Zone)> Arrived => _arrived.Task;

        public string SubProtocol => subProtocol;

        public IReadOnlyList<string> Paths => paths;

        public Zone ServedTo => servedTo;

        public string PeerProtocol => peerProtocol;

        public async Task RunAsync(
            IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease? lease, Zone zone, Action abort, CancellationToken closed)
        {
            _arrived.TrySetResult((peer, zone));
            await Serve(transport);
            await transport.Input.CompleteAsync();
        }
    }
}
