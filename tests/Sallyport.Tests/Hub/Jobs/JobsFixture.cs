using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Jobs;

/// <summary>Jobs over a real store, with a clock of their own and devices that answer at once.</summary>
internal sealed class JobsFixture : IAsyncDisposable
{
    public static readonly Actor Owner = new("policy:iothubowner", "0123456789abcdef", AzureRights.All, "c0ffee", "127.0.0.1:1");

    private const string Desired = """{"properties":{"desired":{"a":1}}}""";

    private readonly SqliteFixture _files = new();
    private readonly string _path;
    private SqliteMetadata _store = null!;
    private int _crashes;

    private JobsFixture(JobOptions options, string? path = null)
    {
        Options = options;
        _path = path ?? _files.Path;
    }

    public JobOptions Options { get; }
    public StepTime Time { get; private init; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public AuditList Audit { get; } = new();
    public QuarantineLine Line { get; } = new();

    /// <summary>Told before and behind each write.</summary>
    public Func<Task>? BetweenWrites { get; set; }

    public IMetadata Metadata { get; private set; } = null!;
    public KnownTags Tags { get; private set; } = null!;
    public Policies Policies { get; private set; } = null!;
    public ConnectedDevices Connected { get; private set; } = null!;
    public ActivityWriteBack Activity { get; private set; } = null!;
    public DeviceTwins Twins { get; private set; } = null!;
    public DirectMethods Methods { get; private set; } = null!;
    public TwinQueries Queries { get; private set; } = null!;
    public ScheduledJobs Jobs { get; private set; } = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static async Task<JobsFixture> OpenAsync(JobOptions? options = null)
    {
        var fixture = new JobsFixture(options ?? new JobOptions());
        await fixture.StartAsync();
        return fixture;
    }

    /// <summary>As after a crash: what was in memory is gone.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    /// <summary>Another hub over what a crash leaves now: the files as they are, in the middle of a write or not.</summary>
    public async Task<JobsFixture> AfterCrashAsync()
    {
        var copy = $"{_path}.crash-{Interlocked.Increment(ref _crashes)}";
        File.Copy(_path, copy);
        File.Copy(_path + "-wal", copy + "-wal");
        var after = new JobsFixture(Options, copy) { Time = Time };
        await after.StartAsync();
        return after;
    }

    /// <summary>Registers devices d000, d001, … with tags.</summary>
    public async Task FillAsync(int devices, string tags = "{}") => await Metadata.WriteAsync(tx =>
    {
        for (var i = 0; i < devices; i++)
            Put(tx, Identity.Of($"d{i:000}"), tags);
        return true;
    });

    public async Task PutAsync(Identity identity, string generation = "1", string tags = "{}") => await Metadata.WriteAsync(tx =>
    {
        Put(tx, identity, tags, generation);
        return true;
    });

    public TwinRecord Twin(string deviceId, string? moduleId = null) => Metadata.Read(tx => Metadata.Twins.Find(tx, deviceId, moduleId))!;

    public string DesiredOf(string deviceId, string? moduleId = null) => Encoding.UTF8.GetString(Twin(deviceId, moduleId).Desired.Json);

    public string TagsOf(string deviceId) => Encoding.UTF8.GetString(Twin(deviceId).Tags);

    /// <summary>A device that takes methods and answers with what it is asked, or with what <paramref name="answer"/> says; null for no answer.</summary>
    public EchoLink Connect(string deviceId, string? moduleId = null, Func<MethodRequest, string?>? answer = null)
    {
        var link = new EchoLink(Identity.Of(deviceId, moduleId), Methods, answer ?? (request => Encoding.UTF8.GetString(request.Payload.Span)));
        Connected.Attach(link);
        Connected.TellChanged(link);
        return link;
    }

    public Task<JobRecord> TwinJobAsync(string id, string condition = "*", string patch = Desired, Actor? actor = null, int seconds = 3600, DateTimeOffset? start = null) =>
        CreateAsync(id, $$"""{"type":"scheduleUpdateTwin","queryCondition":{{JsonSerializer.Serialize(condition)}},"updateTwin":{{patch}},"maxExecutionTimeInSeconds":{{seconds}},"startTime":{{JsonSerializer.Serialize(start)}} }""", actor);

    public Task<JobRecord> MethodJobAsync(string id, string condition = "*", string payload = "1", Actor? actor = null, int seconds = 3600, int response = 29) => CreateAsync(
        id,
        $$"""{"type":"scheduleDeviceMethod","queryCondition":{{JsonSerializer.Serialize(condition)}},"maxExecutionTimeInSeconds":{{seconds}},"cloudToDeviceMethod":"""
            + $$"""{"methodName":"reboot","payload":{{payload}},"responseTimeoutInSeconds":{{response}} } }""",
        actor);

    public async Task<JobRecord> CreateAsync(string id, string json, Actor? actor = null)
    {
        var request = JsonSerializer.Deserialize<JobRequest>(json, JsonSerializerOptions.Web)!;
        return await Jobs.CreateAsync(actor ?? Owner, JobDraft.Of(id, request, Time.GetUtcNow()), Cancel);
    }

    public Task RunAsync() => Jobs.RunDueAsync(Cancel);

    public JobRecord Job(string id) => Jobs.Get(Scope.Everything, id);

    /// <summary>What became of a job, a word a device: <c>d000=completed</c>.</summary>
    public async Task<string[]> OutcomesAsync(string id) => [.. (await RowsAsync($"SELECT * FROM devices.jobs WHERE jobId = '{id}'"))
        .Select(row => $"{row["deviceId"]}{(row["moduleId"] is { } module ? $"/{module}" : "")}={row["status"]}{((string?)row["error"]?["code"] is { } code ? $" {code}" : "")}")];

    public async Task<List<JsonObject>> RowsAsync(string query, Scope? scope = null, int? pageRows = null)
    {
        List<JsonObject> rows = [];
        string? next = null;
        do
        {
            var page = await Queries.RunAsync(scope ?? Scope.Everything, query, pageRows, next, Cancel);
            rows.AddRange(JsonNode.Parse(page.Json.Span)!.AsArray().Select(row => row!.AsObject()));
            next = page.Continuation;
        }
        while (next is not null);
        return rows;
    }

    public async Task<Actor> PolicyAsync(string name, Rights rights, params string[] prefixes)
    {
        Assert.True(Scope.TryCreate(prefixes, [], [], out var scope, out _));
        await Policies.CreateAsync(Owner, name, rights, scope, null, null, Cancel);
        return new Actor($"policy:{name}", "", rights, "c1", "127.0.0.1:2") { Scope = scope.Asking(Tags) };
    }

    public static async Task<string> RefusedAsync(HubError error, Func<Task> act)
    {
        var refusal = await Assert.ThrowsAsync<HubException>(act);
        Assert.Same(error, refusal.Error);
        return refusal.Message;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _files.Dispose();
    }

    private void Put(MetadataTransaction tx, Identity identity, string tags, string generation = "1")
    {
        Metadata.Identities.Put(tx, AccessFixture.Record(identity) with { GenerationId = generation });
        var twin = TwinParts.New(identity, generation, Time.GetUtcNow().UtcDateTime);
        Metadata.Twins.Put(tx, twin with { Tags = Encoding.UTF8.GetBytes(tags) });
    }

    private async Task StartAsync()
    {
        _store = await _files.OpenAsync(_path);
        Metadata = new WatchedMetadata(_store, () => BetweenWrites?.Invoke() ?? Task.CompletedTask);
        Connected = new ConnectedDevices(new Attempts(_ => true, Time), Time);
        Activity = new ActivityWriteBack(Metadata, Connected, Time, NullLogger<ActivityWriteBack>.Instance);
        Tags = new KnownTags(Metadata);
        Policies = await Policies.OpenAsync(Metadata, Tags, Audit, Time, Cancel);
        var quotas = new Quotas(new QuotaOptions(), Time);
        Twins = new DeviceTwins(Metadata, Connected, Activity, new HubNames(["hub.test"]), Line, Tags, Audit, quotas, Time);
        Methods = new DirectMethods(Connected, new IdentityCache(Metadata), Line, new PrivilegedReads(Audit, Time), Time);
        Queries = new TwinQueries(Metadata, Connected, Activity, quotas, new QueryLimits(), Time);
        Jobs = new ScheduledJobs(Metadata, Policies, Tags, Queries, Twins, Methods, Connected, Audit, Options, Time, NullLogger<ScheduledJobs>.Instance);
    }

    private async Task StopAsync()
    {
        Queries.Dispose();
        Methods.Dispose();
        await Activity.DisposeAsync();
        Policies.Dispose();
        await _store.DisposeAsync();
    }

    private sealed class WatchedMetadata(IMetadata inner, Func<Task> between) : MetadataDecorator(inner)
    {
        public override async ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default)
        {
            await between();
            var result = await base.WriteAsync(act, cancel);
            await between();
            return result;
        }

        public override async ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T> committed, CancellationToken cancel = default)
        {
            await between();
            var result = await base.WriteAsync(act, committed, cancel);
            await between();
            return result;
        }
    }
}

