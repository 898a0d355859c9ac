using System.Collections.Frozen;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// The consumer groups of the built-in endpoint: each has checkpoints and readers of its own. Names are told apart without case, because
/// Event Hubs clients write <c>$default</c> too, and kept as they were given. All of them are in memory; every change is in the audit trail
/// before it takes effect. Thread-safe; asking costs no lock and no I/O.
/// </summary>
/// <remarks>Refuses with <see cref="HubException"/>. The metadata store is this process's alone, so what is in memory is what is stored.</remarks>
public sealed class ConsumerGroups : IDisposable
{
    /// <summary>The group that every hub has; it cannot be deleted.</summary>
    public const string Default = "$Default";

    /// <summary>As many as Event Hubs allows in its standard tier, <see cref="Default"/> included.</summary>
    public const int MaxGroups = 20;

    public const int MaxNameLength = 50;

    /// <summary>What <see cref="IsValidName"/> takes, in words.</summary>
    public const string NameSyntax = "1 to 50 ASCII letters, digits and - . _, not dots alone";

    private readonly IMetadata _metadata;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _oneAct = new(1, 1);

    // Replaced whole, by the one that holds _oneAct.
    private volatile FrozenDictionary<string, ConsumerGroupRecord> _byName;

    /// <summary>Reads the groups.</summary>
    public ConsumerGroups(IMetadata metadata, IAuditTrail audit, TimeProvider time)
    {
        (_metadata, _audit, _time) = (metadata, audit, time);
        _byName = Of(metadata.Read(metadata.ConsumerGroups.List));
    }

    /// <summary>
    /// Told the name, as it was kept, once a group is gone from disk and <see cref="Exists"/> says no: whoever reads in it must end. On the
    /// thread that deletes; must not block or throw. Whoever listens first and then asks <see cref="Exists"/> misses none
    /// (<see cref="ConsumerGroupWatch"/>).
    /// </summary>
    public event Action<string>? Deleted;

    /// <summary>
    /// Whether a group may be called so: <see cref="NameSyntax"/>. Azure's syntax; names of dots alone are left out, because no path can
    /// hold them.
    /// </summary>
    public static bool IsValidName(string name) =>
        name.Length is > 0 and <= MaxNameLength
        && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_')
        && name.Any(c => c != '.');

    /// <summary>Whether it can be the name of a group that is there: <see cref="Default"/>, or a valid name.</summary>
    public static bool CanExist(string name) => IsDefault(name) || IsValidName(name);

    /// <summary>Whether the hub has this group now. From any thread; no I/O.</summary>
    public bool Exists(string name) => _byName.ContainsKey(name);

    /// <summary>Null when there is none of that name.</summary>
    public ConsumerGroupRecord? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>In the order of their names, <see cref="Default"/> first.</summary>
    public IReadOnlyList<ConsumerGroupRecord> List() => [.. _byName.Values.OrderBy(group => group.Name, StringComparer.OrdinalIgnoreCase)];

    /// <summary>Makes a group; one that is there already stays as it is, and is given back. Durable when it completes.</summary>
    /// <exception cref="HubException">400: the name is not valid; 401: the actor is limited to other groups; 403: there are <see cref="MaxGroups"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask<ConsumerGroupRecord> CreateAsync(Actor actor, string name, CancellationToken cancel)
    {
        const string Action = "consumer-group create";
        if (!CanExist(name))
            throw new HubException(HubErrors.ArgumentInvalid, $"a consumer group's name has {NameSyntax}");

        return await ActAsync(actor, Action, name, async () =>
        {
            if (Find(name) is { } there)
                return there;
            if (_byName.Count >= MaxGroups)
                throw new HubException(HubErrors.QuotaExceeded, $"there are {MaxGroups} consumer groups, {Default} included, as many as may be: delete one that is not used any more");

            var record = new ConsumerGroupRecord(name, _time.GetUtcNow());
            await _audit.RequireAsync(actor.Done(Action, name), cancel).ConfigureAwait(false);
            await StoreAsync(actor, Action, name, tx => _metadata.ConsumerGroups.Add(tx, record)).ConfigureAwait(false);
            _byName = Of(_byName.Values.Append(record));
            return record;
        }, cancel).ConfigureAwait(false);
    }

    /// <summary>Deletes a group with its checkpoints, and tells its readers (<see cref="Deleted"/>). Durable when it completes.</summary>
    /// <exception cref="HubException">400: it is <see cref="Default"/>; 401: the actor is limited to other groups; 404: there is no such group; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteAsync(Actor actor, string name, CancellationToken cancel)
    {
        const string Action = "consumer-group delete";
        await ActAsync(actor, Action, name, async () =>
        {
            if (IsDefault(name))
                throw new HubException(HubErrors.ArgumentInvalid, $"{Default} cannot be deleted");

            var group = Find(name) ?? throw new HubException(HubErrors.NotFound, "the hub has no such consumer group");
            await _audit.RequireAsync(actor.Done(Action, group.Name), cancel).ConfigureAwait(false);
            await StoreAsync(actor, Action, group.Name, tx =>
            {
                _metadata.ConsumerGroups.Delete(tx, group.Name);
                _metadata.Checkpoints.DeleteAll(tx, Checkpoints.ScopeOf(group.Name));
            }).ConfigureAwait(false);
            _byName = Of(_byName.Values.Where(other => other != group));
            Deleted?.Invoke(group.Name);
            return group;
        }, cancel).ConfigureAwait(false);
    }

    /// <summary>Once no change is under way.</summary>
    public void Dispose() => _oneAct.Dispose();

    private static bool IsDefault(string name) => string.Equals(name, Default, StringComparison.OrdinalIgnoreCase);

    private static FrozenDictionary<string, ConsumerGroupRecord> Of(IEnumerable<ConsumerGroupRecord> groups) =>
        groups.ToFrozenDictionary(group => group.Name, StringComparer.OrdinalIgnoreCase);

    /// <summary>One act after the other; a refused one is in the trail too.</summary>
    private async ValueTask<ConsumerGroupRecord> ActAsync(Actor actor, string action, string name, Func<Task<ConsumerGroupRecord>> act, CancellationToken cancel)
    {
        await _oneAct.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            // The same answer for a group that is there and for one that is not.
            if (!actor.Scope.CoversGroup(name))
                throw new HubException(HubErrors.UnauthorizedAccess, "you are limited to other consumer groups");
            return await act().ConfigureAwait(false);
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(action, name, refusal.Message));
            throw;
        }
        finally
        {
            _oneAct.Release();
        }
    }

    // Without a token: once it is recorded it is done.
    private async Task StoreAsync(Actor actor, string action, string name, Action<MetadataTransaction> act)
    {
        try
        {
            await _metadata.WriteAsync(tx =>
            {
                act(tx);
                return true;
            }).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // The trail says "done" already: take that back.
            _audit.Note(actor.Refused(action, name, $"not stored: {failure.GetType().Name}"));
            throw;
        }
    }
}
