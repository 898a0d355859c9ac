using System.Globalization;
using System.Security.Cryptography;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>What a change makes of an identity. <see cref="Before"/> is null when it is created, <see cref="After"/> when it is deleted.</summary>
internal sealed record IdentityDecision(Identity Identity, IdentityRecord? Before, IdentityRecord? After)
{
    /// <summary>As in the audit trail: <c>device create</c>, <c>module delete</c>, ….</summary>
    public string Action => $"{(Identity.IsModule ? "module" : "device")} {(Before is null ? "create" : After is null ? "delete" : "update")}";

    /// <summary>A key or thumbprint that opened the door does so no more.</summary>
    public bool WithdrawsCredential =>
        Before is not null && After is not null
        && (Before.Authentication != After.Authentication
            || Withdrawn(Before.PrimaryKey, After.PrimaryKey, After.SecondaryKey)
            || Withdrawn(Before.SecondaryKey, After.PrimaryKey, After.SecondaryKey)
            || Withdrawn(Before.PrimaryThumbprint, After.PrimaryThumbprint, After.SecondaryThumbprint)
            || Withdrawn(Before.SecondaryThumbprint, After.PrimaryThumbprint, After.SecondaryThumbprint));

    public bool Disables => Before is { Enabled: true } && After is { Enabled: false };

    /// <summary>The modules of the edge runtime go with it.</summary>
    public bool LeavesEdge => Before is { IotEdge: true } && After is { IotEdge: false };

    /// <summary>The scope of an edge device that is one no more; its children lose their parent. Else null.</summary>
    public string? EndsScope => Before is { IotEdge: true, ModuleId: null } && After is not { IotEdge: true } ? Before.DeviceScope : null;

    /// <summary>The device has another parent than before, or none any more.</summary>
    public bool Moves => !Identity.IsModule && Before is not null && After is not null && ParentRules.IsMoved(Before, After);

    private static bool Withdrawn(string? before, string? primary, string? secondary) => before is not null && before != primary && before != secondary;
}

/// <summary>
/// The rules of the registry on one transaction: <see cref="Decide"/> checks a change and says what it would make,
/// <see cref="Apply"/> also makes it, and does nothing when it refuses. Stateless; thread-safe.
/// </summary>
internal sealed class IdentityRules(IMetadata metadata, LifecycleEvents events, RegistryOptions options, IKeyAttestation attestation, TimeProvider time)
{
    private readonly IIdentityStore _identities = metadata.Identities;
    private readonly ParentRules _parents = new(metadata);

    // Of a mark: the identity itself and whoever else has it; more than two only where sharing was allowed.
    private const int MaxSameMarks = 4;

    // The runtime of an edge device signs in as these two; IoT Hub makes them with the device.
    public static readonly IReadOnlyList<string> EdgeModules = ["$edgeAgent", EdgeScope.HubModule];

    /// <exception cref="HubException">404.</exception>
    public IdentityRecord Require(MetadataTransaction tx, Identity identity) => Require(_identities, tx, identity);

    /// <inheritdoc cref="Require(MetadataTransaction, Identity)"/>
    public static IdentityRecord Require(IIdentityStore identities, MetadataTransaction tx, Identity identity)
    {
        if (identities.Find(tx, identity.DeviceId, identity.ModuleId) is { } record)
            return record;

        if (identity.IsModule && identities.Find(tx, identity.DeviceId, null) is not null)
            throw new HubException(HubErrors.ModuleNotFound, $"there is no module {identity}");
        throw new HubException(HubErrors.DeviceNotFound, $"there is no device {identity.DeviceId}");
    }

    public IdentityDecision Decide(MetadataTransaction tx, IdentityChange change)
    {
        var identity = change.Identity;
        if (identity.IsModule && change.Mode is not PutMode.Update)
            Require(tx, Identity.Of(identity.DeviceId));

        var before = change.Mode is PutMode.Update ? Require(tx, identity) : _identities.Find(tx, identity.DeviceId, identity.ModuleId);
        if (before is null && (identity.ModuleId ?? identity.DeviceId) is "." or "..")
            throw new HubException(HubErrors.ArgumentInvalid, "an id may not be '.' or '..': URI libraries remove these from a path, so that no SDK could ever name it");
        if (before is null)
            return Allowed(tx, new IdentityDecision(identity, null, Created(identity, change.Draft!)), change.Draft);
        if (change.Mode is PutMode.Create)
            throw new HubException(identity.IsModule ? HubErrors.ModuleAlreadyExists : HubErrors.DeviceAlreadyExists, $"{identity} exists already");

        change.Condition.Require(before.ETag);
        return Allowed(tx, new IdentityDecision(identity, before, change.Draft is null ? null : Changed(before, change.Draft) with { ETag = before.ETag + 1 }), change.Draft);
    }

