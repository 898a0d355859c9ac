using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using Sallyport.Certificates;
using Sallyport.Connections;
using Sallyport.Heads.Amqp;
using Sallyport.Heads.Connections;
using Sallyport.Heads.Http;
using Sallyport.Heads.Mqtt;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Faults;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Moving;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Posture;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Secrets;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;
using Sallyport.Hub.Uploads;
using Sallyport.Moving;
using Sallyport.Services.Connections;
using Sallyport.Services.Outgoing;
using Sallyport.Settings;
using Sallyport.Storage;
using Sallyport.Storage.Blobs;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;
using Sallyport.Uploads;

namespace Sallyport.Up;

/// <summary>
/// One running hub. Everything is put together in <c>ComposeAsync</c>, in the order in which it depends on each other;
/// <see cref="DisposeAsync"/> takes it apart in the reverse.
/// </summary>
internal sealed class HubHost : IAsyncDisposable
{
    // What a connection that is not read (before it is authenticated, or held back) costs beside its socket: four TLS records.
    private const int UnreadBytesMax = 64 * 1024;

    // Connections get this much of the 20 s that stopping may take; what they had acknowledged is written after it.
    private static readonly TimeSpan ConnectionsEnd = TimeSpan.FromSeconds(10);

    private readonly Parts _parts;
    private readonly WebApplication _server;
    private readonly MqttHead _mqtt;
    private readonly AmqpHead _amqp;

    private HubHost(Parts parts, WebApplication server, MqttHead mqtt, AmqpHead amqp, ServerCertificate certificate, EndpointsFile endpoints, string? httpsPortNotice, Task<Exception> failure)
    {
        _parts = parts;
        _server = server;
        _mqtt = mqtt;
        _amqp = amqp;
        HttpsPortNotice = httpsPortNotice;
        Certificate = certificate;
        Endpoints = endpoints;
        Failure = failure;
    }

    /// <summary>Where it is reached.</summary>
    public EndpointsFile Endpoints { get; }

    /// <inheritdoc cref="ListenSockets.HttpsPortNotice"/>
    public string? HttpsPortNotice { get; }

    public ServerCertificate Certificate { get; }

    /// <summary>What it serves over HTTPS.</summary>
    internal IReadOnlyList<Endpoint> Routes => _server.Services.GetRequiredService<EndpointDataSource>().Endpoints;

    /// <summary>Completes, with the reason, when the hub can no longer promise durability: the process must end.</summary>
    public Task<Exception> Failure { get; }

    /// <summary><see cref="SegmentLog.OpenAsync"/>, or the same over a disk that a test fills.</summary>
    internal delegate Task<IEventLog> OpenLog(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger);

