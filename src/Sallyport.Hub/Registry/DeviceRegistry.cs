using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>A registered identity as it is this moment. <see cref="Record"/> includes activity that is not on disk yet.</summary>
public sealed record IdentityState(IdentityRecord Record, bool IsConnected);

/// <summary>What a change of an identity may find.</summary>
public enum PutMode
{
    /// <summary>Refused with 409 when it exists.</summary>
    Create,

    /// <summary>Refused with 404 when it does not exist.</summary>
    Update,
    CreateOrUpdate,
}

/// <param name="Draft">Null deletes the identity.</param>
/// <param name="Condition">Asked of an identity that exists.</param>
public sealed record IdentityChange(Identity Identity, PutMode Mode, IdentityDraft? Draft, EntityTagCondition Condition)
{
    public static IdentityChange Delete(Identity identity, EntityTagCondition condition) => new(identity, PutMode.Update, null, condition);
}

/// <summary>How one change ended: refused, or done; <paramref name="State"/> is null when it deleted.</summary>
public sealed record IdentityOutcome(IdentityState? State, HubException? Refusal);

/// <summary>What a hub's registry takes. Immutable.</summary>
public sealed record RegistryOptions
{
    /// <summary>Several identities may have the same key or thumbprint, also one of an operator's certificate. Default: false, because whoever holds one of them can be each of them.</summary>
    public bool AllowSharedCredentials { get; init; }
}

/// <summary>
/// The devices and modules that may connect (IoT Hub developer guide, "Identity registry"). Every change is in the audit trail
/// before it takes effect, and ends the live link of an identity whose credential or permission it takes away.
/// </summary>
/// <remarks>Thread-safe. Refuses with <see cref="HubException"/>; each of its calls with 429 when there were more than <see cref="QuotaOptions"/> allow.</remarks>
public sealed partial class DeviceRegistry
{
    public const int MaxDevices = 1_000_000;
    public const int MaxModulesPerDevice = 50;
    public const int MaxListed = 1000;
    public const int MaxBulkItems = 100;

    private readonly IMetadata _metadata;
    private readonly ConnectedDevices _connected;
    private readonly ActivityWriteBack _activity;
    private readonly IdentityCache _authentication;
    private readonly KnownTags _tags;
    private readonly IAuditTrail _audit;
    private readonly IdentityRules _rules;
    private readonly Quotas _quotas;

    /// <param name="authentication">Is made to forget an identity once a change is on disk and before its requester is answered.</param>
    /// <param name="tags">As <paramref name="authentication"/>.</param>
    /// <param name="names">The hub's name goes into the events that tell of new and deleted identities.</param>
    public DeviceRegistry(
        IMetadata metadata, ConnectedDevices connected, ActivityWriteBack activity, IdentityCache authentication, KnownTags tags, IAuditTrail audit, HubNames names, RegistryOptions options, Quotas quotas,
        IKeyAttestation attestation, TimeProvider time)
    {
        _metadata = metadata;
        _quotas = quotas;
        _connected = connected;
        _activity = activity;
        _authentication = authentication;
        _tags = tags;
        _audit = audit;
        _rules = new IdentityRules(metadata, new LifecycleEvents(new ChangeEvents(names, time)), options, attestation, time);
    }

    public int ConnectedCount => _connected.Count;

    /// <exception cref="HubException">404: there is no such device or module.</exception>
    public IdentityState Get(Identity identity)
    {
        _quotas.TakeRegistryOperations(identity.DeviceId);
        return StateOf(_metadata.Read(tx => _rules.Require(tx, identity)));
    }

    /// <summary>Devices in ordinal order of their ids, those that a scope covers.</summary>
    /// <param name="after">Only those behind this id; null from the first.</param>
    /// <param name="top">1 to <see cref="MaxListed"/>.</param>
    public IReadOnlyList<IdentityState> ListDevices(Scope scope, string? after, int top)
    {
        _quotas.TakeRegistryOperations(deviceId: null);
        return [.. Covered(scope, after, top).Take(top).Select(StateOf)];
    }

    private IEnumerable<IdentityRecord> Covered(Scope scope, string? after, int top)
    {
        var pageSize = scope.LimitsDevices ? MaxListed : top;
        while (true)
        {
            var from = after;
            var page = _metadata.Read(tx => _metadata.Identities.ListDevices(tx, from, pageSize));
            foreach (var device in page)
            {
                if (scope.CoversDevice(device.DeviceId))
                    yield return device;
            }

            if (page.Count < pageSize)
                yield break;
            after = page[^1].DeviceId;
        }
    }

