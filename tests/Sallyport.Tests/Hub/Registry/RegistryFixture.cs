using System.Net;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Registry;

/// <summary>A registry over a real store, with a clock of its own.</summary>
internal sealed class RegistryFixture : IAsyncDisposable
{
    public static readonly Actor Owner = new("policy:iothubowner", "0123456789abcdef", AzureRights.All, "c0ffee", "127.0.0.1:1");

    private readonly SqliteFixture _files;
    private readonly string _path;
    private int _crashes;

    private RegistryFixture(SqliteFixture files, string path, SqliteMetadata metadata, RegistryOptions options, IKeyAttestation attestation)
    {
        _files = files;
        _path = path;
        Metadata = metadata;
        Connected = new ConnectedDevices(new Attempts(_ => true, Time), Time);
        Activity = new ActivityWriteBack(metadata, Connected, Time, NullLogger<ActivityWriteBack>.Instance);
        Cache = new IdentityCache(metadata);
        Tags = new KnownTags(metadata);
        Twins = new DeviceTwins(metadata, Connected, Activity, new HubNames(["hub.test"]), Line, Tags, Audit, new Quotas(new QuotaOptions(), Time), Time);
        Registry = new DeviceRegistry(metadata, Connected, Activity, Cache, Tags, Audit, new HubNames(["hub.test"]), options, new Quotas(new QuotaOptions(), Time), attestation, Time);
    }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public AuditList Audit { get; } = new();
    public SqliteMetadata Metadata { get; }
    public ConnectedDevices Connected { get; }
    public ActivityWriteBack Activity { get; }
    public IdentityCache Cache { get; }
    public KnownTags Tags { get; }
    public DeviceRegistry Registry { get; }
    public QuarantineLine Line { get; } = new();
    public DeviceTwins Twins { get; }

    public static async Task<RegistryFixture> OpenAsync(RegistryOptions? options = null, IKeyAttestation? attestation = null)
    {
        var files = new SqliteFixture();
        return new RegistryFixture(files, files.Path, await files.OpenAsync(), options ?? new RegistryOptions(), attestation ?? new NoKeyAttestation());
    }

    /// <summary>Another hub over what a crash leaves now: the files as they are, in the middle of a write or not.</summary>
    public async Task<RegistryFixture> AfterCrashAsync()
    {
        var copy = $"{_path}.crash-{_crashes++}";
        File.Copy(_path, copy);
        File.Copy(_path + "-wal", copy + "-wal");
        var files = new SqliteFixture();
        return new RegistryFixture(files, copy, await files.OpenAsync(copy), new RegistryOptions(), new NoKeyAttestation());
    }

    /// <summary>What waits to be told, of one kind, in its order.</summary>
    public IReadOnlyList<OutboxRecord> Outbox(SourceKind kind) =>
        [.. Metadata.Read(tx => Metadata.Outbox.Peek(tx, 100_000)).Where(record => record.Source == (byte)kind)];

    public async Task<IdentityRecord> CreateAsync(string deviceId, string? moduleId = null, IdentityDraft? draft = null) =>
        (await ChangeAsync(deviceId, moduleId, PutMode.Create, draft ?? new IdentityDraft()))!.Record;

    public async Task<IdentityRecord> UpdateAsync(string deviceId, IdentityDraft draft, EntityTagCondition? condition = null) =>
        (await ChangeAsync(deviceId, null, PutMode.Update, draft, condition))!.Record;

    public async Task DeleteAsync(string deviceId, string? moduleId = null, EntityTagCondition? condition = null) =>
        await ChangeAsync(deviceId, moduleId, PutMode.Update, null, condition);

    public async Task<IdentityState?> ChangeAsync(
        string deviceId, string? moduleId, PutMode mode, IdentityDraft? draft, EntityTagCondition? condition = null) =>
        await Registry.ChangeAsync(
            Owner, new IdentityChange(Identity.Of(deviceId, moduleId), mode, draft, condition ?? EntityTagCondition.Any), CancellationToken.None);

    /// <summary>Merges into the tags of a device.</summary>
    public async Task TagAsync(string deviceId, string json, Actor? actor = null) => await Twins.ChangeAsync(
        actor ?? Owner, Identity.Of(deviceId), TwinChange.Read(Encoding.UTF8.GetBytes($"{{\"tags\":{json}}}"), replaces: false), EntityTagCondition.Any, CancellationToken.None);

    /// <summary>The store as a process finds it that starts after this one died now.</summary>
    public Task<SqliteMetadata> AfterCrashAsync(int number)
    {
        var copy = $"{_files.Path}.crash-{number}";
        File.Copy(_files.Path, copy);
        if (File.Exists(_files.Path + "-wal"))
            File.Copy(_files.Path + "-wal", copy + "-wal");
        return _files.OpenAsync(copy);
    }

    public IdentityRecord? Stored(string deviceId, string? moduleId = null) =>
        Metadata.Read(tx => Metadata.Identities.Find(tx, deviceId, moduleId));

    public TestLink Connect(string deviceId, string? moduleId = null)
    {
        var link = new TestLink(Identity.Of(deviceId, moduleId), Connected);
        Connected.Attach(link);
        return link;
    }

    public static async Task RefusedAsync(HubError error, Func<Task> act) =>
        Assert.Same(error, (await Assert.ThrowsAsync<HubException>(act)).Error);

    public async ValueTask DisposeAsync()
    {
        await Activity.DisposeAsync();
        await Metadata.DisposeAsync();
        _files.Dispose();
    }
}

/// <summary>A link that goes when it is told to.</summary>
internal sealed class TestLink(Identity identity, ConnectedDevices connected) : IDeviceLink
{
    public Identity Identity { get; } = identity;

    public Peer Peer { get; } = new(new IPEndPoint(IPAddress.Loopback, 9), "mqtt");

    public Principal Principal { get; init; } = new(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");

    public HubError? ClosedWith { get; private set; }

    /// <summary>What it was told of desired properties.</summary>
    public List<string> Desired { get; } = [];

    public bool TakesDesired { get; set; } = true;

    public void Offer(DesiredChange change)
    {
        lock (Desired)
            Desired.Add(Encoding.UTF8.GetString(change.Json.Span));
    }

    public void Close(HubError error, string reason)
    {
        ClosedWith ??= error;
        connected.Detach(this);
    }
}
