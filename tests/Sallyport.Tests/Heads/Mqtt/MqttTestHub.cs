using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Threading.Channels;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Heads.Mqtt;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Faults;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Protocol.Mqtt;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>The MQTT head over a real log and a real metadata store; only who is let in is scripted. The clock stands unless a test moves it.</summary>
internal sealed class MqttTestHub : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly SqliteFixture _sqlite = new();
    private readonly List<MqttTestClient> _clients = [];
    private readonly MqttOptions _options;
    private bool _injectsFaults;
    private SqliteMetadata _metadata = null!;
    private ActivityWriteBack _activity = null!;
    private int _nextPort = 40_000;

    private MqttTestHub(MqttOptions options, ConnectionLimitsOptions limits)
    {
        _options = options;
        Limits = new PreAuthenticationLimits(limits);
        Attempts = new Attempts(subject => subject is "d1" or "d1/m1" or "d2", Time);
    }

    public WatchedTime Time { get; } = new();

    public ScriptedAuthentication Authentication { get; } = new();

    public NotedRefusals Audit { get; } = new();

    public Attempts Attempts { get; }

    public GatedLog Log { get; private set; } = null!;

    public ConnectedDevices Devices { get; private set; } = null!;

    public DirectMethods Methods { get; private set; } = null!;

    public DeviceTwins Twins { get; private set; } = null!;

    public QuarantineLine Line { get; private set; } = null!;

    public CommandQueues Commands { get; private set; } = null!;

    public PreAuthenticationLimits Limits { get; }

    public QuotaOptions Quotas { get; private init; } = new();

    public MqttHead Head { get; private set; } = null!;

    public static async Task<MqttTestHub> StartAsync(MqttOptions? options = null, ConnectionLimitsOptions? limits = null, int segmentBytes = 4 * 1024 * 1024, QuotaOptions? quotas = null, bool faults = false)
    {
        var hub = new MqttTestHub(options ?? new MqttOptions(), limits ?? new ConnectionLimitsOptions()) { Quotas = quotas ?? new QuotaOptions(), _injectsFaults = faults };
        hub.Log = new GatedLog(await SegmentLog.OpenAsync(
            new SegmentLogOptions { Directory = hub._directory.Path, SegmentBytes = segmentBytes, CommitBufferBytes = 2 * 1024 * 1024, ReserveBytes = 0 },
            new byte[32], hub.Time, NullLogger.Instance));
        await hub.OpenHeadAsync();
        await hub.RegisterAsync("d1", null);
        await hub.RegisterAsync("d1", "m1");
        await hub.RegisterAsync("d2", null);
        hub.Time.ForgetTimers();
        return hub;
    }

    /// <summary>Ends the head and opens another over the same metadata file, as a restart of the process does.</summary>
    public async Task RestartHeadAsync()
    {
        Head.Stop();
        await Task.WhenAll(_clients.Select(c => c.Served)).WaitAsync(MqttTestClient.Patience);
        Head.Dispose();
        await _activity.DisposeAsync();
        await _metadata.DisposeAsync();
        await OpenHeadAsync();
    }

    /// <summary>A new connection without CONNECT.</summary>
    public MqttTestClient Open(IPAddress? address = null)
    {
        var client = new MqttTestClient(Head, new Peer(new IPEndPoint(address ?? IPAddress.Loopback, _nextPort++), "mqtt"));
        _clients.Add(client);
        return client;
    }

    /// <summary>A connection that was let in.</summary>
    public async Task<MqttTestClient> ConnectAsync(string clientId = "d1", bool clean = true, ushort keepAlive = 60, MqttWill? will = null, bool sessionPresent = false)
    {
        var client = Open();
        await client.SendAsync(Packets.Of(o => MqttWriter.Connect(o, Packets.Connect(clientId, clean, keepAlive, will: will))));
        await client.ExpectAsync(Packets.ConnAck(MqttConnectCode.Accepted, sessionPresent));
        return client;
    }

    /// <summary>Reads the first messages that a device sent; waits until there are so many.</summary>
    public async Task<IReadOnlyList<StoredText>> StoredAsync(int count, string deviceId = "d1")
    {
        using var cursor = Log.OpenCursor(StreamId.Events, PartitionOf.Device(deviceId, Log.PartitionCount), LogStart.Earliest);
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

    public long StoredCount(string deviceId = "d1") =>
        Log.Describe(StreamId.Events, PartitionOf.Device(deviceId, Log.PartitionCount)).NextSequence;

    public async ValueTask DisposeAsync()
    {
        Log.Open();
        foreach (var client in _clients)
            client.Abort();
        await Task.WhenAll(_clients.Select(c => c.Served)).WaitAsync(MqttTestClient.Patience);
        _clients.ForEach(c => c.Dispose());
        Head.Dispose();
        Limits.Dispose();
        await Log.DisposeAsync();
        await _activity.DisposeAsync();
        await _metadata.DisposeAsync();
        _sqlite.Dispose();
        _directory.Dispose();
    }

    private async Task RegisterAsync(string deviceId, string? moduleId) =>
        await _metadata.WriteAsync(tx =>
        {
            _metadata.Identities.Put(tx, new IdentityRecord { DeviceId = deviceId, ModuleId = moduleId, GenerationId = Authentication.GenerationId, ETag = 1 });
            _metadata.Twins.Put(tx, TwinParts.New(Identity.Of(deviceId, moduleId), Authentication.GenerationId, Time.GetUtcNow().UtcDateTime));
            return true;
        });

    private async Task OpenHeadAsync()
    {
        _metadata = await _sqlite.OpenAsync();
        Devices = new ConnectedDevices(Attempts, Time);
        var line = new QuarantineLine();
        _activity = new ActivityWriteBack(_metadata, Devices, Time, NullLogger<ActivityWriteBack>.Instance);
        Line = line;
        Twins = new DeviceTwins(_metadata, Devices, _activity, new HubNames(["hub.test"]), line, new KnownTags(_metadata), Audit, new Quotas(Quotas, Time), Time);
        Methods = new DirectMethods(Devices, new IdentityCache(_metadata), line, new PrivilegedReads(Audit, Time), Time);
        Commands = new CommandQueues(_metadata, Devices, line, new Feedback(_metadata, new CommandOptions(), Time), new CommandOptions(), Time);
        var faults = _injectsFaults ? new FaultInjection(Time, NullLogger<FaultInjection>.Instance) : null;
        Head = new MqttHead(
            Authentication, Devices, new Ingest(Log, line), Log, new MqttSessions(_metadata), Limits, new Quotas(Quotas, Time), new DevicePromises { Methods = Methods, Twins = Twins, Commands = Commands, Faults = faults }, Audit, Attempts, Time, NullLogger<MqttHead>.Instance, _options);
    }
}

