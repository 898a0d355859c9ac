using System.Collections.Frozen;
using System.Text.RegularExpressions;
using Sallyport.Hub.Audit;
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
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _oneChange = new(1, 1);

    // Replaced whole, by the one that holds _oneChange.
    private volatile FrozenDictionary<string, Remembered> _byName = FrozenDictionary<string, Remembered>.Empty;

    private Policies(IMetadata metadata, IAuditTrail audit, TimeProvider time)
    {
        _metadata = metadata;
        _audit = audit;
        _time = time;
        Remember();
    }

    /// <summary>Reads the policies; where there are none, at the first start, makes the five defaults with random keys.</summary>
    /// <exception cref="IOException">The audit trail or the store cannot be written.</exception>
    public static async ValueTask<Policies> OpenAsync(IMetadata metadata, IAuditTrail audit, TimeProvider time, CancellationToken cancel)
    {
        var policies = new Policies(metadata, audit, time);
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
    public IReadOnlyList<PolicyRecord> List() => [.. _byName.Values.Select(known => known.Record).OrderBy(record => record.Name, StringComparer.Ordinal)];

    /// <summary>A policy for somebody who will see its keys.</summary>
    /// <exception cref="HubException">404: there is no such policy; 401: it holds rights that the actor does not hold.</exception>
    public PolicyRecord Show(Actor actor, string name)
    {
        var record = Require(name);
        RequireRights(actor, (Rights)record.Rights);
        return record;
    }

    /// <summary>Makes a policy.</summary>
    /// <param name="primaryKey">Base64 of 16 to 64 bytes; null for a random one.</param>
    /// <param name="secondaryKey">As <paramref name="primaryKey"/>.</param>
    /// <exception cref="HubException">400: a name, key or set of rights is not valid, or there are <see cref="MaxPolicies"/> already; 401: the actor does not hold the rights; 409: the name is taken; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> CreateAsync(
        Actor actor, string name, Rights rights, string? primaryKey, string? secondaryKey, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "policy create",
            name,
            () =>
            {
                if (!ValidName().IsMatch(name))
                    throw Invalid($"a policy's name has 1 to {SharedAccessSignature.MaxPolicyNameLength} ASCII letters, digits, '-', '_' and '.'");
                if (rights is Rights.None || (rights & ~AzureRights.All) != 0)
                    throw Invalid("a policy needs at least one right, and only rights that this hub knows");
                if (!IsKey(primaryKey) || !IsKey(secondaryKey))
                    throw Invalid("a key is the canonical base64 of 16 to 64 bytes");
                RequireRights(actor, rights);
                if (_byName.ContainsKey(name))
                    throw new HubException(HubErrors.Conflict, $"there is a policy {name} already");
                if (_byName.Count >= MaxPolicies)
                    throw Invalid($"the hub has {MaxPolicies} policies, as many as it may; delete one first");

                var random = NewRecord(name, rights, _time);
                return random with { PrimaryKey = primaryKey ?? random.PrimaryKey, SecondaryKey = secondaryKey ?? random.SecondaryKey };
            },
            cancel);

    /// <summary>
    /// Replaces a key; tokens that it signed are refused from then on. Sessions that the policy let in end, whichever key signed: with
    /// a token that is still good they come back.
    /// </summary>
    /// <exception cref="HubException">404: there is no such policy; 401: it holds rights that the actor does not hold; 503: the audit trail cannot be written.</exception>
    public ValueTask<PolicyRecord> RenewKeyAsync(Actor actor, string name, PolicyKey key, CancellationToken cancel) =>
        ChangeAsync(
            actor,
            "policy renew-key",
            name,
            () =>
            {
                var record = Show(actor, name);
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
    /// <exception cref="HubException">404: there is no such policy; 401: it holds rights that the actor does not hold; 400: nobody else holds <see cref="Rights.AccessManage"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteAsync(Actor actor, string name, CancellationToken cancel) =>
        await ChangeAsync(
            actor,
            "policy delete",
            name,
            () =>
            {
                Show(actor, name);
                if (!_byName.Values.Any(other => other.Record.Name != name && (other.Credentials.Rights & Rights.AccessManage) != 0))
                    throw Invalid($"{name} is the last policy that holds access-manage: without it nobody could manage policies");

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
        var now = _metadata.Read(_metadata.Policies.List).ToFrozenDictionary(
            record => record.Name,
            record => new Remembered(record, CredentialsOf(record, before.GetValueOrDefault(record.Name))),
            StringComparer.Ordinal);
        _byName = now;
        return [.. before.Values.Select(known => known.Credentials)
            .Where(known => now.GetValueOrDefault(known.Name)?.Credentials.Withdrawal != known.Withdrawal)];
    }

    private static PolicyCredentials CredentialsOf(PolicyRecord record, Remembered? before)
    {
        var keeps = before is not null && before.Record.Rights == record.Rights
            && IsOneOf(before.Record.PrimaryKey, record) && IsOneOf(before.Record.SecondaryKey, record);
        return new PolicyCredentials(
            record.Name, (Rights)record.Rights, KeyPair.Of(record.PrimaryKey, record.SecondaryKey), keeps ? before!.Credentials.Withdrawal : new CancellationTokenSource());
    }

    private static bool IsOneOf(string key, PolicyRecord record) => key == record.PrimaryKey || key == record.SecondaryKey;

    private PolicyRecord Require(string name) =>
        _byName.GetValueOrDefault(name)?.Record ?? throw new HubException(HubErrors.NotFound, $"there is no policy {name}");

    private static void RequireRights(Actor actor, Rights rights)
    {
        if ((rights & ~actor.Rights) is not Rights.None and var missing)
            throw new HubException(HubErrors.UnauthorizedAccess, $"this needs rights that you do not hold: {RightsText.Format(missing)}");
    }

    private static bool IsKey(string? key) => key is null || KeyPair.IsKey(key);

    private static HubException Invalid(string message) => new(HubErrors.ArgumentInvalid, message);

    private static PolicyRecord NewRecord(string name, Rights rights, TimeProvider time) =>
        new(name, (long)rights, KeyPair.NewKey(), KeyPair.NewKey(), 1, time.GetUtcNow());

    [GeneratedRegex(@"\A[A-Za-z0-9._-]{1,64}\z")]
    private static partial Regex ValidName();

    private sealed record Remembered(PolicyRecord Record, PolicyCredentials Credentials);
}

/// <summary>What authentication needs of a policy. Immutable; never printed.</summary>
/// <param name="Withdrawal">Cancelled when a key is replaced or the policy deleted; swapping the keys keeps it.</param>
internal sealed record PolicyCredentials(string Name, Rights Rights, KeyPair Keys, CancellationTokenSource Withdrawal)
{
    public override string ToString() => Name;
}
