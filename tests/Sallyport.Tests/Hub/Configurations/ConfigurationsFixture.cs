using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Hub.Registry;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Configurations;

/// <summary>Configurations over a real store, with a clock of their own; their loop takes its turns when it is told to.</summary>
internal sealed class ConfigurationsFixture : IAsyncDisposable
{
    public static readonly Actor Owner = new("policy:iothubowner", "0123456789abcdef", AzureRights.All, "c0ffee", "127.0.0.1:1");

    private readonly SqliteFixture _files = new();
    private readonly string _path;
    private int _crashes;

    private ConfigurationsFixture(ConfigurationOptions options, string? path = null)
    {
        Options = options;
        _path = path ?? _files.Path;
    }

    public ConfigurationOptions Options { get; }
    public StepTime Time { get; private init; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public AuditList Audit { get; } = new();
    public SqliteMetadata Metadata { get; private set; } = null!;
    public ConnectedDevices Connected { get; private set; } = null!;
    public DeviceTwins Twins { get; private set; } = null!;
    public DeviceRegistry Registry { get; private set; } = null!;
    public ConfigurationRollout Rollout { get; private set; } = null!;
    public AutomaticConfigurations Configurations { get; private set; } = null!;
    public TwinQueries Queries { get; private set; } = null!;
    public KnownTags Tags { get; private set; } = null!;

    /// <summary>What writers of configurations hold; those who are not here hold nothing.</summary>
    public Dictionary<string, (Rights Rights, Scope Scope)> Held { get; private init; } = new() { [Owner.Principal] = (AzureRights.All, Scope.Everything) };

    public static async Task<ConfigurationsFixture> OpenAsync(ConfigurationOptions? options = null)
    {
        var fixture = new ConfigurationsFixture(options ?? new ConfigurationOptions());
        await fixture.StartAsync();
        return fixture;
    }

    /// <summary>Another hub over what a crash leaves now: the files as they are, in the middle of a write or not.</summary>
    public async Task<ConfigurationsFixture> AfterCrashAsync()
    {
        var copy = $"{_path}.crash-{_crashes++}";
        File.Copy(_path, copy);
        File.Copy(_path + "-wal", copy + "-wal");
        var after = new ConfigurationsFixture(Options, copy) { Time = Time, Held = Held };
        await after.StartAsync();
        return after;
    }

    /// <summary>Lets the loop take turns until there is nothing left to do.</summary>
    public async Task SettleAsync()
    {
        while (await Rollout.TurnAsync(TestContext.Current.CancellationToken))
        {
        }
    }

    public async Task CreateAsync(string deviceId, string? tags = null, string? moduleId = null, bool isEdge = false)
    {
        await Registry.ChangeAsync(
            Owner, new IdentityChange(Identity.Of(deviceId, moduleId), PutMode.Create, new IdentityDraft { IotEdge = isEdge ? true : null }, EntityTagCondition.Any), CancellationToken.None);
        if (tags is not null)
            await PatchAsync(deviceId, $$"""{"tags":{{tags}}}""", moduleId);
    }

    public Task TagAsync(string deviceId, string tags) => PatchAsync(deviceId, $$"""{"tags":{{tags}}}""");

    public async Task PatchAsync(string deviceId, string json, string? moduleId = null) => await Twins.ChangeAsync(
        Owner, Identity.Of(deviceId, moduleId), TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces: false), EntityTagCondition.Any, CancellationToken.None);