/// <summary>A clock that stands, and says when somebody begins to wait for it.</summary>
internal sealed class WatchedTime() : FakeTimeProvider(new DateTimeOffset(2024, 5, 6, 7, 8, 9, TimeSpan.Zero))
{
    private readonly Channel<ITimer> _timers = Channel.CreateUnbounded<ITimer>();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        _timers.Writer.TryWrite(timer);
        return timer;
    }

    public void ForgetTimers()
    {
        while (_timers.Reader.TryRead(out _))
            continue;
    }

    /// <summary>Completes when a timer has been made since the test began.</summary>
    public Task TimerMadeAsync() => _timers.Reader.ReadAsync().AsTask().WaitAsync(MqttTestClient.Patience);
}

/// <summary>Lets in whoever shows the token <c>good</c>.</summary>
internal sealed class ScriptedAuthentication : IDeviceAuthentication
{
    public DateTimeOffset Expires { get; set; } = DateTimeOffset.MaxValue;

    public string GenerationId { get; set; } = "1";

    /// <summary>Called before each answer.</summary>
    public Action? Asking { get; set; }

    public CancellationToken Withdrawn { get; set; }

    /// <summary>What everybody is refused with; null lets in.</summary>
    public HubError? Refusal { get; set; }

    /// <summary>How often the answer is still "yes" before <see cref="Refusal"/> holds.</summary>
    public int AdmittedBefore { get; set; }

    public ConcurrentQueue<(Identity Identity, string HostName, string? Token)> Asked { get; } = new();

    public ValueTask<Admission> AuthenticateAsync(Identity identity, string hostName, DeviceCredential credential, Peer peer, CancellationToken cancel)
    {
        Asking?.Invoke();
        Asked.Enqueue((identity, hostName, credential.Token));
        if (Refusal is not null && AdmittedBefore-- <= 0)
            return new(Admission.Refuse(Refusal, "refused by the test"));
        if (credential.Token != "good")
            return new(Admission.Refuse(HubErrors.Unauthorized, "the signature does not match"));

        var kind = identity.IsModule ? PrincipalKind.Module : PrincipalKind.Device;
        return new(new Admission(new Principal(kind, identity.ToString(), Rights.DeviceConnect, Expires, "{}", "0123456789abcdef") { Withdrawn = Withdrawn }, null, "") { GenerationId = GenerationId });
    }
}

/// <summary>Keeps what is noted.</summary>
internal sealed class NotedRefusals : IAuditTrail
{
    public ConcurrentQueue<AuditEntry> Entries { get; } = new();

