using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Sallyport.Heads.Connections;
using Sallyport.Heads.Mqtt;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Tests.Client;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>MQTT through Kestrel: real sockets, TLS and WebSocket.</summary>
public sealed class MqttSocketTests : IAsyncLifetime
{
    private readonly TestCertificates _certificates = new(Packets.Host);
    private MqttTestHub _hub = null!;
    private WebApplication _server = null!;
    private int _mqttsPort;
    private int _httpsPort;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await MqttTestHub.StartAsync();
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddRoutingCore();
        builder.Services.AddSingleton(_hub.Head).AddSingleton<TimeProvider>(_hub.Time).AddSingleton<IWebSocketHead, MqttWebSocket>();
        builder.WebHost.UseKestrelCore();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.UsePreAuthenticationLimits(_hub.Limits, _hub.Audit, _hub.Time);
                listen.UseHttps(Https());
                listen.UseConnectionHandler<MqttConnectionHandler>();
            });
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                listen.UsePreAuthenticationLimits(_hub.Limits, _hub.Audit, _hub.Time);
                listen.UseHttps(Https());
            });
        });
        _server = builder.Build();
        _server.UseWebSockets();
        _server.UseRouting();
        _server.MapWebSocketHeads();
        await _server.StartAsync(Cancel);
        var addresses = _server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Select(a => new Uri(a).Port).ToArray();
        (_mqttsPort, _httpsPort) = (addresses[0], addresses[1]);
    }

    public async ValueTask DisposeAsync()
    {
        _hub.Head.Stop();
        await _server.StopAsync(Cancel);
        await _server.DisposeAsync();
        await _hub.DisposeAsync();
        _certificates.Dispose();
    }

    [Fact]
    public async Task Mqtts_ConnectPublishDisconnect_WorksAndIsStored()
    {
        await using var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await device.SendAsync(Packets.ConnectBytes());
        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        Assert.Equal((0, 0L), _hub.Limits.Current);

        await device.SendAsync(Packets.Telemetry("21.5"));
        await device.ExpectAsync(Packets.PubAck(1));
        await device.SendAsync(Packets.Disconnect);

        await device.ExpectClosedAsync();
        Assert.Equal("21.5", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    [Fact]
    public async Task Mqtts_Refused_ReadsItsConnAckBeforeTheEnd()
    {
        await using var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await device.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(token: "bad"))));

        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await device.ExpectClosedAsync();
    }

    [Fact]
    public async Task Mqtts_RefusedWhileItStillSends_IsNotReset()
    {
        await using var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await device.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(token: "bad"))));
        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await device.ExpectClosedAsync();

        // A reset would come back after the first of these and fail one that follows.
        for (var i = 0; i < 100; i++)
        {
            await device.SendAsync(Packets.Telemetry(new string('x', 4096)));
            await Task.Yield();
        }
    }

    [Fact]
    public async Task Mqtts_RefusedButDoesNotGo_IsCutAfterAWhile()
    {
        await using var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await device.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(token: "bad"))));
        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.NotAuthorized));
        await device.ExpectClosedAsync();
        Assert.Equal(1, _hub.Limits.Current.Connections);

        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        Assert.True(await IsCutAsync(device.Socket));
        Assert.Equal(0, _hub.Limits.Current.Connections);
    }

    [Fact]
    public async Task Mqtts_TakenOver_IsClosed() // [MQTT-3.1.4-2]
    {
        await using var older = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await older.SendAsync(Packets.ConnectBytes());
        await older.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));

        await using var newer = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await newer.SendAsync(Packets.ConnectBytes());
        await newer.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));

        await older.ExpectClosedAsync();
        await newer.SendAsync(Packets.PingReq);
        await newer.ExpectAsync([0xd0, 0]);
    }

    [Fact]
    public async Task Mqtts_ByteByByte_IsUnderstood()
    {
        await using var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        foreach (var b in Packets.Concat(Packets.ConnectBytes(), Packets.Telemetry("slow", bag: "a=b")))
            await device.SendAsync([b]);

        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted), Packets.PubAck(1));
    }

    [Fact]
    public async Task Mqtts_PeerThatVanishes_IsForgotten()
    {
        var device = await TlsDevice.ConnectAsync(_mqttsPort, IsOurs);
        await device.SendAsync(Packets.ConnectBytes());
        await device.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        var gone = new TaskCompletionSource();
        _hub.Devices.Changed += (_, isConnected, _) =>
        {
            if (!isConnected)
                gone.TrySetResult();
        };

        await device.DisposeAsync();

        await gone.Task.WaitAsync(MqttTestClient.Patience);
        Assert.False(_hub.Devices.IsConnected(Identity.Of("d1")));
    }

    [Theory]
    [InlineData("mqtt", "")]
    [InlineData("MQTT", "?iothub-no-client-cert=true")]
    public async Task WebSocket_InAnyCaseAndWithAQuery_SpeaksMqtt(string subProtocol, string query) // [MQTT-6.0.0-3] [MQTT-6.0.0-4]
    {
        using var socket = await WebSocketAsync(subProtocol, query);
        Assert.Equal(subProtocol, socket.SubProtocol);

        // One packet over three messages, two packets in one. [MQTT-6.0.0-2]
        var connect = Packets.ConnectBytes();
        await SendAsync(socket, connect[..1]);
        await SendAsync(socket, connect[1..9]);
        await SendAsync(socket, connect[9..]);
        Assert.Equal(Packets.ConnAck(MqttConnectCode.Accepted), await ReceiveAsync(socket, 4));
        await SendAsync(socket, Packets.Concat(Packets.Telemetry("ws"), Packets.Subscribe(2, (DeviceTopics.TwinResponses, 0))));

        var answers = await ReceiveAsync(socket, 9);
        Assert.Equal(4 + 5, answers.Length);
        Assert.Equal("ws", Assert.Single(await _hub.StoredAsync(1)).Body);
        await SendAsync(socket, Packets.Disconnect);
        await ExpectCloseAsync(socket);
    }

    [Fact]
    public async Task WebSocket_TextMessage_IsClosed() // [MQTT-6.0.0-1]
    {
        using var socket = await WebSocketAsync("mqtt", "");
        await SendAsync(socket, Packets.ConnectBytes());
        await ReceiveAsync(socket, 4);

        await socket.SendAsync(Encoding.UTF8.GetBytes("hello"), WebSocketMessageType.Text, true, Cancel);

        await ExpectCloseAsync(socket);
        Assert.Contains("not binary", Assert.Single(_hub.Audit.Entries).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WebSocket_Stop_SendsLastAcknowledgementsBeforeTheClose()
    {
        using var socket = await WebSocketAsync("mqtt", "");
        await SendAsync(socket, Packets.ConnectBytes());
        await ReceiveAsync(socket, 4);
        _hub.Log.Shut();
        await SendAsync(socket, Packets.Telemetry());
        await _hub.Log.KnockedAsync();

        _hub.Head.Stop();
        _hub.Log.Open();

        Assert.Equal(Packets.PubAck(1), await ReceiveAsync(socket, 4));
        await ExpectCloseAsync(socket);
    }

    [Theory]
    [InlineData("amqp")]
    [InlineData(null)]
    public async Task WebSocket_WithoutTheSubProtocol_IsRefused(string? subProtocol)
    {
        using var client = new ClientWebSocket();
        client.Options.RemoteCertificateValidationCallback = IsOurs;
        if (subProtocol is not null)
            client.Options.AddSubProtocol(subProtocol);

        await Assert.ThrowsAsync<WebSocketException>(() => client.ConnectAsync(new Uri($"wss://localhost:{_httpsPort}/$iothub/websocket"), Cancel));
    }

    [Fact]
    public async Task Https_NobodyAuthenticatesInTime_IsCut()
    {
        using var stranger = new TcpClient();
        await stranger.ConnectAsync(IPAddress.Loopback, _httpsPort, Cancel);
        await _hub.Time.TimerMadeAsync();
        Assert.Equal(1, _hub.Limits.Current.Connections);

        _hub.Time.Advance(TimeSpan.FromSeconds(10));

        Assert.True(await IsCutAsync(stranger.Client));
    }

    [Fact]
    public async Task WebSocket_ThatAuthenticated_OutlivesTheDeadline()
    {
        using var socket = await WebSocketAsync("mqtt", "");
        await SendAsync(socket, Packets.ConnectBytes());
        await ReceiveAsync(socket, 4);

        _hub.Time.Advance(TimeSpan.FromSeconds(10));

        await SendAsync(socket, Packets.PingReq);
        Assert.Equal([0xd0, 0], await ReceiveAsync(socket, 2));
    }

    // The other end has closed or reset the connection, and what it sent before is read.
    private static async Task<bool> IsCutAsync(Socket socket)
    {
        using var patience = new CancellationTokenSource(MqttTestClient.Patience);
        try
        {
            return await socket.ReceiveAsync(new byte[1], SocketFlags.Peek, patience.Token) == 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }

    private bool IsOurs(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) =>
        certificate?.GetCertHashString() == _certificates.Server.GetCertHashString();

    private HttpsConnectionAdapterOptions Https() => new()
    {
        ServerCertificate = _certificates.Server,
        ClientCertificateMode = ClientCertificateMode.AllowCertificate,
        ClientCertificateValidation = (_, _, _) => true,
    };

    private async Task<WebSocket> WebSocketAsync(string subProtocol, string query)
    {
        var client = new ClientWebSocket();
        client.Options.RemoteCertificateValidationCallback = IsOurs;
        client.Options.AddSubProtocol(subProtocol);
        client.Options.SetRequestHeader("Origin", "https://elsewhere.test");
        await client.ConnectAsync(new Uri($"wss://localhost:{_httpsPort}/$iothub/websocket{query}"), Cancel);
        return client;
    }

    private static Task SendAsync(WebSocket socket, byte[] bytes) => socket.SendAsync(bytes, WebSocketMessageType.Binary, true, Cancel);

    private static async Task<byte[]> ReceiveAsync(WebSocket socket, int count)
    {
        var bytes = new byte[count];
        for (var at = 0; at < count;)
        {
            var received = await socket.ReceiveAsync(bytes.AsMemory(at), Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            Assert.Equal(WebSocketMessageType.Binary, received.MessageType);
            at += received.Count;
        }

        return bytes;
    }

    private static async Task ExpectCloseAsync(WebSocket socket)
    {
        var received = await socket.ReceiveAsync(new byte[16].AsMemory(), Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
        Assert.Equal(WebSocketMessageType.Close, received.MessageType);
    }

    /// <summary>A device on a TLS socket.</summary>
    private sealed class TlsDevice(TcpClient tcp, SslStream tls) : IAsyncDisposable
    {
        private readonly PipeReader _reader = PipeReader.Create(tls);

        public Socket Socket => tcp.Client;

        public static async Task<TlsDevice> ConnectAsync(int port, RemoteCertificateValidationCallback isOurs)
        {
            var tcp = new TcpClient();
            await tcp.ConnectAsync(IPAddress.Loopback, port, Cancel);
            var tls = new SslStream(tcp.GetStream(), false, isOurs);
            await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = Packets.Host }, Cancel);
            return new TlsDevice(tcp, tls);
        }

        public async Task SendAsync(byte[] bytes) => await tls.WriteAsync(bytes, Cancel);

        public async Task ExpectAsync(params byte[][] packets)
        {
            var expected = packets.SelectMany(p => p).ToArray();
            var read = await _reader.ReadAtLeastAsync(expected.Length, Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            Assert.True(read.Buffer.Length >= expected.Length, $"closed after {read.Buffer.Length} bytes");
            var received = new byte[expected.Length];
            System.Buffers.BuffersExtensions.CopyTo(read.Buffer.Slice(0, expected.Length), received);
            _reader.AdvanceTo(read.Buffer.GetPosition(expected.Length));
            Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(received));
        }

        public async Task ExpectClosedAsync()
        {
            var read = await _reader.ReadAsync(Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
            Assert.True(read.IsCompleted && read.Buffer.IsEmpty);
        }

        public async ValueTask DisposeAsync()
        {
            await tls.DisposeAsync();
            tcp.Dispose();
        }
    }
}