    /// <summary>Starts a hub; when this completes, every listener accepts and <c>endpoints.json</c> is written.</summary>
    /// <exception cref="CannotStartException">Something is not as it must be; says what to do.</exception>
    /// <exception cref="UnusableDataException">The data directory or its key cannot be used; says what to do.</exception>
    /// <param name="guardTrail">Stands between the hub and its audit trail; a test breaks it there.</param>
    public static async Task<HubHost> StartAsync(
        LiveSettings live, ILoggerFactory logs, TimeProvider time, OpenLog? openLog = null, Func<IAuditTrail, IAuditTrail>? guardTrail = null)
    {
        var parts = new Parts();
        try
        {
            return await ComposeAsync(parts, live, logs, time, openLog ?? OpenLogAsync, guardTrail ?? (trail => trail)).ConfigureAwait(false);
        }
        catch
        {
            await parts.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Stops accepting, lets connections end by their protocol, then writes what is left: last acknowledgements, checkpoints, log.</summary>
    public async ValueTask DisposeAsync()
    {
        _mqtt.Stop();
        _amqp.Stop();
        using var bound = new CancellationTokenSource(ConnectionsEnd);
        await _server.StopAsync(bound.Token).ConfigureAwait(false);
        await _parts.DisposeAsync().ConfigureAwait(false);
    }

    private static async Task<HubHost> ComposeAsync(
        Parts parts, LiveSettings live, ILoggerFactory logs, TimeProvider time, OpenLog openLog, Func<IAuditTrail, IAuditTrail> guardTrail)
    {
        var settings = live.Current;
        var log = logs.CreateLogger("Sallyport.Up");

        if (settings.Hub.Production)
            Production.Check(settings, Environment.GetEnvironmentVariable, time.GetUtcNow());

        // What is on disk, and this process's alone; then the ports.
        var data = parts.Add(DataDirectory.Open(settings.Hub.Data, time));
        var sockets = parts.Add(ListenSockets.Bind(settings.Listeners, settings.Hub.Production));
        var keys = HeldKeys.Open(data, settings.Hub.KeyFile, Environment.GetEnvironmentVariable);
        if (keys.OldIds.Count > 0)
            log.RotationUnfinished(keys.Path, string.Join(", ", keys.OldIds));
        File.Delete(data.EndpointsPath);
        var certificate = parts.Add(CertificateOf(settings, data, time, logs));
        var auditKeys = new AuditKeys(data.Id, keys.Ring);
        var trail = parts.Add(AuditTrail.Open(data.AuditPath, auditKeys, new AuditTrailOptions(), time, logs.CreateLogger<AuditTrail>()));
        var audit = guardTrail(trail);
        audit.Note(Own("hub start", data.Id));
        parts.Add(new Undo(() => audit.Note(Own("hub stop", data.Id))));
        var secrets = parts.Add(new SecretBox(keys.Ring));
        var metadata = parts.Add(await SqliteMetadata.OpenAsync(
            data.MetadataPath, secrets, time, logs.CreateLogger<SqliteMetadata>()).ConfigureAwait(false));
        var events = parts.Add(await openLog(
            settings.EventLog with { Directory = data.LogPath }, keys.Ring.LogMacKey(), time, logs.CreateLogger<SegmentLog>()).ConfigureAwait(false));

        var rotation = parts.Add(new KeyRotation(metadata, secrets, keys, auditKeys, audit, time, logs.CreateLogger<KeyRotation>()));

        // Heads of the trail go where this machine cannot take them back.
        var outgoing = Outgoing(settings, data, sockets);
        var https = parts.Add(new OutgoingHttps(outgoing, time));
        var anchors = new AnchorSender(trail, AnchorTargets.Of(settings.Audit, outgoing, https, time), settings.Audit.AnchorInterval, time, logs.CreateLogger<AnchorSender>());
        parts.Add(new Running(anchors.RunAsync));

        // Who may come in.
        var names = new HubNames(settings.Names);
        var tags = new KnownTags(metadata);
        var policies = parts.Add(await Policies.OpenAsync(metadata, tags, audit, time, CancellationToken.None).ConfigureAwait(false));
        parts.Add(new RightUseWriteBack(policies, metadata, time, logs.CreateLogger<RightUseWriteBack>()));
        var identities = new IdentityCache(metadata);
        var attempts = new Attempts(new KnownSubjects(identities, policies).Exists, time);
        var connected = new ConnectedDevices(attempts, time);
        var authorities = parts.Add(new CertificateAuthorities(
            metadata, audit, connected, tags, (url, cancel) => https.GetAsync(url, CertificateAuthorities.MaxRevocationListBytes, cancel), TlsDirectory.OtherRoots(data.TlsPath), time, logs.CreateLogger<CertificateAuthorities>()));
        var developmentRoot = new DevelopmentRoot(data.TlsPath, settings.Hub.Production, authorities, audit, time);
        await developmentRoot.RegisterAsync(CancellationToken.None).ConfigureAwait(false);
        var renewal = parts.Add(new Running(authorities.RenewListsAsync));
        var revoked = parts.Add(new RevokedTokens(metadata, audit, time));
        var tokens = new TokenCheck(names, revoked, settings.Access.Tokens, time);
        var sightings = new Sightings(time);
        var attestation = new NoKeyAttestation();
        var line = new QuarantineLine();
        var devices = new SightedDevices(
            new AttestedDevices(
                new GatewaysInQuarantine(new DeviceAuthenticator(tokens, identities, policies, authorities, audit, attempts, time), line, audit, attempts), attestation, audit, attempts), sightings);
        var services = new SightedServices(new ServiceAuthenticator(tokens, policies, authorities, audit, attempts, time), sightings);
        var plainKeys = new PlainKeys(policies, names, settings.Access.Tokens, audit, time, isAllowed: settings.Access.InsecureSharedKeyOverPlain is not null);
        plainKeys.Exposed += sightings.KeyExposed;

        // What devices do, and what becomes of it.
        var backoff = new FailureBackoff(settings.Limits.Backoff, time);
        backoff.BackedOff += address => audit.Note(BackedOff(address));
        var limits = parts.Add(new PreAuthenticationLimits(settings.Limits.Connections, backoff));
        var filter = parts.Add(new IpFilter(metadata, audit));
        var quotas = new Quotas(settings.Limits.Quotas, time);
        var quarantine = parts.Add(new Quarantine(metadata, line, audit, time));
        quarantine.Placed += device => GatewaysInQuarantine.EndSessions(connected, device);
        var clones = new CloneSuspicion(settings.Physical.Copies, quarantine, audit, time, logs.CreateLogger<CloneSuspicion>());
        connected.TakenOver += clones.TakenOver;
        var activity = parts.Add(new ActivityWriteBack(metadata, connected, time, logs.CreateLogger<ActivityWriteBack>()));
        parts.Add(new Running(new ConnectionEvents(connected, events, names, time, logs.CreateLogger<ConnectionEvents>()).RunAsync));
        var twins = new DeviceTwins(metadata, connected, activity, names, line, tags, audit, quotas, time);
        _ = new TagLimitedLinks(tags, connected, authorities, metadata);
        var ingest = new Ingest(events, line, new TamperRule(quarantine, settings.Physical.TamperProperties));
        var groups = parts.Add(new ConsumerGroups(metadata, audit, time));
        var reads = new PrivilegedReads(audit, time);
        var methods = parts.Add(new DirectMethods(connected, identities, line, reads, time));
        var feedback = new Feedback(metadata, settings.Commands, time);
        var commands = new CommandQueues(metadata, connected, line, feedback, settings.Commands, time);
        var commandUpkeep = parts.Add(new Running(cancel => commands.RunAsync(logs.CreateLogger<CommandQueues>(), cancel)));
        var blobFiles = new BlobFiles(data.BlobsPath);
        var blobSignature = new BlobSignature(() => keys.Ring, time);
        var bodyTurns = parts.Add(new BodyTurns(settings.Uploads, time));
        var blobs = new BuiltInBlobs(metadata, blobFiles, blobSignature, identities, line, bodyTurns, settings.Uploads, time);
        var fileNotifications = new FileNotifications(metadata, settings.Uploads, time);
        IBlobStore blobStore = UploadAccount.Open(settings, outgoing) is { } account ? parts.Add(account) : blobs;
        var uploads = new FileUploads(metadata, blobStore, fileNotifications, line, quotas, settings.Uploads, time);
        var uploadUpkeep = parts.Add(new Running(cancel => uploads.RunAsync(blobs, logs.CreateLogger<FileUploads>(), cancel)));
        var queries = parts.Add(new TwinQueries(metadata, connected, activity, quotas, new QueryLimits(), time));
        var jobs = new ScheduledJobs(metadata, policies, tags, queries, twins, methods, connected, audit, new JobOptions(), time, logs.CreateLogger<ScheduledJobs>());
        var jobsRunning = parts.Add(new Running(jobs.RunAsync));
        var promises = new DevicePromises
        {
            Methods = methods, Twins = twins, Commands = commands,
            Faults = settings.Listeners.InsecureFaultInjection is null ? null : new FaultInjection(time, logs.CreateLogger<FaultInjection>()),
        };
        var mqtt = parts.Add(new MqttHead(
            devices, connected, ingest, events, new MqttSessions(metadata), limits, quotas, promises, audit, attempts, time, logs.CreateLogger<MqttHead>(), new MqttOptions()));
        var amqp = parts.Add(new AmqpHead(
            new AmqpServices(
                devices, services, plainKeys, names, connected, ingest, events, groups, limits, quotas, revoked, reads, audit, attempts, time, logs.CreateLogger<AmqpHead>()) { Promises = promises, Commands = commands, Feedback = feedback, FileNotifications = fileNotifications },
            new AmqpHeadOptions(), (sockets.ServiceAmqps.Count > 0 ? sockets.ServiceAmqps : sockets.Amqps)[0].Port));
        var relay = parts.Add(new Running(new OutboxRelay(metadata, events, time, logs.CreateLogger<OutboxRelay>()).RunAsync));
        var connections = parts.Add(new ServiceConnections(
            events, metadata, outgoing, connection => MayRun(policies, connection), time, logs, Skipped(audit)));
        await connections.StartAsync(CancellationToken.None).ConfigureAwait(false);
        events.BeginRetention();

        var listeners = new GuardedListeners(sockets.Take, address => filter.Refuses(address) || backoff.IsRefused(address), new SocketConnectionFactoryOptions { MaxReadBufferSize = UnreadBytesMax }, time, logs);
        filter.Changed += () => listeners.Cut(filter.Denies, "an IP filter rule denies the address");
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "sallyport", ContentRootPath = AppContext.BaseDirectory });
        builder.Services
            .AddLogging()
            .AddSingleton(logs)
            .AddSingleton(time)
            .AddSingleton(names)
            .AddSingleton<IMetadata>(metadata)
            .AddSingleton<IEventLog>(events)
            .AddSingleton(audit)
            .AddSingleton(trail)
            .AddSingleton(anchors)
            .AddSingleton(auditKeys)
            .AddSingleton(new AuditReader(data.AuditPath))
            .AddSingleton(policies)
            .AddSingleton(authorities)
            .AddSingleton(identities)
            .AddSingleton(tags)
            .AddSingleton(attempts)
            .AddSingleton(tokens)
            .AddSingleton(revoked)
            .AddSingleton(settings.Access.Tokens)
            .AddSingleton<IDeviceAuthentication>(devices)
            .AddSingleton<IServiceAuthentication>(services)
            .AddSingleton(plainKeys)
            .AddSingleton(connected)
            .AddSingleton<IKeyAttestation>(attestation)
            .AddSingleton(quarantine)
            .AddSingleton(line)
            .AddSingleton<IJobContainers>(parts.Add(new JobContainers(outgoing)))
            .AddSingleton(clones)
            .AddSingleton(sightings)
            .AddSingleton<Func<HubFacts>>(new RunningFacts(live, data, keys, sockets, certificate, connections, time).Now)
            .AddSingleton(new RegistryOptions { AllowSharedCredentials = settings.Registry.InsecureSharedCredentials is not null })
            .AddSingleton(activity)
            .AddSingleton(twins)
            .AddSingleton(ingest)
            .AddSingleton(groups)
            .AddSingleton(quotas)
            .AddSingleton(commands)
            .AddSingleton(feedback)
            .AddSingleton(blobSignature)
            .AddSingleton(blobs)
            .AddSingleton(blobStore)
            .AddSingleton(fileNotifications)
            .AddSingleton(uploads)
            .AddSingleton(queries)
            .AddSingleton(jobs)
            .AddSingleton(settings.Configurations)
            .AddSingleton(backoff)
            .AddSingleton(limits)
            .AddSingleton(filter)
            .AddSingleton<IConnectionListenerFactory>(listeners)
            .AddSingleton(mqtt)
            .AddSingleton<IWebSocketHead, MqttWebSocket>()
            .AddSingleton(amqp)
            .AddSingleton<IWebSocketHead>(amqp)
            .AddSingleton(groups)
            .AddSingleton(reads)
            .AddSingleton(methods)
            .AddSingleton<ISettingsInForce>(live)
            .AddSingleton(connections)
            .AddSingleton<ConnectionRoutes>()
            .AddSingleton(rotation)
            .AddSingleton(keys)
            .AddSingleton<SecretsRoutes>()
            .AddHttpHead()
            .AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter("Sallyport.*", "System.Runtime").AddPrometheusExporter());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(sockets, limits, audit, time, certificate, sightings));

        var server = parts.Add(builder.Build());
        server.UseWebSockets();
        server.UseRouting();
        server.UseRouteAccess();
        server.MapHttpHead();
        server.MapWebSocketHeads();
        server.Services.GetRequiredService<ConnectionRoutes>().Map(server);
        server.Services.GetRequiredService<SecretsRoutes>().Map(server);
        developmentRoot.Map(server);
        MonitoringRoutes.Map(server, isReady: () => !events.Failure.IsCompleted && !metadata.Failure.IsCompleted);
        parts.Add(new Running(server.Services.GetRequiredService<RegistryJobs>().RunAsync));
        var rollout = parts.Add(new Running(server.Services.GetRequiredService<ConfigurationRollout>().RunAsync));
        await server.StartAsync().ConfigureAwait(false);

        var endpoints = EndpointsFile.Of(settings, data, sockets, policies);
        parts.Add(new Undo(() => File.Delete(data.EndpointsPath)));
        endpoints.Write(data.Path);
        log.Listening(endpoints.HostName, sockets.Https[0].Port, sockets.Mqtts[0].Port, sockets.AmqpPorts, data.Path);
        return new HubHost(parts, server, mqtt, amqp, certificate, endpoints, sockets.HttpsPortNotice, FirstFailure(events.Failure, metadata.Failure, relay.Failure, renewal.Failure, commandUpkeep.Failure, uploadUpkeep.Failure, jobsRunning.Failure, rollout.Failure));
    }

    private static ServerCertificate CertificateOf(HubSettings settings, DataDirectory data, TimeProvider time, ILoggerFactory logs)
    {
        var log = logs.CreateLogger("Sallyport.Certificates");
        if (settings.Tls.CertificateFile is null)
            return new ServerCertificate(new TlsDirectory(data.TlsPath, settings.Names, time, log), time, log);

        try
        {
            return new ServerCertificate(new GivenCertificate(settings.Tls, time), time, log);
        }
        catch (Exception unusable) when (unusable is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
        {
            throw new CannotStartException($"The server's certificate cannot be used: {unusable.Message.TrimEnd('.')}. Name it with --tls-certificate FILE and its key with --tls-key FILE, both PEM.");
        }
    }

    private static OutgoingOptions Outgoing(HubSettings settings, DataDirectory data, ListenSockets sockets) => new()
    {
        SinksDirectory = data.SinksPath,
        AllowLoopback = settings.Outgoing.AllowLoopback ?? !settings.Hub.Production,
        FileDirectories = settings.Outgoing.FileDirectories,
        AllowedNetworks = settings.Outgoing.AllowedNetworks,
        RootsFile = settings.Outgoing.RootsFile,
        OwnPorts = [.. sockets.All.Select(endPoint => endPoint.Port).Distinct()],
    };

    private static async Task<IEventLog> OpenLogAsync(SegmentLogOptions options, byte[] macKey, TimeProvider time, ILogger logger) =>
        await SegmentLog.OpenAsync(options, macKey, time, logger).ConfigureAwait(false);

    /// <summary>A connection reads with the rights that its creator holds now, and no more than it held then.</summary>
    private static bool MayRun(Policies policies, ConnectionRecord connection) =>
        policies.HeldBy(connection.Creator) is { Scope: { LimitsDevices: false, ConsumerGroups.Count: 0 } } held
        && (held.Rights & (Rights)connection.CreatorRights & Rights.TelemetryRead) != 0;

    // A start without a stop before it: the hub did not end by itself.
    private static AuditEntry Own(string action, string hubId) => new("local:hub", "", action, hubId, "done", "", "", "local");

    // Once a minute and address, with how often: the sockets that are closed then are counted by the meter.
    private static AuditEntry BackedOff(System.Net.IPAddress address) =>
        new("anonymous", "", "connection", $"address {address}", "refused", "429001 it fails again and again to authenticate: its sockets are closed for a while", "", address.ToString());

    // Each by itself: the counts must add up.
    private static RecordsSkipped Skipped(IAuditTrail audit) => (connection, partition, count) => audit.Note(new AuditEntry(
        $"connection:{connection}", "", "connection skip", $"{connection} partition {partition}", "done", $"{count} records were gone by retention before they could be written", Guid.NewGuid().ToString("N"), "local"));

    private static async Task<Exception> FirstFailure(params Task<Exception>[] failures) =>
        await (await Task.WhenAny(failures).ConfigureAwait(false)).ConfigureAwait(false);
}