/// <summary>A link that takes methods and answers each at once, from another thread.</summary>
internal sealed class EchoLink(Identity identity, DirectMethods methods, Func<MethodRequest, string?> answer) : IDeviceLink
{
    private readonly List<string> _asked = [];

    public Identity Identity { get; } = identity;

    public Peer Peer { get; } = new(new IPEndPoint(IPAddress.Loopback, 9), "mqtt");

    public Principal Principal { get; } = new(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");

    public bool TakesMethods { get; set; } = true;

    /// <summary>What it was asked, in that order.</summary>
    public string[] Asked
    {
        get
        {
            lock (_asked)
                return [.. _asked];
        }
    }

    /// <summary>Completes with its first request.</summary>
    public TaskCompletionSource First { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool TrySend(MethodRequest request)
    {
        if (!TakesMethods)
            return false;

        lock (_asked)
            _asked.Add($"{request.Name} {Encoding.UTF8.GetString(request.Payload.Span)}");
        First.TrySetResult();
        if (answer(request) is { } payload)
            _ = Task.Run(() => methods.Answer(Identity, Encoding.ASCII.GetBytes(request.Id.ToString("N")), 200, Encoding.UTF8.GetBytes(payload)));
        return true;
    }

    public void Close(HubError error, string reason)
    {
    }
}
