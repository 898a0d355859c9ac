using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Heads;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Faults;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;
using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>
/// The AMQP head over a real log, a real metadata store and the real authenticators: devices d1 (with modules m1 and m2) and d2, the default
/// policies. The clock stands unless a test moves it; the log commits by itself unless a test does that.
/// </summary>
internal sealed class AmqpTestHub : IAsyncDisposable
{
    private readonly Storage.TemporaryDirectory _directory = new();
    private readonly List<AmqpTestClient> _clients = [];
    private SegmentLog _segments = null!;
    private ActivityWriteBack? _activity; // with twins
    private int _nextPort = 40_000;

    private AmqpTestHub()
    {
    }

    /// <summary>Of a service that acts for the hub's owner.</summary>
    public static Actor Owner { get; } = new("policy:iothubowner", "", AzureRights.All, "1", "local");

    public StepTime Time { get; } = new();

    public AccessFixture Access { get; private set; } = null!;

    public GatedLog Log { get; private set; } = null!;

    public ConsumerGroups Groups { get; private set; } = null!;

    public PreAuthenticationLimits Limits { get; private set; } = null!;

    public QuarantineLine Line { get; } = new();

    public Feedback Feedback { get; private set; } = null!;

    public FileNotifications FileNotifications { get; private set; } = null!;

    public CommandQueues Commands { get; private set; } = null!;

    /// <summary>Where the test asked for them.</summary>
    public DeviceTwins Twins { get; private set; } = null!;

    public AmqpHead Head { get; private set; } = null!;

    /// <summary>What the head wrote to the log.</summary>
    public WrittenLines Lines { get; } = new();

    /// <param name="commits">False: nothing is committed until <see cref="Commit"/>.</param>
    public static async Task<AmqpTestHub> StartAsync(
        AmqpHeadOptions? options = null, QuotaOptions? quotas = null, ConnectionLimitsOptions? limits = null, bool commits = true, CommandOptions? commands = null, bool faults = false, bool twins = false)
    {
        var hub = new AmqpTestHub();
        hub.Access = new AccessFixture { Time = hub.Time };
        await hub.Access.InitializeAsync();
        var log = new SegmentLogOptions { Directory = hub._directory.Path, SegmentBytes = 16 * 1024 * 1024, ReserveBytes = 0 };
        hub._segments = commits
            ? await SegmentLog.OpenAsync(log, new byte[32], hub.Time, NullLogger.Instance)
            : SegmentLog.Open(log, new byte[32], hub.Time, NullLogger.Instance, new DiskFiles(hub._directory.Path));
        hub.Log = new GatedLog(hub._segments);
        hub.Groups = new ConsumerGroups(hub.Access.Metadata, hub.Access.Audit, hub.Time);
        hub.Limits = new PreAuthenticationLimits(limits ?? new ConnectionLimitsOptions());
        var names = new HubNames([AccessFixture.Host]);
        var kept = commands ?? new CommandOptions();
        hub.Feedback = new Feedback(hub.Access.Metadata, kept, hub.Time);
        hub.FileNotifications = new FileNotifications(hub.Access.Metadata, new UploadOptions(), hub.Time);
        hub.Commands = new CommandQueues(hub.Access.Metadata, hub.Access.Connected, hub.Line, hub.Feedback, kept, hub.Time);
        if (twins)
        {
            await hub.Access.Metadata.WriteAsync(tx =>
            {
                foreach (var id in (string[])["d1", "d2"])
                    hub.Access.Metadata.Twins.Put(tx, TwinParts.New(Identity.Of(id), "1", hub.Time.GetUtcNow().UtcDateTime));
                return true;
            });
            hub._activity = new ActivityWriteBack(hub.Access.Metadata, hub.Access.Connected, hub.Time, NullLogger<ActivityWriteBack>.Instance);
            hub.Twins = new DeviceTwins(
                hub.Access.Metadata, hub.Access.Connected, hub._activity, names, hub.Line, hub.Access.Tags, hub.Access.Audit, new Quotas(quotas ?? new QuotaOptions(), hub.Time), hub.Time);
        }

        hub.Head = new AmqpHead(
            new AmqpServices(
                hub.Access.Devices, hub.Access.Services, new PlainKeys(hub.Access.Policies, names, new TokenOptions(), hub.Access.Audit, hub.Time, isAllowed: false), names,
                hub.Access.Connected, new Ingest(hub.Log, hub.Line), hub.Log, hub.Groups, hub.Limits, new Quotas(quotas ?? new QuotaOptions(), hub.Time),
                hub.Access.Revoked, new PrivilegedReads(hub.Access.Audit, hub.Time), hub.Access.Audit, hub.Access.Attempts, hub.Time, hub.Lines)
            {
                Promises = new DevicePromises { Commands = hub.Commands, Twins = hub.Twins, Faults = faults ? new FaultInjection(hub.Time, NullLogger<FaultInjection>.Instance) : null },
                Commands = hub.Commands,
                Feedback = hub.Feedback,
                FileNotifications = hub.FileNotifications,
            },
            options ?? new AmqpHeadOptions(), 5671);
        return hub;
    }