    /// <exception cref="HubException">404: there is no such device.</exception>
    public IReadOnlyList<IdentityState> ListModules(string deviceId)
    {
        _quotas.TakeRegistryOperations(deviceId);
        var modules = _metadata.Read(tx =>
        {
            _rules.Require(tx, Identity.Of(deviceId));
            return _metadata.Identities.ListModules(tx, deviceId);
        });
        return [.. modules.Select(StateOf)];
    }

    public (long Total, long Enabled) CountDevices() => _metadata.Read(_metadata.Identities.CountDevices);

    /// <summary>Does one change.</summary>
    /// <returns>The identity; null when it was deleted.</returns>
    /// <exception cref="HubException">400, 403, 404, 409, 412; 503 when the audit trail is not durable.</exception>
    public async ValueTask<IdentityState?> ChangeAsync(Actor actor, IdentityChange change, CancellationToken cancel)
    {
        var outcome = (await ChangeAsync(actor, [change], cancel))[0];
        return outcome.Refusal is null ? outcome.State : throw outcome.Refusal;
    }

    /// <inheritdoc cref="ChangeAsync(Actor, IReadOnlyList{IdentityChange}, Action{MetadataTransaction, IReadOnlyList{HubException}}, CancellationToken)"/>
    public ValueTask<IReadOnlyList<IdentityOutcome>> ChangeAsync(Actor actor, IReadOnlyList<IdentityChange> changes, CancellationToken cancel)
    {
        if (changes.Count == 0)
            throw TooManyItems();
        return ChangeAsync(actor, changes, alongside: null, cancel);
    }

    /// <summary>Does what may be done of <paramref name="changes"/>, in one transaction.</summary>
    /// <param name="alongside">Done in the same transaction, told why each change was refused, or null; on the store's thread. With it there may be no changes at all.</param>
    /// <returns>Per change, in their order, how it ended.</returns>
    /// <exception cref="HubException">400: an identity is named twice, or there are more than <see cref="MaxBulkItems"/>; 503 when the audit trail is not durable.</exception>
    internal async ValueTask<IReadOnlyList<IdentityOutcome>> ChangeAsync(
        Actor actor, IReadOnlyList<IdentityChange> changes, Action<MetadataTransaction, IReadOnlyList<HubException?>>? alongside, CancellationToken cancel)
    {
        if (changes.Count > MaxBulkItems)
            throw TooManyItems();
        if (changes.GroupBy(change => change.Identity).FirstOrDefault(same => same.Count() > 1) is { } doubled)
            throw new HubException(HubErrors.DeviceDefinedMultipleTimes, $"{doubled.Key} is named more than once");
        if (changes.Count > 0)
            _quotas.TakeRegistryOperations(changes.Count == 1 ? changes[0].Identity.DeviceId : null, changes.Count);

        // What cannot be done is found on a snapshot, so that the trail says "done" only of what is about to be; a change that
        // somebody else overtakes between here and the transaction gets a second entry that takes it back. What becomes of a module
        // whose device is changed by the same request is known only in the transaction.
        var attempts = changes.Select(change => new Attempt(change)).ToList();
        var devices = changes.Where(change => !change.Identity.IsModule).Select(change => change.Identity.DeviceId).ToHashSet();
        var foreseeable = attempts.Where(attempt => !attempt.Change.Identity.IsModule || !devices.Contains(attempt.Change.Identity.DeviceId)).ToList();
        _metadata.Read(tx => Each(foreseeable, change => _rules.Decide(tx, change)));
        await RecordAsync(actor, attempts.Where(attempt => attempt.Refusal is null), cancel);
        await ApplyAsync(actor, attempts, alongside, cancel);

        foreach (var attempt in attempts)
        {
            if (attempt.Refusal is not null)
                _audit.Note(actor.Refused(attempt.Action, attempt.Change.Identity.ToString(), attempt.Refusal.Message));
            else
                Announce(attempt.Decision!);
        }

        return [.. attempts.Select(attempt => new IdentityOutcome(
            attempt.Refusal is null && attempt.Decision!.After is { } after ? StateOf(after) : null, attempt.Refusal))];
    }

    private static HubException TooManyItems() => new(HubErrors.ArgumentInvalid, $"a bulk request has 1 to {MaxBulkItems} items");

