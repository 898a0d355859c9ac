using System.Net;
using System.Net.Sockets;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Tests.Executable.Up;

public sealed class ListenSocketsTests
{
    [Fact]
    public void Port443_NotAllowed_Takes8443AndSaysWhatDoesNotWork()
    {
        using var sockets = ListenSockets.Bind(new ListenerSettings { Bind = "127.0.0.1", MqttsPort = 0, AmqpsPort = 0 }, production: false, Unprivileged);

        Assert.NotNull(sockets.HttpsPortNotice);
        Assert.Contains("sysctl -w net.ipv4.ip_unprivileged_port_start=443", sockets.HttpsPortNotice);
        Assert.Contains("WebSocket", sockets.HttpsPortNotice);
    }

    [Fact]
    public void Port443_NotAllowedInProduction_Refuses()
    {
        var refused = Assert.Throws<CannotStartException>(
            () => ListenSockets.Bind(new ListenerSettings { Bind = "127.0.0.1", MqttsPort = 0, AmqpsPort = 0 }, production: true, Unprivileged));

        Assert.StartsWith("Port 443 may not be bound", Assert.Single(refused.Reasons));
    }

    [Fact]
    public void Port_InUse_IsNamedWithItsProcess()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port;

        var refused = Assert.Throws<CannotStartException>(
            () => ListenSockets.Bind(new ListenerSettings { HttpsPort = port, MqttsPort = port, AmqpsPort = 0 }, production: false));

        Assert.Equal(
            [
                $"Port {port} is in use by process {Environment.ProcessId}: stop that, or choose another with --https-port.",
                $"Port {port} is in use by process {Environment.ProcessId}: stop that, or choose another with --mqtts-port.",
            ],
            refused.Reasons);
    }

    [Fact]
    public void Address_NotOfThisMachine_IsNamed()
    {
        var refused = Assert.Throws<CannotStartException>(
            () => ListenSockets.Bind(new ListenerSettings { Bind = "192.0.2.1", HttpsPort = 0, MqttsPort = 0, AmqpsPort = 0 }, production: false));

        Assert.All(refused.Reasons, reason => Assert.StartsWith("192.0.2.1 is not an address of this machine", reason));
    }

    [Fact]
    public void Loopback_ByDefault_IsAllThatIsBound()
    {
        using var sockets = ListenSockets.Bind(new ListenerSettings { HttpsPort = 0, MqttsPort = 0, AmqpsPort = 0 }, production: false);

        Assert.All(sockets.Https.Concat(sockets.Mqtts), endPoint => Assert.True(IPAddress.IsLoopback(endPoint.Address)));
        Assert.Single(sockets.Https.Select(endPoint => endPoint.Port).Distinct());
    }

    [Fact]
    public void AmqpPorts_SaysWhoseTheyAre()
    {
        var settings = new ListenerSettings { HttpsPort = 0, MqttsPort = 0, AmqpsPort = 0 };
        using var one = ListenSockets.Bind(settings, production: false);
        using var all = ListenSockets.Bind(
            settings with { ServiceBind = "127.0.0.2", InsecurePlainAmqp = new InsecureSwitch("alice", "an emulator's client", null), PlainAmqpPort = 0 }, production: false);

        Assert.Equal($"{one.Amqps[0].Port}", one.AmqpPorts);
        Assert.Equal($"{all.Amqps[0].Port} and {all.ServiceAmqps[0].Port} for services and {all.PlainAmqp[0].Port} without TLS", all.AmqpPorts);
    }

    private static Socket Unprivileged(IPEndPoint endPoint)
    {
        if (endPoint.Port is > 0 and < 1024)
            throw new SocketException((int)SocketError.AccessDenied);

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0)); // Any free port stands for 8443, which may be taken here.
        return socket;
    }
}
