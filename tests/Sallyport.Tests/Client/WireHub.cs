using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Client;

/// <summary>A hub that says what the test makes it say, over a real socket with TLS.</summary>
internal sealed class WireHub : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly TestCertificates _certificates;

    /// <param name="certificates">What it shows, and disposes of; null for a good one of localhost.</param>
    public WireHub(TestCertificates? certificates = null)
    {
        _certificates = certificates ?? new TestCertificates("localhost");
        _listener.Start();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    public string RootFile => _certificates.RootFile;

    /// <summary>The next connection of a client, after TLS.</summary>
    public async Task<WireConnection> AcceptAsync()
    {
        var client = await _listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsServerAsync(_certificates.Server);
        return new WireConnection(client, stream);
    }

    /// <summary>The next connection, whose TLS the client is expected to give up.</summary>
    public async Task AcceptAndFailAsync()
    {
        using var client = await _listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        await using var stream = new SslStream(client.GetStream());
        try
        {
            await stream.AuthenticateAsServerAsync(_certificates.Server);
            Assert.Equal(0, await stream.ReadAsync(new byte[1]));
        }
        catch (Exception e) when (e is IOException or System.Security.Authentication.AuthenticationException)
        {
            // The client's alert arrives during the handshake or after it, as TLS 1.2 and 1.3 have it.
            return;
        }
    }

    public void Dispose()
    {
        _listener.Dispose();
        _certificates.Dispose();
    }
}

internal sealed record WirePublish(bool Dup, byte QoS, ushort PacketId, string Topic, string Payload);

/// <summary>One connection, as the hub sees it.</summary>
internal sealed class WireConnection(TcpClient client, SslStream stream) : IDisposable
{
    private readonly PipeReader _input = PipeReader.Create(stream);

    public async Task<MqttConnect> ExpectConnectAsync() =>
        await ReadAsync(frame => frame.Type == MqttPacketType.Connect ? MqttConnect.Read(frame) : throw Unexpected(frame));

    /// <summary>Lets the client in.</summary>
    public async Task<MqttConnect> WelcomeAsync()
    {
        var connect = await ExpectConnectAsync();
        await SendAsync(Packets.ConnAck(MqttConnectCode.Accepted));
        return connect;
    }

    public async Task<WirePublish> ExpectPublishAsync() => await ReadAsync(frame =>
    {
        if (frame.Type != MqttPacketType.Publish)
            throw Unexpected(frame);

        var publish = MqttPublish.Read(frame);
        return new WirePublish(
            publish.Dup, publish.QoS, publish.PacketId, Encoding.UTF8.GetString(publish.Topic), Encoding.UTF8.GetString(publish.Payload));
    });

    public async Task ExpectAsync(MqttPacketType type) => await ReadAsync(frame => frame.Type == type ? type : throw Unexpected(frame));

    public async Task SendAsync(byte[] bytes) => await stream.WriteAsync(bytes, TestContext.Current.CancellationToken);

    /// <summary>Cuts the connection, as a network does.</summary>
    public void Dispose()
    {
        stream.Dispose();
        client.Dispose();
    }

    private static InvalidOperationException Unexpected(in MqttFrame frame) => new($"the client sent {frame.Type}");

    private async Task<T> ReadAsync<T>(Func<MqttFrame, T> take)
    {
        while (true)
        {
            var result = await _input.ReadAsync(TestContext.Current.CancellationToken);
            var input = result.Buffer;
            if (MqttFrame.TryRead(ref input, 1024 * 1024, out var frame))
            {
                // A clock that jumps makes a ping due, which no test here is about.
                var isPing = frame.Type == MqttPacketType.PingReq;
                var taken = isPing ? default : take(frame);
                _input.AdvanceTo(input.Start);
                if (isPing)
                    continue;
                return taken!;
            }

            _input.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
                throw new EndOfStreamException("the client closed the connection");
        }
    }
}
