using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>Which key of a policy a renewal replaces.</summary>
public enum PolicyKey
{
    Primary,
    Secondary,

    /// <summary>No new key: primary and secondary change places.</summary>
    Swap,
}

/// <summary>
/// The shared access policies: names for sets of rights, each with two keys that sign tokens. All of them are in memory.
/// Every change is in the audit trail before it takes effect. Whoever changes a policy, or sees its keys, holds every right
/// that it holds: nobody grants what they do not have. Thread-safe.
/// </summary>
/// <remarks>Refuses with <see cref="HubException"/>. The metadata store is this process's alone, so what is in memory is what is stored.</remarks>
public sealed partial class Policies : IDisposable
{
    /// <summary>Azure IoT Hub's limit.</summary>
    public const int MaxPolicies = 16;

    /// <summary>The policy that holds every right.</summary>
    public const string Owner = "iothubowner";

    private static readonly (string Name, Rights Rights)[] Defaults =
    [
        (Owner, AzureRights.All),
        ("service", AzureRights.ServiceConnect),
        ("device", AzureRights.DeviceConnect),
        ("registryRead", AzureRights.RegistryRead),
        ("registryReadWrite", AzureRights.RegistryWrite),
    ];

    private readonly IMetadata _metadata;
    private readonly KnownTags _tags;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _oneChange = new(1, 1);

    // Replaced whole, by the one that holds _oneChange.
    private volatile FrozenDictionary<string, Remembered> _byName = FrozenDictionary<string, Remembered>.Empty;

    // By SHA-256, of the operators that have one. Replaced with _byName.
    private volatile FrozenDictionary<string, PolicyCredentials> _byCertificate = FrozenDictionary<string, PolicyCredentials>.Empty;

    private Policies(IMetadata metadata, KnownTags tags, IAuditTrail audit, TimeProvider time)
    {
        _metadata = metadata;
        _tags = tags;
        _audit = audit;
        _time = time;
        Remember();
    }

    /// <summary>Reads the policies; where there are none, at the first start, makes the five defaults with random keys.</summary>
    /// <param name="tags">Whom those that are limited by tag ask which a device has.</param>
    /// <exception cref="IOException">The audit trail or the store cannot be written.</exception>
    public static async ValueTask<Policies> OpenAsync(IMetadata metadata, KnownTags tags, IAuditTrail audit, TimeProvider time, CancellationToken cancel)
    {
        var policies = new Policies(metadata, tags, audit, time);
        if (policies._byName.Count > 0)
            return policies;

        var start = new Actor("local:first start", "", AzureRights.All, "", "local");
        foreach (var (name, _) in Defaults)
            await audit.RecordAsync(start.Done("policy create", name), cancel);

        var records = Defaults.Select(policy => NewRecord(policy.Name, policy.Rights, time)).ToList();
        await metadata.WriteAsync(
            tx =>
            {
                records.ForEach(record => metadata.Policies.Put(tx, record));
                return records.Count;
            },
            cancel);
        policies.Remember();
        return policies;
    }

    /// <summary>
    /// Gives <see cref="Owner"/> all rights and new keys, making it when it is gone. For whoever holds the data directory
    /// while no hub runs (<c>sallyport owner recover</c>).
    /// </summary>
    /// <param name="who">For the audit trail: <c>local:root</c>.</param>
    /// <exception cref="IOException">The audit trail or the store cannot be written.</exception>
    public static async ValueTask<PolicyRecord> RecoverOwnerAsync(
        IMetadata metadata, IAuditTrail audit, TimeProvider time, string who, CancellationToken cancel)
    {
        await audit.RecordAsync(new Actor(who, "", AzureRights.All, "", "local").Done("owner recover", Owner), cancel);
        return await metadata.WriteAsync(
            tx =>
            {
                var generation = metadata.Policies.Find(tx, Owner)?.Generation ?? 0;
                var record = NewRecord(Owner, AzureRights.All, time) with { Generation = generation + 1 };
                metadata.Policies.Put(tx, record);
                return record;
            },
            cancel);
    }

    /// <summary>All policies in the order of their names. The keys are in the records: show them only to who may see them (<see cref="Show"/>).</summary>
    public IReadOnlyList<PolicyRecord> List() => List(operators: false);

    /// <summary>A policy for somebody who will see its keys.</summary>
    /// <exception cref="HubException">404: there is no such policy; 401: it holds rights that the actor does not hold.</exception>
    public PolicyRecord Show(Actor actor, string name)
    {
        var record = Require(name);
        RequireHeld(actor, record);
        return record;
    }

