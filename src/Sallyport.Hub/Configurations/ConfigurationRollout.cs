using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// Makes twins be as configurations say: those that change when they change, all of them when a configuration does, when its writer may do something else than before, and once at start. So nothing
/// that a crash forgets is needed: what is stored with a twin says what configurations have set in it, in the same transaction in which they set it.
/// </summary>
/// <remarks>
/// One loop (<see cref="RunAsync"/>), in turns: of what changed and of a page of all twins it looks at <see cref="ConfigurationOptions.TwinsPerTurn"/> each, and writes
/// <see cref="ConfigurationOptions.WritesAtOnce"/> twins at once, so nobody else waits for more than these. The notes of what changed are thread-safe.
/// </remarks>
public sealed class ConfigurationRollout : IDisposable
{
    /// <summary>How often it is looked whether writers of configurations may still do what these do.</summary>
    public static readonly TimeSpan RightsInterval = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private readonly IMetadata _metadata;
    private readonly DeviceTwins _twins;
    private readonly DeviceRegistry _registry;
    private readonly Func<string, (Rights Rights, Scope Scope)> _heldBy;
    private readonly ConfigurationOptions _options;
    private readonly TwinFields _fields;
    private readonly ILogger<ConfigurationRollout> _log;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _signal = new(0, 1);

    // The store's writer takes it: nothing is waited for within.
    private readonly Lock _notes = new();
    private HashSet<Identity> _noted = [];
    private bool _isNoting, _areTooManyNoted;
    private bool _isStale = true;

    // Of the loop.
    private ConfigurationsInForce? _inForce;
    private IReadOnlyList<string?> _reach = [];
    private TwinSweep? _sweep;

    public ConfigurationRollout(
        IMetadata metadata, DeviceTwins twins, DeviceRegistry registry, Policies policies, ConnectedDevices connected, ActivityWriteBack activity, ConfigurationOptions options, TimeProvider time,
        ILogger<ConfigurationRollout> log)
        : this(metadata, twins, registry, policies.HeldBy, connected, activity, options, time, log)
    {
    }

    internal ConfigurationRollout(
        IMetadata metadata, DeviceTwins twins, DeviceRegistry registry, Func<string, (Rights Rights, Scope Scope)> heldBy, ConnectedDevices connected, ActivityWriteBack activity,
        ConfigurationOptions options, TimeProvider time, ILogger<ConfigurationRollout> log)
    {
        _metadata = metadata;
        _twins = twins;
        _registry = registry;
        _heldBy = heldBy;
        _options = options;
        _fields = new TwinFields(connected, activity);
        _time = time;
        _log = log;
        _metadata.Twins.Changed += Note;
    }

    public void Dispose()
    {
        _metadata.Twins.Changed -= Note;
        _signal.Dispose();
    }