    public async Task ReportAsync(string deviceId, string json, string? moduleId = null) => await Twins.ReportAsync(
        Identity.Of(deviceId, moduleId), Stored(deviceId, moduleId)!.GenerationId, TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported), null, CancellationToken.None);

    /// <param name="rest">Further members.</param>
    public async Task<ConfigurationState> PutAsync(string id, string content, string condition, int priority = 0, string rest = "", Actor? actor = null, EntityTagCondition? match = null) =>
        await Configurations.PutAsync(
            actor ?? Owner, id, ConfigurationDraft.Read(Encoding.UTF8.GetBytes(
                "{\"content\":" + content + ",\"targetCondition\":" + JsonValue.Create(condition).ToJsonString() + ",\"priority\":" + priority + rest + "}")),
            match, CancellationToken.None);

    public Task<ConfigurationState> PutDeviceAsync(string id, string paths, string condition, int priority = 0, Actor? actor = null) =>
        PutAsync(id, "{\"deviceContent\":" + paths + "}", condition, priority, actor: actor);

    public async Task<ConfigurationState> ChangeAsync(string id, string json, Actor? actor = null, EntityTagCondition? match = null) =>
        await Configurations.PutAsync(actor ?? Owner, id, ConfigurationDraft.Read(Encoding.UTF8.GetBytes(json)), match ?? EntityTagCondition.Any, CancellationToken.None);

    public async Task DeleteAsync(string id, Actor? actor = null) => await Configurations.DeleteAsync(actor ?? Owner, id, EntityTagCondition.Any, CancellationToken.None);

    public TwinRecord? Stored(string deviceId, string? moduleId = null) => Metadata.Read(tx => Metadata.Twins.Find(tx, deviceId, moduleId));

    /// <summary>Desired properties without white space.</summary>
    public string Desired(string deviceId, string? moduleId = null) => Encoding.UTF8.GetString(Stored(deviceId, moduleId)!.Desired.Json);

    /// <summary>What the twin shows, as <c>id=status id=status</c>.</summary>
    public string Shown(string deviceId, string? moduleId = null) => Stored(deviceId, moduleId)!.Configurations is { } shown
        ? string.Join(' ', JsonNode.Parse(shown)!.AsObject().Select(member => $"{member.Key}={member.Value!["status"]}"))
        : "";

    public TestLink Connect(string deviceId, string? moduleId = null)
    {
        var link = new TestLink(Identity.Of(deviceId, moduleId), Connected);
        Connected.Attach(link);
        return link;
    }

    public int Events() => Metadata.Read(tx => Metadata.Outbox.Peek(tx, 10_000)).Count;

    public static async Task<string> RefusedAsync(HubError error, Func<Task> act)
    {
        var refused = await Assert.ThrowsAsync<HubException>(act);
        Assert.Same(error, refused.Error);
        return refused.Message;
    }

    public async ValueTask DisposeAsync()
    {
        Rollout.Dispose();
        Queries.Dispose();
        await Metadata.DisposeAsync();
        _files.Dispose();
    }

    private async Task StartAsync()
    {
        Metadata = await _files.OpenAsync(_path);
        Connected = new ConnectedDevices(new Attempts(_ => true, Time), Time);
        var activity = new ActivityWriteBack(Metadata, Connected, Time, NullLogger<ActivityWriteBack>.Instance);
        Tags = new KnownTags(Metadata);
        var names = new HubNames(["hub.test"]);
        var quotas = new Quotas(new QuotaOptions { RegistryOperationsPerSecond = 0, DeviceRegistryOperationsPerSecond = 0 }, Time);
        Twins = new DeviceTwins(Metadata, Connected, activity, names, new QuarantineLine(), Tags, Audit, quotas, Time);
        Registry = new DeviceRegistry(Metadata, Connected, activity, new IdentityCache(Metadata), Tags, Audit, names, new RegistryOptions(), quotas, new NoKeyAttestation(), Time);
        var limits = new QueryLimits();
        Queries = new TwinQueries(Metadata, Connected, activity, quotas, limits, Time);
        Rollout = new ConfigurationRollout(Metadata, Twins, Registry, HeldBy, Connected, activity, Options, Time, NullLogger<ConfigurationRollout>.Instance);
        Configurations = new AutomaticConfigurations(Metadata, Twins, Registry, Queries, limits, Rollout, HeldBy, Options, Audit, quotas, Time);
    }

    private (Rights Rights, Scope Scope) HeldBy(string principal) => Held.TryGetValue(principal, out var held) ? held : (Rights.None, Scope.Everything);
}