    private async ValueTask RecordAsync(Actor actor, IEnumerable<Attempt> attempts, CancellationToken cancel)
    {
        // Handed over together, so that one sync of the trail covers all.
        var records = attempts
            .Select(attempt => (Attempt: attempt, Recording: _audit.RequireAsync(actor.Done(attempt.Action, attempt.Change.Identity.ToString()), cancel).AsTask()))
            .ToList();
        try
        {
            await Task.WhenAll(records.Select(record => record.Recording));
        }
        catch
        {
            // Nothing is done: what the trail already says was done is taken back.
            foreach (var (attempt, _) in records.Where(record => record.Recording.IsCompletedSuccessfully))
                _audit.Note(actor.Refused(attempt.Action, attempt.Change.Identity.ToString(), "not done: the request could not be recorded as a whole"));
            throw;
        }
    }

    private async ValueTask ApplyAsync(Actor actor, List<Attempt> attempts, Action<MetadataTransaction, IReadOnlyList<HubException?>>? alongside, CancellationToken cancel)
    {
        try
        {
            await _metadata.WriteAsync(
                tx =>
                {
                    var count = Each(attempts, change => _rules.Apply(tx, change, actor.CorrelationId));
                    alongside?.Invoke(tx, attempts.ConvertAll(attempt => attempt.Refusal));
                    return count;
                },
                cancel);
        }
        catch (Exception e)
        {
            foreach (var attempt in attempts.Where(attempt => attempt.Refusal is null))
                _audit.Note(actor.Refused(attempt.Action, attempt.Change.Identity.ToString(), $"not stored: {e.GetType().Name}"));
            throw;
        }
    }

    private static int Each(List<Attempt> attempts, Func<IdentityChange, IdentityDecision> decide)
    {
        foreach (var attempt in attempts.Where(attempt => attempt.Refusal is null))
        {
            try
            {
                attempt.Change.Draft?.Validate();
                attempt.Decision = decide(attempt.Change);
            }
            catch (HubException refusal)
            {
                attempt.Refusal = refusal;
            }
        }

        return attempts.Count;
    }

    internal void Announce(IdentityDecision decision)
    {
        var identity = decision.Identity;
        if (decision.Before is null || decision.After is null)
        {
            _activity.Forget(identity);
            _tags.Forget(identity.DeviceId);
        }

        _authentication.Invalidate(identity);
        EndBehalf(decision);

        if (decision.After is null && identity.IsModule)
            _connected.Close(identity, HubErrors.ModuleNotFound, "the module was deleted");
        else if (decision.After is null)
            _connected.CloseDevice(identity.DeviceId, HubErrors.DeviceNotFound, "the device was deleted");
        else if (decision.Disables)
            _connected.CloseDevice(identity.DeviceId, HubErrors.DeviceNotFound, "the device was disabled");
        else if (decision.LeavesEdge)
            EndEdge(identity);
        else if (decision.WithdrawsCredential)
            _connected.Close(identity, HubErrors.Unauthorized, "its credential was changed");
    }

    // What a gateway opened for others goes with what let it do so.
    private void EndBehalf(IdentityDecision decision)
    {
        var (id, name) = (decision.Identity.DeviceId, decision.Identity.ToString());
        if (decision.Identity.ModuleId == EdgeScope.HubModule && (decision.After is null || decision.WithdrawsCredential))
            _connected.CloseWhere(link => link.Principal.Gateways.Count > 0 && link.Principal.Name == name, HubErrors.Unauthorized, $"the credential of its gateway {name} was changed");
        else if (decision.EndsScope is not null || (decision.Disables && decision.Before!.IotEdge))
            _connected.CloseWhere(link => link.Principal.Gateways.Contains(id), HubErrors.Unauthorized, $"its gateway {id} was deleted, disabled, or is no edge device any more");
        else if (decision.Moves)
            _connected.CloseWhere(link => link.Principal.Gateways.Contains(id) || (link.Identity.DeviceId == id && link.Principal.Gateways.Count > 0), HubErrors.Unauthorized, $"{id} has another parent");
    }

    private void EndEdge(Identity device)
    {
        foreach (var name in IdentityRules.EdgeModules)
            _authentication.Invalidate(Identity.Of(device.DeviceId, name));
        _connected.CloseDevice(device.DeviceId, HubErrors.Unauthorized, "the device is no edge device any more");
    }

    private IdentityState StateOf(IdentityRecord record) =>
        new(_activity.Join(record), _connected.IsConnected(Identity.Of(record.DeviceId, record.ModuleId)));

    private sealed class Attempt(IdentityChange change)
    {
        public IdentityChange Change { get; } = change;

        public IdentityDecision? Decision { get; set; }

        public HubException? Refusal { get; set; }

        public string Action => Decision?.Action ?? (Change.Identity.IsModule ? "module change" : "device change");
    }
}
