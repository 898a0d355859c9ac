using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Mqtt;

/// <summary>
/// MQTT 3.1.1 as devices speak it to IoT Hub: holds the open connections, whatever carries them (TLS on 8883, WebSocket on 443),
/// and watches their deadlines with one timer. Thread-safe.
/// </summary>
public sealed class MqttHead : IDisposable
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<MqttConnection, byte> _open = new();
    private readonly PreAuthenticationLimits _limits;
    private readonly ITimer _watch;
    private volatile bool _stopping;

    public MqttHead(
        IDeviceAuthentication authentication,
        ConnectedDevices devices,
        Ingest ingest,
        IEventLog log,
        MqttSessions sessions,
        PreAuthenticationLimits limits,
        Quotas quotas,
        DevicePromises promises,
        IAuditTrail audit,
        Attempts attempts,
        TimeProvider time,
        ILogger<MqttHead> logger,
        MqttOptions options)
    {
        Promises = promises;
        Authentication = authentication;
        Devices = devices;
        Ingest = ingest;
        Log = log;
        Sessions = sessions;
        _limits = limits;
        Quotas = quotas;
        Audit = audit;
        Attempts = attempts;
        Time = time;
        Logger = logger;
        RefusalLines = new RefusalLines(time, logger);
        Options = options;
        _watch = time.CreateTimer(static head => ((MqttHead)head!).Watch(), this, WatchInterval, WatchInterval);
    }

    internal IDeviceAuthentication Authentication { get; }
    internal ConnectedDevices Devices { get; }
    internal Ingest Ingest { get; }
    internal IEventLog Log { get; }
    internal MqttSessions Sessions { get; }
    internal Quotas Quotas { get; }
    internal DevicePromises Promises { get; }
    internal IAuditTrail Audit { get; }
    internal Attempts Attempts { get; }
    internal TimeProvider Time { get; }
    internal ILogger Logger { get; }

    internal RefusalLines RefusalLines { get; }
    internal MqttOptions Options { get; }
    internal TelemetryTurns Turns { get; } = new();

    /// <summary>Connections that are open, before and after CONNACK.</summary>
    public int OpenConnections => _open.Count;

    /// <summary>Serves one connection; completes when it has ended, never with an exception.</summary>
    /// <param name="transport">The bytes, already out of TLS.</param>
    /// <param name="certificate">What the client showed in its TLS handshake; null when nothing.</param>
    /// <param name="lease">The place among the unauthenticated that the listener took, and gives back when the socket is closed; null: one is taken here.</param>
    /// <param name="abort">Cuts the connection at once; may be called from any thread and more than once.</param>
    /// <param name="closed">Cancelled when the connection is gone.</param>
    public async Task RunAsync(
        IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease? lease, Action abort, CancellationToken closed)
    {
        var own = lease is null ? _limits.TryEnter(peer.Address?.Address ?? IPAddress.None) : null;
        lease ??= own;
        if (lease is null)
        {
            abort();
            return;
        }

        var connection = new MqttConnection(this, transport, peer, certificate, lease, abort, closed);
        _open.TryAdd(connection, 0);
        MqttMeter.Opened();
        try
        {
            if (_stopping)
                connection.Close(HubErrors.ServiceUnavailable, "the hub is stopping");
            await connection.RunAsync().ConfigureAwait(false);
        }
        finally
        {
            own?.End();
            MqttMeter.Ended();
            _open.TryRemove(connection, out _);
        }
    }

    /// <summary>
    /// Ends every connection after its last acknowledgements; connections that come later end at once. Returns immediately:
    /// whoever serves the connections waits for <see cref="RunAsync"/>, at most <see cref="MqttOptions.DrainTimeout"/> long.
    /// </summary>
    public void Stop()
    {
        _stopping = true;
        foreach (var (connection, _) in _open)
            connection.Close(HubErrors.ServiceUnavailable, "the hub is stopping");
    }

    public void Dispose() => _watch.Dispose();

    private void Watch()
    {
        var now = Time.GetTimestamp();
        var utcNow = Time.GetUtcNow();
        foreach (var (connection, _) in _open)
            connection.Watch(now, utcNow);
    }
}