    /// <summary>
    /// The number of a policy's ETag. It is made of what the policy is, so it changes with its rights, its scope and each renewal of a key, and
    /// is another one for a policy that was deleted and made anew.
    /// </summary>
    public static long TagOf(PolicyRecord record)
    {
        var what = string.Create(
            CultureInfo.InvariantCulture, $"{record.Name}\n{record.Rights}\n{record.DevicePrefixes}\n{record.DeviceTags}\n{record.ConsumerGroups}\n{record.Generation}\n{record.CreatedTime.UtcTicks}");
        return BinaryPrimitives.ReadInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(what)));
    }

    /// <summary>Makes a policy.</summary>
    /// <param name="primaryKey">Base64 of 16 to 64 bytes; null for a random one.</param>
    /// <param name="secondaryKey">As <paramref name="primaryKey"/>.</param>
    /// <exception cref="HubException">400: a name, key or set of rights is not valid, or there are <see cref="MaxPolicies"/> already; 401: the actor does not hold the rights; 409: the name is taken; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> CreateAsync(
        Actor actor, string name, Rights rights, string? primaryKey, string? secondaryKey, CancellationToken cancel) =>
        CreateAsync(actor, name, rights, Scope.Everything, primaryKey, secondaryKey, cancel);

    /// <inheritdoc cref="CreateAsync(Actor, string, Rights, string?, string?, CancellationToken)"/>
    /// <param name="scope">What its rights are limited to.</param>
    public ValueTask<PolicyRecord> CreateAsync(
        Actor actor, string name, Rights rights, Scope scope, string? primaryKey, string? secondaryKey, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "policy create",
            name,
            () =>
            {
                if (!ValidName().IsMatch(name))
                    throw Invalid($"a policy's name has 1 to {SharedAccessSignature.MaxPolicyNameLength} ASCII letters, digits, '-', '_' and '.'");
                RequireKnown(rights);
                if (!IsKey(primaryKey) || !IsKey(secondaryKey))
                    throw Invalid("a key is the canonical base64 of 16 to 64 bytes");
                RequireHeld(actor, rights, scope);
                if (_byName.ContainsKey(name))
                    throw new HubException(HubErrors.Conflict, $"there is a policy {name} already");
                if (List().Count >= MaxPolicies)
                    throw Invalid($"the hub has {MaxPolicies} policies, as many as it may; delete one first");

                var random = Limited(NewRecord(name, rights, _time), scope);
                return random with { PrimaryKey = primaryKey ?? random.PrimaryKey, SecondaryKey = secondaryKey ?? random.SecondaryKey };
            },
            cancel);

    /// <summary>Gives a policy other rights or another scope; what was left out stays. Sessions that it let in end, and come back if they still may.</summary>
    /// <param name="condition">What <see cref="TagOf"/> it must have now.</param>
    /// <exception cref="HubException">404: there is no such policy; 412: it was changed meanwhile; 401: it holds, or would hold, rights that the actor does not hold; 400: nobody else would hold <see cref="Rights.AccessManage"/>; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> UpdateAsync(Actor actor, string name, Rights? rights, Scope? scope, EntityTagCondition condition, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "policy update",
            name,
            () =>
            {
                var record = Show(actor, name);
                condition.Require(TagOf(record));
                var updated = Limited(record with { Rights = (long)(rights ?? (Rights)record.Rights) }, scope ?? Scope.Of(record));
                RequireKnown((Rights)updated.Rights);
                RequireHeld(actor, updated);
                if (((Rights)updated.Rights & Rights.AccessManage) == 0 || Scope.Of(updated).LimitsDevices)
                    RequireAnotherManager(name);
                return updated;
            },
            cancel);

    /// <summary>
    /// Replaces a key; tokens that it signed are refused from then on. Sessions that the policy let in end, whichever key signed: with
    /// a token that is still good they come back.
    /// </summary>
    /// <param name="condition">What <see cref="TagOf"/> it must have now.</param>
    /// <exception cref="HubException">404: there is no such policy; 412: it was changed meanwhile; 401: it holds rights that the actor does not hold; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> RenewKeyAsync(Actor actor, string name, PolicyKey key, EntityTagCondition condition, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "policy renew-key",
            name,
            () =>
            {
                var record = Show(actor, name);
                condition.Require(TagOf(record));
                var renewed = key switch
                {
                    PolicyKey.Primary => record with { PrimaryKey = KeyPair.NewKey() },
                    PolicyKey.Secondary => record with { SecondaryKey = KeyPair.NewKey() },
                    _ => record with { PrimaryKey = record.SecondaryKey, SecondaryKey = record.PrimaryKey },
                };
                return renewed with { Generation = record.Generation + 1 };
            },
            cancel);

    /// <summary>Deletes a policy; its tokens are refused from then on, and sessions that it let in end.</summary>
    /// <param name="condition">What <see cref="TagOf"/> it must have now.</param>
    /// <exception cref="HubException">404: there is no such policy; 412: it was changed meanwhile; 401: it holds rights that the actor does not hold; 400: nobody else holds <see cref="Rights.AccessManage"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteAsync(Actor actor, string name, EntityTagCondition condition, CancellationToken cancel) =>
        await ChangeAsync(
            actor,
            "policy delete",
            name,
            () =>
            {
                condition.Require(TagOf(Show(actor, name)));
                RequireAnotherManager(name);
                return null;
            },
            cancel);

    /// <summary>Once no change is under way.</summary>
    public void Dispose() => _oneChange.Dispose();

    /// <summary>What authentication needs of a policy; null when there is none of that name.</summary>
    internal PolicyCredentials? FindCredentials(ReadOnlySpan<char> name) =>
        _byName.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(name, out var known) ? known.Credentials : null;

    /// <summary>As <see cref="FindCredentials(ReadOnlySpan{char})"/>, of the policy that a token names.</summary>
    internal PolicyCredentials? FindCredentials(in SharedAccessSignature token) =>
        FindCredentials(token.ReadPolicyName(stackalloc char[SharedAccessSignature.MaxPolicyNameLength]));

    /// <summary>The refusal of an operator whose credential has ended or is disabled; null while it opens something.</summary>
    internal Admission? RefuseEnded(PolicyCredentials policy)
    {
        if (policy.Disabled)
            return Admission.Refuse(HubErrors.Unauthorized, $"{policy.Name} is disabled (operator update --status)");

        return policy.Expires > _time.GetUtcNow() ? null : Admission.Refuse(HubErrors.Unauthorized, $"the credential of {policy.Name} ended at {policy.Expires:u}");
    }

    /// <summary>Notes that these rights were needed and held now.</summary>
    internal void Used(PolicyCredentials policy, Rights rights) => policy.Use.Used(rights, _time.GetUtcNow());

    /// <summary>Everybody's use of rights as it is known here, which is newer than what is stored.</summary>
    internal IEnumerable<(string Name, RightUse Use)> Uses() => _byName.Values.Select(known => (known.Credentials.Name, known.Credentials.Use));

    /// <summary>Decides, records, stores, remembers; one change after the other.</summary>
    /// <param name="decide">The record to store; null to delete it.</param>
    private async ValueTask<PolicyRecord> ChangeAsync(Actor actor, string action, string name, Func<PolicyRecord?> decide, CancellationToken cancel)
    {
        await _oneChange.WaitAsync(cancel);
        try
        {
            var record = decide();
            await _audit.RequireAsync(actor.Done(action, name), cancel);
            await StoreAsync(actor, action, name, record);
            foreach (var withdrawn in Remember())
                await withdrawn.Withdrawal.CancelAsync();
            return record!;
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(action, name, refusal.Message));
            throw;
        }
        finally
        {
            _oneChange.Release();
        }
    }

    private async ValueTask StoreAsync(Actor actor, string action, string name, PolicyRecord? record)
    {
        try
        {
            await _metadata.WriteAsync(
                tx =>
                {
                    if (record is not null)
                        _metadata.Policies.Put(tx, record);
                    else
                        _metadata.Policies.Delete(tx, name);
                    return true;
                });
        }
        catch (Exception failure)
        {
            // The trail says "done" already: take that back.
            _audit.Note(actor.Refused(action, name, $"not stored: {failure.GetType().Name}"));
            throw;
        }
    }

    /// <summary>Takes what is stored into memory.</summary>
    /// <returns>What opened the door before and does so no more.</returns>
    private List<PolicyCredentials> Remember()
    {
        var before = _byName;
        var (records, uses) = _metadata.Read(tx => (_metadata.Policies.List(tx), _metadata.Policies.ListUse(tx).ToLookup(use => use.Policy)));
        var now = records.ToFrozenDictionary(
            record => record.Name,
            record => new Remembered(record, CredentialsOf(record, before.GetValueOrDefault(record.Name), uses[record.Name])),
            StringComparer.Ordinal);
        _byName = now;
        _byCertificate = now.Values.Where(known => known.Record.CertificateThumbprint is not null)
            .ToFrozenDictionary(known => known.Record.CertificateThumbprint!, known => known.Credentials, StringComparer.Ordinal);
        return [.. before.Values.Select(known => known.Credentials)
            .Where(known => now.GetValueOrDefault(known.Name)?.Credentials.Withdrawal != known.Withdrawal)];
    }

    private PolicyCredentials CredentialsOf(PolicyRecord record, Remembered? before, IEnumerable<RightUseRecord> stored)
    {
        var keeps = before is not null
            && (before.Record.Rights, before.Record.DevicePrefixes, before.Record.DeviceTags, before.Record.ConsumerGroups, before.Record.Expires, before.Record.CertificateThumbprint, before.Record.Disabled)
                == (record.Rights, record.DevicePrefixes, record.DeviceTags, record.ConsumerGroups, record.Expires, record.CertificateThumbprint, record.Disabled)
            && IsOneOf(before.Record.PrimaryKey, record) && IsOneOf(before.Record.SecondaryKey, record);
        return new PolicyCredentials(
            record.Name, (Rights)record.Rights, Scope.Of(record).Asking(_tags), record.Expires ?? DateTimeOffset.MaxValue, KeyPair.Of(record.PrimaryKey, record.SecondaryKey),
            keeps ? before!.Credentials.Withdrawal : new CancellationTokenSource(), before?.Credentials.Use ?? new RightUse(stored))
        {
            Disabled = record.Disabled,
        };
    }

    private static bool IsOneOf(string key, PolicyRecord record) => key == record.PrimaryKey || key == record.SecondaryKey;

    private IReadOnlyList<PolicyRecord> List(bool operators) =>
        [.. _byName.Values.Select(known => known.Record).Where(record => IsOperator(record.Name) == operators).OrderBy(record => record.Name, StringComparer.Ordinal)];

    private PolicyRecord Require(string name) =>
        !IsOperator(name) && _byName.TryGetValue(name, out var known) ? known.Record : throw new HubException(HubErrors.NotFound, $"there is no policy {name}");

    // Operators do not count: their credentials end by themselves.
    private void RequireAnotherManager(string name)
    {
        if (!List().Any(other => other.Name != name && ((Rights)other.Rights & Rights.AccessManage) != 0 && !Scope.Of(other).LimitsDevices))
            throw Invalid($"{name} is the last policy that holds access-manage: without it nobody could manage policies");
    }

    private static void RequireKnown(Rights rights)
    {
        if (rights is Rights.None || (rights & ~AzureRights.All) != 0)
            throw Invalid("at least one right is needed, and only rights that this hub knows");
    }

    private static void RequireHeld(Actor actor, PolicyRecord record) => RequireHeld(actor, (Rights)record.Rights, Scope.Of(record));

    private static void RequireHeld(Actor actor, Rights rights, Scope scope)
    {
        if (!actor.Scope.Covers(scope))
            throw new HubException(HubErrors.UnauthorizedAccess, "this reaches beyond the devices or consumer groups that you are limited to");
        if ((rights & ~actor.Rights) is not Rights.None and var missing)
            throw new HubException(HubErrors.UnauthorizedAccess, $"this needs rights that you do not hold: {RightsText.Format(missing)}");
    }

    private static bool IsKey(string? key) => key is null || KeyPair.IsKey(key);

    private static HubException Invalid(string message) => new(HubErrors.ArgumentInvalid, message);

    private static PolicyRecord NewRecord(string name, Rights rights, TimeProvider time) =>
        new(name, (long)rights, KeyPair.NewKey(), KeyPair.NewKey(), 1, time.GetUtcNow());

    [GeneratedRegex(@"\A[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex ValidName();

    private static PolicyRecord Limited(PolicyRecord record, Scope scope)
    {
        var (devicePrefixes, deviceTags, consumerGroups) = scope.Stored();
        return record with { DevicePrefixes = devicePrefixes, DeviceTags = deviceTags, ConsumerGroups = consumerGroups };
    }

    private sealed record Remembered(PolicyRecord Record, PolicyCredentials Credentials);
}
