using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using Microsoft.Extensions.Logging;
using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp;

/// <summary>What the AMQP head needs of the hub. Immutable.</summary>
public sealed record AmqpServices(
    IDeviceAuthentication Devices,
    IServiceAuthentication Services,
    PlainKeys PlainKeys,
    HubNames Names,
    ConnectedDevices Connected,
    Ingest Ingest,
    IEventLog Log,
    ConsumerGroups Groups,
    PreAuthenticationLimits Limits,
    Quotas Quotas,
    RevokedTokens Revoked,
    PrivilegedReads Reads,
    IAuditTrail Audit,
    Attempts Attempts,
    TimeProvider Time,
    ILogger<AmqpHead> Logger)
{
    /// <summary>What devices get besides telemetry.</summary>
    public DevicePromises Promises { get; init; } = DevicePromises.None;

    /// <summary>Where services send commands.</summary>
    public required CommandQueues Commands { get; init; }

    /// <summary>What they are told of them.</summary>
    public required Feedback Feedback { get; init; }

    /// <summary>What they are told of file uploads.</summary>
    public required FileNotifications FileNotifications { get; init; }
}

/// <summary>
/// AMQP 1.0 as devices, services and Event Hubs readers speak it: holds the open connections, whatever carries them (TLS on 5671, WebSocket
/// on 443), and watches their deadlines with one timer. Thread-safe.
/// </summary>
public sealed class AmqpHead : IWebSocketHead, IDisposable
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<AmqpPeer, byte> _open = new();
    private readonly ITimer _watch;
    private volatile bool _stopping;

    /// <param name="amqpsPort">Where <c>amqp:link:redirect</c> sends those who look for events at the hub itself.</param>
    public AmqpHead(AmqpServices hub, AmqpHeadOptions options, int amqpsPort)
    {
        Hub = hub;
        Options = options;
        AmqpsPort = amqpsPort;
        Created = hub.Time.GetUtcNow();
        RefusalLines = new RefusalLines(hub.Time, hub.Logger);
        hub.Groups.Deleted += Readers.EndGroup;
        _watch = hub.Time.CreateTimer(static head => ((AmqpHead)head!).Watch(), this, WatchInterval, WatchInterval);
    }

    /// <summary>Connections that are open, before and after authentication.</summary>
    public int OpenConnections => _open.Count;

    string IWebSocketHead.SubProtocol => "AMQPWSB10";

    IReadOnlyList<string> IWebSocketHead.Paths { get; } = [WebSocketEndpoints.IotHubPath, "/$servicebus/websocket"];

    Zone IWebSocketHead.ServedTo => Zone.All;

    string IWebSocketHead.PeerProtocol => "amqp-ws";

    internal AmqpServices Hub { get; }

    /// <summary>When the Event Hub came to be, as far as its description says.</summary>
    internal DateTimeOffset Created { get; }

    internal AmqpHeadOptions Options { get; }

    internal int AmqpsPort { get; }

    internal RefusalLines RefusalLines { get; }

    internal PartitionReaders Readers { get; } = new();

    internal TelemetryTurns Turns { get; } = new();

    /// <inheritdoc/>
    public Task RunAsync(
        IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease? lease, Zone zone, Action abort, CancellationToken closed) =>
        RunAsync(transport, peer, new Surroundings(certificate, zone, IsEncrypted: true), lease, abort, closed);

    /// <summary>Serves one connection; completes when it has ended, never with an exception.</summary>
    /// <param name="surroundings">Through what it came.</param>
    /// <param name="lease">The place among the unauthenticated that the listener took; null: one is taken here.</param>
    internal async Task RunAsync(
        IDuplexPipe transport, Peer peer, Surroundings surroundings, PreAuthenticationLease? lease, Action abort, CancellationToken closed)
    {
        var own = lease is null ? Hub.Limits.TryEnter(peer.Address?.Address ?? IPAddress.None) : null;
        lease ??= own;
        if (lease is null)
        {
            abort();
            return;
        }

        using var connection = new AmqpPeer(this, transport, peer, surroundings, lease, abort, closed);
        _open.TryAdd(connection, 0);
        AmqpMeter.Opened();
        try
        {
            if (_stopping)
                connection.Close(HubErrors.ServiceUnavailable, "the hub is stopping");
            await connection.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            own?.End();
            AmqpMeter.Ended();
            _open.TryRemove(connection, out _);
        }
    }

    /// <summary>Closes every connection with the protocol's close after its last acknowledgements; returns immediately.</summary>
    public void Stop()
    {
        _stopping = true;
        foreach (var (connection, _) in _open)
            connection.CloseSettled(HubErrors.ServiceUnavailable, "the hub is stopping");
    }

    public void Dispose()
    {
        Hub.Groups.Deleted -= Readers.EndGroup;
        _watch.Dispose();
    }

    private void Watch()
    {
        var now = Hub.Time.GetTimestamp();
        var utcNow = Hub.Time.GetUtcNow();
        foreach (var (connection, _) in _open)
            connection.Watch(now, utcNow);
    }
}

/// <summary>Through what a connection came.</summary>
/// <param name="Zone">Whom the listener serves.</param>
/// <param name="IsEncrypted">False on the plain listener for emulator clients: no device, and no password.</param>
internal sealed record Surroundings(PresentedCertificate? Certificate, Zone Zone, bool IsEncrypted);
