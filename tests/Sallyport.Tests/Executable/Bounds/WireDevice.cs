using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>A device that says to a whole hub exactly the bytes that a test wants, over MQTT or MQTT over WebSocket.</summary>
internal sealed class WireDevice(string id, Stream stream) : IAsyncDisposable
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <param name="transport"><c>MQTT</c> or <c>MQTT-WS</c>.</param>
    /// <param name="shown">The certificate that is shown in the handshake; null for none.</param>
    public static async Task<WireDevice> OpenAsync(EndpointsFile endpoints, string transport, string id = "d1", SslStreamCertificateContext? shown = null) =>
        new(id, transport == "MQTT" ? await TlsAsync(endpoints, endpoints.MqttsPort!.Value, shown) : await WebSocketAsync(endpoints, shown));

    /// <summary>A TLS connection of which nothing was used yet.</summary>
    public static async Task<SslStream> TlsAsync(EndpointsFile endpoints, int port, SslStreamCertificateContext? shown = null)
    {
        var tcp = new TcpClient();
        await tcp.ConnectAsync("localhost", port, Cancel);
        var tls = new SslStream(tcp.GetStream());
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = Trust(endpoints), ClientCertificateContext = shown }, Cancel);
        return tls;
    }

    /// <summary>Connects, and is let in.</summary>
    public async Task ConnectAsync(string key, DateTimeOffset tokenExpires)
    {
        var token = SharedAccessSignature.Create($"localhost/devices/{id}", key, tokenExpires);
        await SendAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect(id, true, 60, $"localhost/{id}/?api-version=2021-04-12", token, null))));
        await ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted));
    }

    /// <summary>Connects without a password: the certificate of the handshake is all.</summary>
    /// <param name="module">Null: the device itself.</param>
    public async Task<MqttConnectCode> ConnectByCertificateAsync(string? module = null)
    {
        var client = module is null ? id : $"{id}/{module}";
        await SendAsync(Packets.Of(o => MqttWriter.Connect(o, new MqttConnect(client, true, 60, $"localhost/{client}/?api-version=2021-04-12", null, null))));
        var answer = new byte[4];
        await stream.ReadExactlyAsync(answer, Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
        Assert.Equal(0x20, answer[0]);
        return (MqttConnectCode)answer[3];
    }

    public byte[] Telemetry(string payload, ushort packetId = 1, string bag = "", byte qos = 1) =>
        Packets.Publish($"devices/{id}/messages/events/{bag}", payload, qos, packetId);

    /// <summary>One message, and its acknowledgement.</summary>
    public async Task PublishAsync(string payload, ushort packetId = 1)
    {
        await SendAsync(Telemetry(payload, packetId));
        await ExpectAsync(Packets.PubAck(packetId));
    }

    public async Task SendAsync(params byte[][] packets)
    {
        await stream.WriteAsync(Packets.Concat(packets), Cancel);
        await stream.FlushAsync(Cancel);
    }

    public async Task ExpectAsync(byte[] packet)
    {
        var received = new byte[packet.Length];
        await stream.ReadExactlyAsync(received, Cancel).AsTask().WaitAsync(MqttTestClient.Patience);
        Assert.Equal(Convert.ToHexString(packet), Convert.ToHexString(received));
    }

    /// <summary>It has worked through everything before, and the connection lives.</summary>
    public async Task ExpectAliveAsync()
    {
        await SendAsync(Packets.PingReq);
        await ExpectAsync([0xd0, 0]);
    }

    public Task ExpectClosedAsync() => ExpectClosedAsync(stream);

    /// <summary>Nothing more comes, and the connection ends.</summary>
    public static async Task ExpectClosedAsync(Stream stream)
    {
        try
        {
            Assert.Equal(0, await stream.ReadAsync(new byte[1], Cancel).AsTask().WaitAsync(MqttTestClient.Patience));
        }
        catch (Exception cut) when (cut is IOException or WebSocketException)
        {
            Assert.False(cut is IOException { InnerException: TimeoutException }, cut.ToString());
        }
    }

    public ValueTask DisposeAsync() => stream.DisposeAsync();

    internal static X509ChainPolicy Trust(EndpointsFile endpoints)
    {
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(endpoints.CaFile!);
        return trust;
    }

    private static async Task<Stream> WebSocketAsync(EndpointsFile endpoints, SslStreamCertificateContext? shown)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = Trust(endpoints);
        handler.SslOptions.ClientCertificateContext = shown;
        var socket = new ClientWebSocket();
        socket.Options.AddSubProtocol("mqtt");
        await socket.ConnectAsync(
            new Uri(string.Create(CultureInfo.InvariantCulture, $"wss://localhost:{endpoints.HttpsPort}/$iothub/websocket")), new HttpMessageInvoker(handler, disposeHandler: false), Cancel);
        return WebSocketStream.Create(socket, WebSocketMessageType.Binary, ownsWebSocket: true);
    }
}