    public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel)
    {
        Entries.Enqueue(entry);
        return ValueTask.CompletedTask;
    }

    public void Note(AuditEntry entry) => Entries.Enqueue(entry);
}

/// <summary>A real log with a door before it: shut, appends wait; or they are answered with an outcome.</summary>
internal sealed class GatedLog(IEventLog inner) : IEventLog
{
    private volatile TaskCompletionSource? _door;
    private volatile TaskCompletionSource? _readDoor;
    private volatile object? _answer;
    private readonly SemaphoreSlim _knocked = new(0);
    private int _openCursors;

    /// <summary>Cursors that are not disposed.</summary>
    public int OpenCursors => Volatile.Read(ref _openCursors);

    public int PartitionCount => inner.PartitionCount;

    public Task<Exception> Failure => inner.Failure;

    /// <summary>Appends wait from now on.</summary>
    public void Shut() => _door = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Reads wait from now on.</summary>
    public void ShutReads() => _readDoor = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Appends are answered with this from now on.</summary>
    public void Answer(AppendOutcome outcome) => _answer = outcome;

    /// <summary>Everything as it is.</summary>
    public void Open()
    {
        _answer = null;
        _door?.TrySetResult();
        _door = null;
        _readDoor?.TrySetResult();
        _readDoor = null;
    }

    /// <summary>Completes when an append, or a read, has come to its door.</summary>
    public async Task KnockedAsync() => Assert.True(await _knocked.WaitAsync(MqttTestClient.Patience));

    public async ValueTask<AppendResult> AppendAsync(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        _knocked.Release();
        if (_door is { } door)
            await door.Task.WaitAsync(cancel);
        if (_answer is AppendOutcome outcome)
            return new AppendResult(outcome, 0);
        return await inner.AppendAsync(batch, listener, cancel);
    }

    public long CommittedPosition(int partition) => inner.CommittedPosition(partition);

    public StreamPartition Describe(StreamId stream, int partition) => inner.Describe(stream, partition);

    public ILogCursor OpenCursor(StreamId stream, int partition, LogStart start)
    {
        Interlocked.Increment(ref _openCursors);
        return new Cursor(this, inner.OpenCursor(stream, partition, start));
    }

    public ILogHold Hold(string name, StreamId stream, IReadOnlyList<long> next, HoldPolicy policy) => inner.Hold(name, stream, next, policy);

    public void BeginRetention() => inner.BeginRetention();

    public ValueTask DisposeAsync() => inner.DisposeAsync();

    private sealed class Cursor(GatedLog log, ILogCursor cursor) : ILogCursor
    {
        private bool _isDisposed;

        public long NextSequence => cursor.NextSequence;

        public long Skipped => cursor.Skipped;

        public async ValueTask<int> ReadAsync(LogPage page, CancellationToken cancel)
        {
            if (log._readDoor is { } door)
            {
                log._knocked.Release();
                await door.Task.WaitAsync(cancel);
            }

            return await cursor.ReadAsync(page, cancel);
        }

        public ValueTask WaitAsync(CancellationToken cancel) => cursor.WaitAsync(cancel);

        public bool TellWhenMore(ICommitListener listener) => cursor.TellWhenMore(listener);

        public void Dispose()
        {
            cursor.Dispose();
            if (!_isDisposed)
                Interlocked.Decrement(ref log._openCursors);
            _isDisposed = true;
        }
    }
}

/// <summary>A stored message as text.</summary>
internal sealed record StoredText(string Body, IReadOnlyDictionary<string, string?> Properties, IReadOnlyDictionary<string, string?> Annotations, string? MessageId, string? ContentType)
{
    public static StoredText Of(in LogRecord record)
    {
        if (!StoredMessage.TryRead(record.Message.Span, out var message))
            throw new UnreachableException("the stored message cannot be read");

        return new StoredText(
            System.Text.Encoding.UTF8.GetString(message.Body),
            Texts(message.ApplicationProperties),
            Texts(message.Annotations),
            message.TryGet(AmqpProperty.MessageId, out var id) ? System.Text.Encoding.UTF8.GetString(id.Content) : null,
            message.TryGet(AmqpProperty.ContentType, out var type) ? System.Text.Encoding.UTF8.GetString(type.Content) : null);
    }

    private static Dictionary<string, string?> Texts(AmqpMap map)
    {
        var texts = new Dictionary<string, string?>();
        foreach (var pair in map)
            texts.Add(System.Text.Encoding.UTF8.GetString(pair.Key), pair.Value.Type == AmqpType.Null ? null : System.Text.Encoding.UTF8.GetString(pair.Value.Content));
        return texts;
    }
}
