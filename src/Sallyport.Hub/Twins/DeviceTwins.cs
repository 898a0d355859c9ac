using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Twins;

/// <summary>What a device is told of its desired properties once a change is on disk. Immutable.</summary>
/// <param name="Version">Their <c>$version</c>.</param>
/// <param name="Json">What changed, null for what is gone, and <c>$version</c>.</param>
public sealed record DesiredChange(long Version, ReadOnlyMemory<byte> Json);

/// <summary>
/// Twins of devices and modules (IoT Hub developer guide, "Device twins"). A change is on disk, with the event that tells of it in the outbox,
/// when its caller is answered; a connected device is told of its desired properties after that, in the order of their versions.
/// </summary>
/// <remarks>
/// Thread-safe. Refuses with <see cref="HubException"/>. Two changes of one twin are done one after the other; each merges into what the one before
/// left. A device that is not connected is told nothing: it reads its twin when it comes back.
/// </remarks>
public sealed partial class DeviceTwins
{
    private readonly IMetadata _metadata;
    private readonly ConnectedDevices _connected;
    private readonly ActivityWriteBack _activity;
    private readonly QuarantineLine _quarantine;
    private readonly KnownTags _tags;
    private readonly IAuditTrail _audit;
    private readonly Quotas _quotas;
    private readonly TimeProvider _time;
    private readonly TwinEvents _events;
    private readonly ReportedSections _reported = new();

    /// <param name="names">The hub's name goes into the events.</param>
    /// <param name="quarantine">What devices behind this line report is taken; they receive nothing.</param>
    /// <param name="tags">Is told of changed tags once they are on disk and before their requester is answered.</param>
    public DeviceTwins(
        IMetadata metadata, ConnectedDevices connected, ActivityWriteBack activity, HubNames names, QuarantineLine quarantine, KnownTags tags, IAuditTrail audit, Quotas quotas, TimeProvider time)
    {
        _metadata = metadata;
        _connected = connected;
        _activity = activity;
        _quarantine = quarantine;
        _tags = tags;
        _audit = audit;
        _quotas = quotas;
        _time = time;
        _events = new TwinEvents(new ChangeEvents(names, time));
    }

    /// <summary>The twin as a service sees it.</summary>
    /// <exception cref="HubException">404: there is no such device or module; 429.</exception>
    public TwinState Get(Identity identity)
    {
        _quotas.TakeRegistryOperations(identity.DeviceId);
        var (record, twin) = _metadata.Read(tx => Require(tx, identity));
        return StateOf(identity, record, twin);
    }

    /// <summary>Merges into, or replaces, tags and desired properties.</summary>
    /// <param name="condition">Asked of the twin's <c>etag</c>.</param>
    /// <returns>The twin after it.</returns>
    /// <exception cref="HubException">400: a part would hold more than it may; 401: the actor is limited to some devices and would change who reaches this one; 404; 412: the ETag is another; 429; 503: the audit trail is not durable.</exception>
    public ValueTask<TwinState> ChangeAsync(Actor actor, Identity identity, TwinChange change, EntityTagCondition condition, CancellationToken cancel) =>
        ChangeAsync(actor, identity, change.Replaces ? "twin-replace" : "twin-update", _ => change, condition, cancel);

    /// <summary>Changes desired properties as those of a plug-and-play device.</summary>
    /// <inheritdoc cref="ChangeAsync(Actor, Identity, TwinChange, EntityTagCondition, CancellationToken)"/>
    /// <exception cref="HubException">As above; 400 also when an operation names what is not there.</exception>
    public ValueTask<TwinState> ChangeAsync(Actor actor, Identity identity, DigitalTwinPatch patch, EntityTagCondition condition, CancellationToken cancel) =>
        ChangeAsync(actor, identity, "twin-update", twin => patch.ChangeOf(twin.Desired.Section().Root, TwinSection.Decode(twin.Reported.Json)), condition, cancel);

    private async ValueTask<TwinState> ChangeAsync(
        Actor actor, Identity identity, string act, Func<TwinRecord, TwinChange> changeOf, EntityTagCondition condition, CancellationToken cancel)
    {
        _quotas.TakeRegistryOperations(identity.DeviceId);
        var action = $"{(identity.IsModule ? "module" : "device")} {act}";

        // What cannot be done is found on a snapshot, so that the trail says "done" only of what is about to be.
        try
        {
            _metadata.Read(tx => Decide(tx, actor, identity, changeOf, condition));
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(action, identity.ToString(), refusal.Message));
            throw;
        }