    private IdentityDecision Allowed(MetadataTransaction tx, IdentityDecision decision, IdentityDraft? draft)
    {
        if (decision.After is not null && attestation.ObjectsTo(decision.After) is { } objection)
            throw new HubException(HubErrors.ArgumentInvalid, objection);
        if (decision.After is { ModuleId: null } device)
            _parents.Require(tx, decision.Before, device);

        return Unshared(tx, decision, draft);
    }

    /// <summary>
    /// Refuses a key or thumbprint that another identity has, or an operator: whoever holds it could be both. Asked only about what a request gives, as
    /// the hub's own keys are random. Which identity it is stays unsaid: the requester may not be meant to know of it.
    /// </summary>
    /// <exception cref="HubException">409.</exception>
    private IdentityDecision Unshared(MetadataTransaction tx, IdentityDecision decision, IdentityDraft? draft)
    {
        if (options.AllowSharedCredentials || draft?.Credential is not { } given || decision.After is not { } after)
            return decision;

        foreach (var (field, credential) in given.Given())
        {
            // An update sends back what there is: what the identity has is not new to it, also when others have it from before this rule.
            if (decision.Before is { } before && (KeyPair.AreSame(credential, before.Primary) || KeyPair.AreSame(credential, before.Secondary)))
                continue;

            var others = _identities.FindByCredential(tx, credential, MaxSameMarks).Where(other => other.DeviceId != after.DeviceId || other.ModuleId != after.ModuleId);
            if (after.Authentication is IdentityAuthentication.SelfSigned && metadata.Policies.HasCertificate(tx, credential))
                throw new HubException(HubErrors.Conflict, $"{field}: it is an operator's certificate, and an operator's is no device's; give the device its own");
            if (others.Any(other => KeyPair.AreSame(credential, other.Primary) || KeyPair.AreSame(credential, other.Secondary)))
                throw new HubException(HubErrors.Conflict, $"{field}: another identity has it already, and whoever holds it could be both; give each its own, or leave the keys to the hub");
        }

        return decision;
    }

    /// <param name="correlationId">Of the request; goes into the event that tells of it.</param>
    public IdentityDecision Apply(MetadataTransaction tx, IdentityChange change, string correlationId)
    {
        var decision = Decide(tx, change);
        if (decision is { Before: null })
            RequireRoom(tx, decision.Identity);

        Store(tx, decision, correlationId);
        if (!decision.Identity.IsModule && decision.After is not null && decision.After.IotEdge != (decision.Before?.IotEdge ?? false))
            ChangeEdgeModules(tx, decision, correlationId);
        if (decision.EndsScope is { } scope)
            _parents.Orphan(tx, scope);
        return decision;
    }

    private void Store(MetadataTransaction tx, IdentityDecision decision, string correlationId)
    {
        var identity = decision.Identity;
        if (decision is { Before: not null, After: not null })
        {
            _identities.Put(tx, decision.After);
            return;
        }

        // A twin comes and goes with its identity.
        var twin = (decision.After is null ? metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId) : null)
            ?? TwinParts.New(identity, (decision.After ?? decision.Before!).GenerationId, time.GetUtcNow().UtcDateTime);
        if (decision.After is null)
        {
            _identities.Delete(tx, identity.DeviceId, identity.ModuleId);
        }
        else
        {
            _identities.Put(tx, decision.After);
            metadata.Twins.Put(tx, twin);
        }