    /// <summary>What was appended is on disk from now on; for a hub that does not commit by itself.</summary>
    public void Commit() => Assert.True(_segments.CommitPending());

    /// <summary>A connection on which nothing was said.</summary>
    public AmqpTestClient Connect(Zone zone = Zone.All, bool isEncrypted = true, PresentedCertificate? certificate = null)
    {
        var peer = new Peer(new IPEndPoint(IPAddress.Loopback, _nextPort++), isEncrypted ? "amqp" : "amqp-plain");
        var client = new AmqpTestClient(Head, peer, new Surroundings(certificate, zone, isEncrypted));
        _clients.Add(client);
        return client;
    }

    /// <summary>A connection with a session and the links of <c>$cbs</c>.</summary>
    public async Task<AmqpTestClient> OpenAsync(Zone zone = Zone.All, bool isEncrypted = true, PresentedCertificate? certificate = null, uint? idleTimeOutMs = null)
    {
        var client = Connect(zone, isEncrypted, certificate);
        await client.OpenAsync(idleTimeOutMs: idleTimeOutMs);
        await client.AttachCbsAsync();
        return client;
    }

    /// <summary>A device that may send telemetry on handle 2.</summary>
    public async Task<AmqpTestClient> DeviceAsync(string id = "d1", TimeSpan? tokenLife = null, uint? idleTimeOutMs = null)
    {
        var client = await OpenAsync(idleTimeOutMs: idleTimeOutMs);
        await AddDeviceAsync(client, id, handle: 2, tokenLife);
        return client;
    }

    /// <summary>One more device on the connection.</summary>
    public async Task AddDeviceAsync(AmqpTestClient client, string id, uint handle, TimeSpan? tokenLife = null, ushort channel = 0)
    {
        await PutAsync(client, id, tokenLife);
        await client.SendAsync(Frames.AttachSender(handle, $"up-{id}", $"devices/{id}/messages/events", channel));
        await client.ExpectAsync("attach", "flow");
    }

    public async Task PutAsync(AmqpTestClient client, string id, TimeSpan? life = null) =>
        Assert.Equal(200, await client.PutAsync($"hub.test/devices/{id}", Access.Token(Identity.Of(id), life: life)));

    public async Task PutPolicyAsync(AmqpTestClient client, string policy = "service", TimeSpan? life = null) =>
        Assert.Equal(200, await client.PutAsync("hub.test", Access.PolicyToken(policy, life: life)));

    /// <summary>A connection that may read events.</summary>
    public async Task<AmqpTestClient> ServiceAsync(string policy = "service", TimeSpan? life = null)
    {
        var client = await OpenAsync();
        await PutPolicyAsync(client, policy, life);
        return client;
    }

    public int PartitionOfDevice(string id) => PartitionOf.Device(id, Log.PartitionCount);

    /// <summary>Messages of the device that were appended and committed.</summary>
    public long StoredCount(string id = "d1") => StoredIn(PartitionOfDevice(id));

    public long StoredIn(int partition) => Log.Describe(StreamId.Events, partition).NextSequence;

    /// <summary>The first messages that a device sent; waits until there are so many.</summary>
    public async Task<IReadOnlyList<StoredText>> StoredAsync(int count, string id = "d1")
    {
        using var cursor = Log.OpenCursor(StreamId.Events, PartitionOfDevice(id), LogStart.Earliest);
        using var patience = new CancellationTokenSource(MqttTestClient.Patience);
        var stored = new List<StoredText>();
        var page = new LogPage();
        while (stored.Count < count)
        {
            if (await cursor.ReadAsync(page, patience.Token) == 0)
                await cursor.WaitAsync(patience.Token);
            foreach (var record in page.Records)
                stored.Add(StoredText.Of(record));
        }

        return stored;
    }

    /// <summary>What the audit trail says was refused.</summary>
    public IReadOnlyList<AuditEntry> Refusals => [.. Access.Audit.Entries.Where(entry => entry.Result == "refused")];

    /// <summary>The newest thing that diagnosis knows of a device.</summary>
    public Attempt Newest(string subject) => Access.Attempts.Of(subject)[0];

    public async ValueTask DisposeAsync()
    {
        Log.Open();
        foreach (var client in _clients)
            client.Abort();
        await Task.WhenAll(_clients.Select(client => client.Served)).WaitAsync(MqttTestClient.Patience);
        _clients.ForEach(client => client.Dispose());
        Assert.DoesNotContain(Lines.All, line => line.StartsWith("Error", StringComparison.Ordinal)); // Nothing that a peer does is our own failure.
        Head.Dispose();
        Limits.Dispose();
        Groups.Dispose();
        if (_activity is not null)
            await _activity.DisposeAsync();
        await Log.DisposeAsync();
        await Access.DisposeAsync();
        _directory.Dispose();
    }
}

/// <summary>A log in memory.</summary>
internal sealed class WrittenLines : ILogger<AmqpHead>
{
    public ConcurrentQueue<string> All { get; } = [];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        All.Enqueue($"{logLevel} {eventId.Id} {formatter(state, exception)}");
}