        await _audit.RequireAsync(actor.Done(action, identity.ToString()), cancel).ConfigureAwait(false);
        Decision decision;
        try
        {
            decision = await _metadata.WriteAsync(tx => Apply(tx, actor, identity, changeOf, condition), Offer, cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _audit.Note(actor.Refused(action, identity.ToString(), e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }

        if (decision.Change.Tags is not null && !identity.IsModule)
            _tags.NoteChange(identity.DeviceId);
        return StateOf(identity, decision.Identity, decision.After);
    }

    /// <summary>The twin as its device sees it: <c>{"desired":{…,"$version":n},"reported":{…,"$version":m}}</c>.</summary>
    /// <param name="generationId">Of the identity that asks: a namesake made since is another.</param>
    /// <exception cref="HubException">404: the identity is gone; 429: it is in quarantine, and does not learn of it.</exception>
    internal byte[] Read(Identity identity, string generationId)
    {
        if (_quarantine.Holds(identity.DeviceId))
            throw new HubException(HubErrors.Throttled, HubErrors.Throttled.Meaning);

        var twin = _metadata.Read(tx => _metadata.Twins.FindProperties(tx, identity.DeviceId, identity.ModuleId));
        return twin?.GenerationId == generationId ? TwinJson.EncodeForDevice(twin) : throw Missing(identity);
    }

    /// <summary>Merges what a device reports.</summary>
    /// <param name="onlyAt">Only when <c>$version</c> of the reported properties is this; null for any.</param>
    /// <returns><c>$version</c> of the reported properties after it.</returns>
    /// <exception cref="HubException">400: there would be more than there may; 404: the identity is gone; 412: the version is another.</exception>
    internal async ValueTask<long> ReportAsync(Identity identity, string generationId, TwinNode patch, long? onlyAt, CancellationToken cancel)
    {
        var reported = await _metadata.WriteAsync(
            tx => Report(tx, identity, generationId, patch, onlyAt), after => _reported.Keep(identity, generationId, after), cancel).ConfigureAwait(false);
        return reported.Version;
    }

    // On the writer's thread: what others share is made before.
    private TwinSection Report(MetadataTransaction tx, Identity identity, string generationId, TwinNode patch, long? onlyAt)
    {
        var twins = _metadata.Twins;
        if (twins.FindVersions(tx, identity.DeviceId, identity.ModuleId) is not { } at || at.GenerationId != generationId)
            throw Missing(identity);
        if (onlyAt is { } expected && expected != at.ReportedVersion)
            throw new HubException(HubErrors.PreconditionFailed, $"the reported properties have $version {at.ReportedVersion}, not the one given");

        var before = _reported.Find(identity, generationId, at.ReportedVersion) ?? twins.FindReported(tx, identity.DeviceId, identity.ModuleId)!.Section();
        var reported = before.Patched(patch, TwinLimits.Reported, Now());
        twins.PutReported(tx, identity.DeviceId, identity.ModuleId, at.Version + 1, reported.Part());
        var stream = _quarantine.Holds(identity.DeviceId) ? StreamId.Quarantine : StreamId.Changes;
        _metadata.Outbox.Add(tx, _events.Reported(identity, stream, at.Version + 1, reported, patch));
        return reported;
    }

    /// <summary>Notes the model that a device named when it connected; writes only when it is another than before.</summary>
    internal async ValueTask NoteModelAsync(Identity identity, string generationId, string modelId, CancellationToken cancel)
    {
        if (_metadata.Read(tx => _metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId)) is not { } known || known.ModelId == modelId)
            return;

        try
        {
            await _metadata.WriteAsync(
                tx =>
                {
                    var isThere = _metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId) is { } twin && twin.GenerationId == generationId;
                    if (isThere)
                        _metadata.Twins.PutModel(tx, identity.DeviceId, identity.ModuleId, modelId);
                    return isThere;
                },
                cancel).ConfigureAwait(false);
        }
        catch (MetadataWriteException)
        {
            return; // The store has said so in the log; the next connect notes it.
        }
    }

