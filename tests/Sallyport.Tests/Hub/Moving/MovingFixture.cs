using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Moving;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Moving;

/// <summary>Jobs over a real store and a registry, with containers in memory; the hub may die at any write, and is then made anew over the same store.</summary>
internal sealed class MovingFixture : IAsyncDisposable
{
    public static readonly Uri Container = new("https://account.test/c?sig=SECRET");

    public const int MaxErrors = 300;

    private readonly SqliteFixture _files = new();
    private Policies? _policies;
    private ActivityWriteBack? _activity;

    private MovingFixture()
    {
    }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
    public AuditList Audit { get; } = new();
    public FakeContainers Containers { get; } = new();
    public DyingMetadata Metadata { get; private set; } = null!;
    public Policies Policies => _policies!;
    public DeviceRegistry Registry { get; private set; } = null!;
    public DeviceTwins Twins { get; private set; } = null!;
    public RegistryJobs Jobs { get; private set; } = null!;

    public Actor Owner => new("policy:iothubowner", "f", AzureRights.All, "c1", "local");

    public static async Task<MovingFixture> OpenAsync(QuotaOptions? quotas = null)
    {
        var hub = new MovingFixture();
        hub.Metadata = new DyingMetadata(await hub._files.OpenAsync());
        await hub.BeginAsync(quotas);
        return hub;
    }

    /// <summary>A hub that starts over what is stored.</summary>
    public async Task BeginAsync(QuotaOptions? quotas = null)
    {
        Metadata.Revive();
        _policies?.Dispose();
        if (_activity is not null)
            await _activity.DisposeAsync();
        var tags = new KnownTags(Metadata);
        _policies = await Policies.OpenAsync(Metadata, tags, Audit, Time, CancellationToken.None);
        var connected = new ConnectedDevices(new Attempts(_ => true, Time), Time);
        _activity = new ActivityWriteBack(Metadata, connected, Time, NullLogger<ActivityWriteBack>.Instance);
        var (names, limits) = (new HubNames(["hub.test"]), new Quotas(quotas ?? new QuotaOptions { RegistryOperationsPerSecond = 0, DeviceRegistryOperationsPerSecond = 0 }, Time));
        Registry = new DeviceRegistry(Metadata, connected, _activity, new IdentityCache(Metadata), tags, Audit, names, new RegistryOptions(), limits, new NoKeyAttestation(), Time);
        Twins = new DeviceTwins(Metadata, connected, _activity, names, new QuarantineLine(), tags, Audit, limits, Time);
        Jobs = new RegistryJobs(
            Metadata, new RegistryImport(Metadata, Registry, new BulkChanges(Registry, Twins), Containers, Time) { MaxErrors = MaxErrors },
            new RegistryExport(Metadata, Containers, new PrivilegedReads(Audit, Time), Time), Containers, Policies, Audit, Time, NullLogger<RegistryJobs>.Instance);
    }

    public ValueTask<RegistryJobRecord> ImportAsync(Actor? actor = null) => Jobs.CreateAsync(actor ?? Owner, new RegistryJobRequest(RegistryJobKind.Import, Container, Container, Settings), CancellationToken.None);

    public ValueTask<RegistryJobRecord> ExportAsync(Actor? actor = null, bool withoutKeys = false) =>
        Jobs.CreateAsync(actor ?? Owner, new RegistryJobRequest(RegistryJobKind.Export, null, Container, Settings with { ExcludeKeys = withoutKeys }), CancellationToken.None);

    /// <summary>Runs jobs until the one has ended, or the hub dies.</summary>
    public async Task<RegistryJobRecord> RunAsync(RegistryJobRecord job)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var running = Task.Run(() => Jobs.RunAsync(stop.Token)); // A hub that is dead tries again and again.
        while (!running.IsCompleted && !Metadata.IsDead && !Jobs.Get(job.Id).HasEnded)
        {
            Time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        await stop.CancelAsync();
        await running;
        return Jobs.Get(job.Id);
    }

    public async ValueTask DisposeAsync()
    {
        Metadata.Revive();
        await _activity!.DisposeAsync();
        _policies!.Dispose();
        await Metadata.DisposeAsync();
        _files.Dispose();
    }

    private static RegistryJobSettings Settings => new() { InputContainer = "https://account.test/c", OutputContainer = "https://account.test/c" };
}

/// <summary>Containers in memory.</summary>
internal sealed class FakeContainers : IJobContainers
{
    public ConcurrentDictionary<string, byte[]> Blobs { get; } = new();

    public string? Problem { get; set; }

    public string Text(string blob) => Encoding.UTF8.GetString(Blobs[blob]);

    public string? ProblemOf(Uri container) => Problem;

    public Task<BlobReading> OpenAsync(Uri container, string blob, CancellationToken cancel) => Blobs.TryGetValue(blob, out var content)
        ? Task.FromResult(new BlobReading(new MemoryStream(content), content.Length))
        : Task.FromException<BlobReading>(new IOException($"{blob} is not there"));

    public IBlobWriting Create(Uri container, string blob) => new Writing(this, blob);

    private sealed class Writing(FakeContainers containers, string blob) : IBlobWriting
    {
        private readonly List<byte> _blocks = [];

        public Task AddAsync(ReadOnlyMemory<byte> block, CancellationToken cancel)
        {
            _blocks.AddRange(block.Span);
            return Task.CompletedTask;
        }

        public Task CommitAsync(CancellationToken cancel)
        {
            containers.Blobs[blob] = [.. _blocks];
            return Task.CompletedTask;
        }
    }
}

/// <summary>A store whose hub dies at a write: before it was done, or after it and before anybody knows.</summary>
internal sealed class DyingMetadata(IMetadata inner) : MetadataDecorator(inner)
{
    private readonly IMetadata _inner = inner;
    private int _writesLeft = int.MaxValue;
    private volatile bool _isDead;
    private bool _afterwards;

    public bool IsDead => _isDead;

    /// <param name="writes">So many are done before.</param>
    public void DieAfter(int writes, bool afterwards) => (_writesLeft, _afterwards) = (writes, afterwards);

    public void Revive() => (_writesLeft, _isDead) = (int.MaxValue, false);

    public override ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default) => WriteAsync(act, _ => { }, cancel);

    public override async ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T> committed, CancellationToken cancel = default)
    {
        var isLast = Interlocked.Decrement(ref _writesLeft) == 0;
        if (_isDead || (isLast && !_afterwards))
        {
            _isDead = true;
            throw new DeadException();
        }

        var result = await _inner.WriteAsync(act, committed, cancel);
        if (!isLast)
            return result;
        _isDead = true;
        throw new DeadException();
    }

}

/// <summary>Nothing in the hub knows it: all of it unwinds, as if the process had ended.</summary>
internal sealed class DeadException : OperationCanceledException;