        if (events.Of(decision, twin, correlationId) is { } told)
            metadata.Outbox.Add(tx, told);
    }

    private void RequireRoom(MetadataTransaction tx, Identity identity)
    {
        if (identity.IsModule && _identities.ListModules(tx, identity.DeviceId).Count >= DeviceRegistry.MaxModulesPerDevice)
            throw new HubException(HubErrors.TooManyModules, $"a device has at most {DeviceRegistry.MaxModulesPerDevice} modules");

        if (!identity.IsModule && _identities.CountDevices(tx).Total >= DeviceRegistry.MaxDevices)
            throw new HubException(HubErrors.TooManyDevices, $"a hub has at most {DeviceRegistry.MaxDevices} devices");
    }

    private void ChangeEdgeModules(MetadataTransaction tx, IdentityDecision device, string correlationId)
    {
        foreach (var name in EdgeModules)
        {
            var module = Identity.Of(device.Identity.DeviceId, name);
            var before = _identities.Find(tx, module.DeviceId, name);
            if (device.LeavesEdge && before is not null)
                Store(tx, new IdentityDecision(module, before, null), correlationId);
            else if (!device.LeavesEdge && before is null)
                Store(tx, new IdentityDecision(module, null, Created(module, new IdentityDraft { ManagedBy = "IotEdge" })), correlationId);
        }
    }

    private IdentityRecord Created(Identity identity, IdentityDraft draft)
    {
        // A path cannot name them: HTTP clients and servers take dots for "here" and "up" (RFC 3986, 5.2.4).
        if ((identity.ModuleId ?? identity.DeviceId) is "." or "..")
            throw IdentityDraft.Invalid(identity.IsModule ? "moduleId" : "deviceId", "cannot be only dots");

        // Both are random, not counted: a namesake of a deleted identity must not fit its tokens' generation or its ETags.
        var blank = new IdentityRecord
        {
            DeviceId = identity.DeviceId,
            ModuleId = identity.ModuleId,
            GenerationId = RandomNumberGenerator.GetInt32(100_000_000, 1_000_000_000).ToString(CultureInfo.InvariantCulture)
                + RandomNumberGenerator.GetInt32(100_000_000, 1_000_000_000).ToString(CultureInfo.InvariantCulture),
            ETag = RandomNumberGenerator.GetInt32(1, int.MaxValue),
        };
        return Changed(blank, draft with { Credential = draft.Credential ?? new CredentialDraft() }) with { StatusUpdatedTime = null };
    }

    private IdentityRecord Changed(IdentityRecord before, IdentityDraft draft)
    {
        var after = draft.Credential?.ApplyTo(before) ?? before;
        if (draft.Renewal is { } renewal)
            after = CredentialDraft.Renew(after, renewal);
        after = after with { PrimarySince = Since(before, after.Primary), SecondarySince = Since(before, after.Secondary) };
        if (before.ModuleId is not null)
            return after with { ManagedBy = NullIfEmpty(draft.ManagedBy.Or(before.ManagedBy)) };

        var enabled = draft.Enabled ?? before.Enabled;
        var reason = NullIfEmpty(draft.StatusReason.Or(before.StatusReason));
        after = after with
        {
            Enabled = enabled,
            StatusReason = reason,
            StatusUpdatedTime = enabled != before.Enabled || reason != before.StatusReason ? time.GetUtcNow() : before.StatusUpdatedTime,
            IotEdge = draft.IotEdge ?? before.IotEdge,
        };
        return after.IotEdge ? WithEdgeScope(before, after, draft) : WithLeafScope(before, after, draft);
    }

    // An edge device's scope is its own name for its children; only its parent can be given.
    private static IdentityRecord WithEdgeScope(IdentityRecord before, IdentityRecord after, IdentityDraft draft) => after with
    {
        DeviceScope = EdgeScope.Of(after.DeviceId, after.GenerationId),
        ParentScopes = draft.ParentScopes.Or(before.ParentScopes) ?? [],
    };

    // A leaf's scope and its one parent are the same thing under two names. SDKs send both back, so the one that differs from what is stored is meant.
    private static IdentityRecord WithLeafScope(IdentityRecord before, IdentityRecord after, IdentityDraft draft)
    {
        var kept = before.IotEdge ? First(before.ParentScopes) : before.DeviceScope;
        var scope = NullIfEmpty(draft.DeviceScope.Or(before.DeviceScope));
        if (scope == before.DeviceScope)
            scope = draft.ParentScopes.IsGiven ? First(draft.ParentScopes.Value) : kept;

        return after with { DeviceScope = scope, ParentScopes = scope is null ? [] : [scope] };
    }

    // A key that only changed its place keeps its age.
    private DateTimeOffset? Since(IdentityRecord before, string? credential) =>
        credential is null ? null
        : KeyPair.AreSame(credential, before.Primary) ? before.PrimarySince
        : KeyPair.AreSame(credential, before.Secondary) ? before.SecondarySince
        : time.GetUtcNow();

    private static string? First(IReadOnlyList<string>? scopes) => scopes is [var first, ..] ? NullIfEmpty(first) : null;

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;
}