    /// <summary>Runs until it is cancelled; then it returns, with what it was writing written.</summary>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    public async Task RunAsync(CancellationToken cancel)
    {
        using var timer = _time.CreateTimer(_ => Signal(), null, RightsInterval, RightsInterval);
        try
        {
            while (true)
            {
                try
                {
                    while (await TurnAsync(cancel).ConfigureAwait(false))
                        cancel.ThrowIfCancellationRequested();
                    await _signal.WaitAsync(cancel).ConfigureAwait(false);
                }
                catch (MetadataWriteException full) when (!full.IsPermanent)
                {
                    _log.Delayed(full, RetryInterval);
                    // The store took nothing (a full disk) and tells nobody when it does again.
                    await Task.Delay(RetryInterval, _time, cancel).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return;
        }
    }

    /// <summary>A configuration was made, changed or deleted. Behind the commit, on any thread.</summary>
    internal void NoteConfigurations()
    {
        Volatile.Write(ref _isStale, true);
        Signal();
    }

    /// <summary>Looks at some twins and changes what is to be changed.</summary>
    /// <returns>False: there is nothing more to look at now.</returns>
    internal async ValueTask<bool> TurnAsync(CancellationToken cancel)
    {
        var inForce = Current();
        var convergence = new Convergence(_metadata, inForce);
        var noted = TakeNotes();
        try
        {
            await ConvergeAsync(convergence, noted, cancel).ConfigureAwait(false);
        }
        catch (Exception) when (noted.Count > 0)
        {
            PutBack(noted);
            throw;
        }

        if (_sweep is { } sweep)
        {
            var (found, next) = sweep.Next(convergence, _options.TwinsPerTurn);
            await ConvergeAsync(convergence, found, cancel).ConfigureAwait(false);
            _sweep = next;
        }

        if (_sweep is null && noted.Count == 0 && inForce.All.Count == 0)
            StopNoting();
        lock (_notes)
            return _sweep is not null || _noted.Count > 0 || _areTooManyNoted || Volatile.Read(ref _isStale);
    }

    // What its configurations say and whom they reach: when either is another than before, all twins are looked at.
    private ConfigurationsInForce Current()
    {
        var isStale = Interlocked.Exchange(ref _isStale, false);
        if (_inForce is null || isStale || !Reach(_inForce.All.Select(one => one.Record)).SequenceEqual(_reach))
        {
            // Before the snapshot: what is committed from here on is noted.
            lock (_notes)
                _isNoting = true;
            var records = _metadata.Read(_metadata.Configurations.List);
            _inForce = ConfigurationsInForce.Of(records, _heldBy, _fields);
            _reach = [.. Reach(_inForce.All.Select(one => one.Record))];
            _sweep = TwinSweep.Of(_metadata, _inForce);
        }

        lock (_notes)
        {
            if (_areTooManyNoted)
                (_areTooManyNoted, _sweep) = (false, TwinSweep.Of(_metadata, _inForce));
        }

        return _inForce;
    }

    private IEnumerable<string?> Reach(IEnumerable<ConfigurationRecord> records) =>
        records.Select(record => ConfigurationInForce.ScopeOf(record, _heldBy) is { } scope ? scope.Stored().ToString() : null);

    private async ValueTask ConvergeAsync(Convergence convergence, IReadOnlyCollection<Identity> identities, CancellationToken cancel)
    {
        if (identities.Count == 0)
            return;

        ConfigurationMeter.LookedAt(identities.Count);
        var work = _metadata.Read(tx => identities.Where(identity => HasWork(tx, convergence, identity)).ToList());
        foreach (var some in work.Chunk(_options.WritesAtOnce))
        {
            cancel.ThrowIfCancellationRequested();
            await Task.WhenAll(some.Select(identity => WriteAsync(convergence, identity))).ConfigureAwait(false);
        }
    }

    // One twin that cannot be read keeps no other from what it is to be; it is looked at again when it changes.
    private bool HasWork(MetadataTransaction tx, Convergence convergence, Identity identity)
    {
        try
        {
            return convergence.Look(tx, identity).HasWork;
        }
        catch (Exception broken) when (TwinSweep.IsOfTheTwin(broken))
        {
            ConfigurationMeter.Failed();
            _log.TwinFailed(broken, identity);
            return false;
        }
    }

    private async Task WriteAsync(Convergence convergence, Identity identity)
    {
        try
        {
            var done = await _metadata.WriteAsync(tx => Apply(tx, convergence, identity), done => _twins.Offer(done.Changed)).ConfigureAwait(false);
            done.Made.ForEach(_registry.Announce);
            ConfigurationMeter.Changed(done.Changed.Count);
        }
        catch (Exception broken) when (TwinSweep.IsOfTheTwin(broken))
        {
            ConfigurationMeter.Failed();
            _log.TwinFailed(broken, identity);
        }
    }

    private (List<ConfiguredTwin> Changed, List<IdentityDecision> Made) Apply(MetadataTransaction tx, Convergence convergence, Identity identity)
    {
        var look = convergence.Look(tx, identity);
        List<IdentityDecision> made = [];
        if (look.Missing.Count > 0)
        {
            string? problem = null;
            foreach (var module in look.Missing)
            {
                try
                {
                    made.Add(_registry.MakeModule(tx, module, CorrelationOf(identity)));
                }
                catch (HubException refusal)
                {
                    problem = $"{module}: {refusal.Message}";
                }
            }

            look = convergence.Look(tx, identity, problem);
        }

        return ([.. look.Intents.Select(intent =>
            _twins.Configure(tx, intent.Identity, intent.Before, intent.Patch, intent.Configurations, intent.Configured, CorrelationOf(identity)))], made);
    }

    // The twin says which of them.
    private static string CorrelationOf(Identity identity) => $"configurations/{identity.DeviceId}";

    // On the writer's thread, behind each commit.
    private void Note(IReadOnlyList<(string DeviceId, string ModuleId)> changes)
    {
        lock (_notes)
        {
            if (!_isNoting)
                return;

            foreach (var (device, module) in changes)
            {
                if (_areTooManyNoted || !Identity.TryCreate(device, module.Length == 0 ? null : module, out var identity))
                    continue;

                _noted.Add(identity);
                if (_noted.Count > _options.MaxNoted)
                    (_areTooManyNoted, _noted) = (true, []);
            }
        }

        Signal();
    }

    private IReadOnlyCollection<Identity> TakeNotes()
    {
        lock (_notes)
        {
            if (_noted.Count <= _options.TwinsPerTurn)
            {
                var all = _noted;
                _noted = [];
                return all;
            }

            var some = _noted.Take(_options.TwinsPerTurn).ToList();
            _noted.ExceptWith(some);
            return some;
        }
    }

    private void PutBack(IReadOnlyCollection<Identity> noted)
    {
        lock (_notes)
            _noted.UnionWith(noted);
    }

    private void StopNoting()
    {
        lock (_notes)
        {
            if (_noted.Count == 0 && !Volatile.Read(ref _isStale))
                _isNoting = false;
        }
    }

    private void Signal()
    {
        try
        {
            _signal.Release();
        }
        catch (Exception over) when (over is SemaphoreFullException or ObjectDisposedException)
        {
            return; // It has been told already, or looks no more.
        }
    }
}
