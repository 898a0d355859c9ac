using System.Globalization;
using System.IO.Pipelines;
using System.Net.Security;
using System.Net.Sockets;
using System.Net.WebSockets;
using Sallyport.Tests.Heads.Amqp;
using Sallyport.Tests.Protocol.Amqp;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>A client that says to a whole hub exactly the bytes that a test wants, over AMQP or AMQP over WebSocket.</summary>
internal sealed class WireAmqp : AmqpWire, IAsyncDisposable
{
    private readonly Socket _socket;
    private readonly Stream _stream;

    private WireAmqp(Socket socket, Stream stream, PipeReader input, PipeWriter output)
        : base(input, output) => (_socket, _stream) = (socket, stream);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>A connection on which nothing was said.</summary>
    /// <param name="transport"><c>AMQP</c> or <c>AMQP-WS</c>.</param>
    public static async Task<WireAmqp> OpenAsync(EndpointsFile endpoints, string transport = "AMQP")
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        var stream = transport == "AMQP" ? await TlsAsync(endpoints, socket) : await WebSocketAsync(endpoints, socket);
        return new WireAmqp(socket, stream, PipeReader.Create(stream), PipeWriter.Create(stream));
    }

    /// <summary>A device of a hub that a test does not run itself; it may send on handle 2.</summary>
    public static async Task<WireAmqp> DeviceAsync(EndpointsFile endpoints, string id, string token)
    {
        var device = await OpenAsync(endpoints);
        await device.OpenAsync("localhost");
        await device.AttachCbsAsync();
        Assert.Equal(200, await device.PutAsync($"localhost/devices/{id}", token));
        await device.SendAsync(Frames.AttachSender(2, "up", $"devices/{id}/messages/events"));
        await device.ExpectAsync("attach", "flow");
        return device;
    }

    /// <summary>One message, and its disposition.</summary>
    public async Task PublishAsync(string text)
    {
        await SendAsync(Transfer(2, AmqpMessages.Text(text)));
        Heard heard;
        do
            heard = await HearAsync();
        while (heard.Name == "flow");
        Assert.Equal("disposition", heard.ToString());
    }

    /// <summary>Resets the connection: the peer gets no goodbye of TCP, TLS or WebSocket.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await _stream.DisposeAsync();
        }
        catch (Exception cut) when (cut is IOException or WebSocketException or ObjectDisposedException)
        {
            // Reset, or closed by the hub.
        }

        _socket.Dispose();
    }

    private static async Task<Stream> TlsAsync(EndpointsFile endpoints, Socket socket)
    {
        await socket.ConnectAsync("localhost", endpoints.AmqpsPort!.Value, Cancel);
        var tls = new SslStream(new NetworkStream(socket));
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = WireDevice.Trust(endpoints) }, Cancel);
        return tls;
    }

    private static async Task<Stream> WebSocketAsync(EndpointsFile endpoints, Socket socket)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = WireDevice.Trust(endpoints);
        handler.ConnectCallback = async (context, cancel) =>
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancel);
            return new NetworkStream(socket);
        };
        var client = new ClientWebSocket();
        client.Options.AddSubProtocol("AMQPWSB10");
        await client.ConnectAsync(
            new Uri(string.Create(CultureInfo.InvariantCulture, $"wss://localhost:{endpoints.HttpsPort}/$iothub/websocket")), new HttpMessageInvoker(handler, disposeHandler: false), Cancel);
        return WebSocketStream.Create(client, WebSocketMessageType.Binary, ownsWebSocket: true);
    }
}
