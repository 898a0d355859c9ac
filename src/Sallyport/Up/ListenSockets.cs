using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Sallyport.Settings;

namespace Sallyport.Up;

/// <summary>
/// The bound and listening sockets of a hub, taken before anything else starts, so that a port in use or not allowed is told at
/// once and for all of them. Owned by whoever binds until the server takes them over. Not thread-safe.
/// </summary>
internal sealed class ListenSockets : IDisposable
{
    // What the kernel keeps between two accepts; it takes no more than net.core.somaxconn (4096).
    private const int Backlog = 4096;

    private readonly Dictionary<IPEndPoint, Socket> _sockets = [];

    private ListenSockets()
    {
    }

    public IReadOnlyList<IPEndPoint> Https { get; private set; } = [];

    public IReadOnlyList<IPEndPoint> Mqtts { get; private set; } = [];

    public IReadOnlyList<IPEndPoint> Amqps { get; private set; } = [];

    /// <summary>AMQP for services alone; empty when <see cref="Amqps"/> serves them too.</summary>
    public IReadOnlyList<IPEndPoint> ServiceAmqps { get; private set; } = [];

    /// <summary>AMQP without TLS, on loopback; empty unless its switch is given.</summary>
    public IReadOnlyList<IPEndPoint> PlainAmqp { get; private set; } = [];

    /// <summary>All ports of AMQP in words: <c>5671</c>, <c>5671 and 5673 for services and 5672 without TLS</c>.</summary>
    public string AmqpPorts => string.Create(CultureInfo.InvariantCulture, $"{Amqps[0].Port}{(ServiceAmqps is [var service, ..] ? $" and {service.Port} for services" : "")}{(PlainAmqp is [var plain, ..] ? $" and {plain.Port} without TLS" : "")}");

    /// <summary>HTTPS for services alone; empty when <see cref="Https"/> serves them too.</summary>
    public IReadOnlyList<IPEndPoint> Services { get; private set; } = [];

    public IEnumerable<IPEndPoint> All => [.. Https, .. Mqtts, .. Amqps, .. Services, .. ServiceAmqps, .. PlainAmqp];

    /// <summary>443 was wanted but may not be bound here: what to do about it, and what does not work until then.</summary>
    public string? HttpsPortNotice { get; private set; }

    /// <param name="bind">Binds and listens; a test stands in for an operating system that refuses.</param>
    /// <exception cref="CannotStartException">A port is in use or may not be bound, an address is not this machine's; says which, for all of them.</exception>
    public static ListenSockets Bind(ListenerSettings settings, bool production, Func<IPEndPoint, Socket>? bind = null)
    {
        var sockets = new ListenSockets();
        var errors = new List<string>();
        bind ??= Listen;
        sockets.Https = sockets.BindHttps(settings.Bind, settings.HttpsPort, "--https-port", settings, production, bind, errors);
        sockets.Mqtts = sockets.BindAll(settings.Bind, settings.MqttsPort, "--mqtts-port", bind, errors, out _);
        sockets.Amqps = sockets.BindAll(settings.Bind, settings.AmqpsPort, "--amqps-port", bind, errors, out _);
        if (settings.InsecurePlainAmqp is not null)
            sockets.PlainAmqp = sockets.BindAll(null, settings.PlainAmqpPort, "Listeners:PlainAmqpPort", bind, errors, out _);
        if (settings.ServiceBind is { } service)
        {
            sockets.ServiceAmqps = sockets.BindAll(service, settings.ServiceAmqpsPort ?? settings.AmqpsPort, settings.ServiceAmqpsPort is null ? "--amqps-port" : "--service-amqps-port", bind, errors, out _);
            sockets.Services = sockets.BindHttps(service, settings.ServicePort ?? settings.HttpsPort, settings.ServicePort is null ? "--https-port" : "--service-port", settings, production, bind, errors);
        }

        if (errors.Count == 0)
            return sockets;

        sockets.Dispose();
        throw new CannotStartException(errors);
    }

    /// <summary>Hands the socket of an endpoint over to the server, which disposes it.</summary>
    public Socket Take(EndPoint endPoint) => _sockets.Remove((IPEndPoint)endPoint, out var socket)
        ? socket
        : throw new InvalidOperationException($"{endPoint} was not bound, or was taken already");

    public void Dispose()
    {
        foreach (var socket in _sockets.Values)
            socket.Dispose();
        _sockets.Clear();
    }

    private List<IPEndPoint> BindHttps(string? address, int? wanted, string flag, ListenerSettings settings, bool production, Func<IPEndPoint, Socket> bind, List<string> errors)
    {
        const string mend = "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=443";
        var port = wanted ?? 443;
        var ownErrors = new List<string>();
        var bound = BindAll(address, port, flag, bind, ownErrors, out var isForbidden);
        if (!isForbidden)
        {
            errors.AddRange(ownErrors);
            return bound;
        }

        if (port != 443 || production)
        {
            errors.Add($"Port {port} may not be bound by this user: allow it with `{mend}`, or choose another with {flag}.");
            return [];
        }

        HttpsPortNotice =
            $"""
            Port 443 may not be bound by this user, so HTTPS is on 8443. To have 443: {mend}
            Until then these do not work, because the Azure SDKs always use 443 for them: MQTT and AMQP over WebSocket,
            telemetry over HTTPS, and the service SDKs' registry. MQTT on {settings.MqttsPort} and every sallyport verb work.
            """;
        return BindAll(address, 8443, flag, bind, errors, out _);
    }

    private List<IPEndPoint> BindAll(
        string? address, int port, string flag, Func<IPEndPoint, Socket> bind, List<string> errors, out bool isForbidden)
    {
        isForbidden = false;
        var bound = new List<IPEndPoint>();
        foreach (var wanted in address is null ? new[] { IPAddress.Loopback, IPAddress.IPv6Loopback } : [IPAddress.Parse(address)])
        {
            try
            {
                // A free port is chosen once; the second address takes the same.
                var socket = bind(new IPEndPoint(wanted, bound.Count > 0 ? bound[0].Port : port));
                var endPoint = (IPEndPoint)socket.LocalEndPoint!;
                _sockets.Add(endPoint, socket);
                bound.Add(endPoint);
            }
            catch (SocketException refused) when (refused.SocketErrorCode == SocketError.AccessDenied)
            {
                isForbidden = true;
                errors.Add($"Port {port} may not be bound by this user: choose one from 1024 on with {flag}.");
                return bound;
            }
            catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                var owner = PortOwner.ProcessIdOf(port);
                errors.Add($"Port {port} is in use{(owner is null ? "" : $" by process {owner}")}: stop that, or choose another with {flag}.");
                return bound;
            }
            catch (SocketException absent) when (absent.SocketErrorCode is SocketError.AddressNotAvailable or SocketError.AddressFamilyNotSupported)
            {
                // Loopback of IPv6 is missing in many containers; IPv4 alone serves then.
                if (address is null && bound.Count > 0)
                    continue;

                errors.Add($"{wanted} is not an address of this machine: give one that is with {(flag.StartsWith("--service-", StringComparison.Ordinal) ? "--service-bind" : "--bind")}.");
                return bound;
            }
        }

        return bound;
    }

    private static Socket Listen(IPEndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint.AddressFamily == AddressFamily.InterNetworkV6)
                socket.DualMode = endPoint.Address.Equals(IPAddress.IPv6Any);
            socket.Bind(endPoint);
            socket.Listen(Backlog); // Binding alone does not notice everybody who has the port.
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