    private DateTime Now() => _time.GetUtcNow().UtcDateTime;

    private TwinState StateOf(Identity identity, IdentityRecord record, TwinRecord twin) => new(_activity.Join(record), _connected.IsConnected(identity), twin);

    private (IdentityRecord Identity, TwinRecord Twin) Require(MetadataTransaction tx, Identity identity)
    {
        var record = IdentityRules.Require(_metadata.Identities, tx, identity);
        return (record, _metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId) ?? throw Missing(identity));
    }

    private static HubException Missing(Identity identity) =>
        identity.IsModule ? new(HubErrors.ModuleNotFound, $"there is no module {identity}") : new(HubErrors.DeviceNotFound, $"there is no device {identity}");

    private Decision Decide(MetadataTransaction tx, Actor actor, Identity identity, Func<TwinRecord, TwinChange> changeOf, EntityTagCondition condition)
    {
        var (record, before) = Require(tx, identity);
        condition.Require(before.ETag);
        var change = changeOf(before);
        var after = before with { ETag = before.ETag + 1, Version = before.Version + 1 };
        if (change.Tags is { } tags)
        {
            var whole = TwinNode.Merge(change.Replaces ? null : TwinSection.Decode(before.Tags), tags, default);
            after = after with { Tags = TwinSection.Encode(TwinSection.Within(whole, TwinLimits.Tags)) };
            if (actor.Scope.LimitsDevices && !identity.IsModule)
                RequireSameReach(tx, before.Tags, after.Tags);
        }

        if (change.Desired is not { } desired)
            return new Decision(identity, record, change, after, null, null);

        var section = before.Desired.Section();
        var changed = change.Replaces ? section.Replaced(desired, TwinLimits.Desired, Now()) : section.Patched(desired, TwinLimits.Desired, Now());
        var told = change.Replaces ? TwinNode.Replacement(section.Root, changed.Root) : desired;
        return new Decision(identity, record, change, after with { Desired = changed.Part() }, changed, told);
    }

    // Whoever puts a device into somebody's reach grants something, and whoever takes it out of his own could put it into that of another name of his.
    private void RequireSameReach(MetadataTransaction tx, byte[] before, byte[] after)
    {
        var limits = _metadata.Policies.ListDeviceTags(tx).Concat(_metadata.CertificateAuthorities.List(tx).Select(authority => authority.DeviceTags));
        if (limits.SelectMany(limit => TagLimit.Of(limit).Tags).FirstOrDefault(tag => tag.ValueIn(before) != tag.ValueIn(after)) is { } tag)
            throw new HubException(HubErrors.UnauthorizedAccess, $"tags.{tag.Path}: rights are limited by this tag, so only somebody who is limited to no devices may change it");
    }

    private Decision Apply(MetadataTransaction tx, Actor actor, Identity identity, Func<TwinRecord, TwinChange> changeOf, EntityTagCondition condition)
    {
        var decision = Decide(tx, actor, identity, changeOf, condition);
        _metadata.Twins.Put(tx, decision.After);
        _metadata.Outbox.Add(tx, decision.Change.Replaces
            ? _events.Replaced(identity, StateOf(identity, decision.Identity, decision.After), actor.CorrelationId)
            : _events.Updated(identity, decision.Change, decision.After.Version, decision.Desired ?? decision.After.Desired.Section(), actor.CorrelationId));
        return decision;
    }

    // On the writer's thread, in the order of the changes: the link only queues it.
    private void Offer(Decision decision)
    {
        if (decision.Told is not null && !_quarantine.Holds(decision.Owner.DeviceId) && _connected.Find(decision.Owner) is { TakesDesired: true } link)
            link.Offer(new DesiredChange(decision.After.Desired.Version, TwinJson.EncodeDesired(decision.Told, decision.After.Desired.Version)));
    }

    /// <summary>What a change comes to. Within this class, but for <see cref="Change"/> that hands it out and <see cref="Tell"/> that takes it back.</summary>
    internal sealed record Decision(Identity Owner, IdentityRecord Identity, TwinChange Change, TwinRecord After, TwinSection? Desired, TwinNode? Told);
}
