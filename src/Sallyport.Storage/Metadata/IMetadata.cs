namespace Sallyport.Storage.Metadata;

/// <summary>
/// The metadata store: one writer that groups commits, any number of snapshot readers. The stores below
/// (one narrow interface a promise) take the transaction, so that one act over several of them is all or nothing.
/// </summary>
/// <remarks>Thread-safe.</remarks>
public interface IMetadata : IAsyncDisposable
{
    /// <summary>Random, made with the store: tells what this hub wrote from what another did. 32 hex digits.</summary>
    string HubId { get; }

    IIdentityStore Identities { get; }
    ITwinStore Twins { get; }
    IQuarantineStore Quarantine { get; }
    IIpFilterStore IpFilter { get; }
    IPolicyStore Policies { get; }
    ISubscriptionStore Subscriptions { get; }
    ICheckpointStore Checkpoints { get; }
    IConsumerGroupStore ConsumerGroups { get; }
    IConnectionStore Connections { get; }
    IOutboxStore Outbox { get; }
    ICertificateAuthorityStore CertificateAuthorities { get; }
    IRevocationStore Revocations { get; }
    ICommandStore Commands { get; }
    IFeedbackStore Feedback { get; }
    IScopeStore Scopes { get; }
    IRegistryJobStore RegistryJobs { get; }
    IUploadStore Uploads { get; }
    IFileNotificationStore FileNotifications { get; }
    IJobStore Jobs { get; }
    IConfigurationStore Configurations { get; }

    /// <summary>
    /// Runs <paramref name="act"/> on the writer and completes when it is on disk. What it throws comes back to the caller and
    /// undoes its changes only. Acts run one after the other, many per commit: keep them short, no I/O in them.
    /// </summary>
    /// <param name="cancel">Gives up while the act waits for its turn; nothing was changed then.</param>
    /// <exception cref="MetadataWriteException">It could not be made durable; nothing was changed.</exception>
    ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default);

    /// <inheritdoc cref="WriteAsync{T}(Func{MetadataTransaction, T}, CancellationToken)"/>
    /// <param name="committed">
    /// Told what the act returned once it is on disk and before its caller is: on the writer's thread, in the order in which acts were done. It only
    /// schedules work, never blocks or throws.
    /// </param>
    ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T> committed, CancellationToken cancel = default);

    /// <summary>Runs <paramref name="look"/> on a snapshot of what is committed.</summary>
    T Read<T>(Func<MetadataTransaction, T> look);
}

/// <summary>A transaction of the store that made it; opaque to everybody else. Never kept beyond the call that gave it.</summary>
public abstract class MetadataTransaction;

/// <summary>Devices and modules.</summary>
public interface IIdentityStore
{
    IdentityRecord? Find(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>Inserts or replaces. Deleting a device deletes its modules.</summary>
    void Put(MetadataTransaction tx, IdentityRecord record);

    bool Delete(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>Devices in the order of their ids (ordinal), after <paramref name="after"/>.</summary>
    IReadOnlyList<IdentityRecord> ListDevices(MetadataTransaction tx, string? after, int top);

    IReadOnlyList<IdentityRecord> ListModules(MetadataTransaction tx, string deviceId);

    /// <summary>Identities that may have this key or thumbprint, primary or secondary: equal marks. Whoever acts on it compares the text itself.</summary>
    IReadOnlyList<IdentityRecord> FindByCredential(MetadataTransaction tx, string credential, int top);

    /// <summary>Keys and thumbprints that several identities have: how many, and the identities of the first <paramref name="top"/>. Sorts every mark.</summary>
    (long Count, IReadOnlyList<string> Examples) FindShared(MetadataTransaction tx, int top);

    /// <summary>Devices and modules in ordinal order without opening a secret, for whoever goes through all of them.</summary>
    /// <param name="after">Only those behind this one; null from the first.</param>
    IReadOnlyList<IdentityFacts> Survey(MetadataTransaction tx, IdentityFacts? after, int top);

    (long Total, long Enabled) CountDevices(MetadataTransaction tx);

    /// <summary>Writes back last activity and connection state, which live in memory in between; at most every 30 s. A null leaves what is stored; identities that are gone are passed over.</summary>
    void PutActivity(MetadataTransaction tx, IReadOnlyList<IdentityActivity> activities);
}

/// <summary>A registered device or module, with its keys in the clear: the store encrypts them at rest. Never printed.</summary>
public sealed record IdentityRecord
{
    public required string DeviceId { get; init; }
    public string? ModuleId { get; init; }

    /// <summary>New with every creation, so that data of a deleted namesake is told apart.</summary>
    public required string GenerationId { get; init; }

    /// <summary>Grows with each change; shown as base64 (<c>AAAAAAAAAAc=</c>).</summary>
    public required long ETag { get; init; }

    public bool Enabled { get; init; } = true;
    public string? StatusReason { get; init; }
    public DateTimeOffset? StatusUpdatedTime { get; init; }
    public IdentityAuthentication Authentication { get; init; }
    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
    public string? PrimaryThumbprint { get; init; }
    public string? SecondaryThumbprint { get; init; }
    public bool IotEdge { get; init; }
    public string? DeviceScope { get; init; }
    public IReadOnlyList<string> ParentScopes { get; init; } = [];
    public string? ManagedBy { get; init; }
    public DateTimeOffset? LastActivityTime { get; init; }
    public DateTimeOffset? ConnectionStateUpdatedTime { get; init; }

    /// <summary>How many cloud-to-device messages wait for it. Of the queue: not written with the identity.</summary>
    public int CommandCount { get; init; }

    /// <summary>Since when it has its primary key or thumbprint; null when that was before the hub noted it.</summary>
    public DateTimeOffset? PrimarySince { get; init; }

    /// <inheritdoc cref="PrimarySince"/>
    public DateTimeOffset? SecondarySince { get; init; }

    /// <summary>The primary key or thumbprint, whichever its authentication has.</summary>
    public string? Primary => PrimaryKey ?? PrimaryThumbprint;

    public string? Secondary => SecondaryKey ?? SecondaryThumbprint;

    /// <summary>Names the identity, never its keys.</summary>
    public override string ToString() => ModuleId is null ? DeviceId : $"{DeviceId}/{ModuleId}";
}

/// <summary>What a look through the registry needs of an identity. Without secrets.</summary>
/// <param name="PrimarySince">See <see cref="IdentityRecord.PrimarySince"/>.</param>
public sealed record IdentityFacts(
    string DeviceId, string? ModuleId, string GenerationId, bool Enabled, IdentityAuthentication Authentication,
    DateTimeOffset? PrimarySince, DateTimeOffset? SecondarySince, DateTimeOffset? LastActivityTime)
{
    public override string ToString() => ModuleId is null ? DeviceId : $"{DeviceId}/{ModuleId}";
}

/// <summary>Devices in quarantine, by id: also of a device that is registered no more.</summary>
public interface IQuarantineStore
{
    IReadOnlyList<QuarantineRecord> List(MetadataTransaction tx);

    /// <summary>Inserts or replaces.</summary>
    void Put(MetadataTransaction tx, QuarantineRecord record);

    bool Delete(MetadataTransaction tx, string deviceId);
}

/// <param name="PlacedBy">Who, as in the audit trail (<c>policy:iothubowner</c>), or the rule (<c>rule:tamper</c>).</param>
public sealed record QuarantineRecord(string DeviceId, DateTimeOffset Since, string PlacedBy, string Reason);

/// <summary>Numbers are stored: frozen.</summary>
public enum IdentityAuthentication : byte
{
    Sas = 0,
    SelfSigned = 1,
    CertificateAuthority = 2,
    None = 3,
}

public readonly record struct IdentityActivity(string DeviceId, string? ModuleId, DateTimeOffset? LastActivityTime, DateTimeOffset? ConnectionStateUpdatedTime);

/// <summary>Shared access policies and operators.</summary>
public interface IPolicyStore
{
    PolicyRecord? Find(MetadataTransaction tx, string name);
    IReadOnlyList<PolicyRecord> List(MetadataTransaction tx);
    void Put(MetadataTransaction tx, PolicyRecord record);

    /// <summary>Deletes it, and what is known of its use.</summary>
    bool Delete(MetadataTransaction tx, string name);

    /// <summary>Every <see cref="PolicyRecord.DeviceTags"/> that is a limit; keys are not opened for it.</summary>
    IReadOnlyList<string> ListDeviceTags(MetadataTransaction tx);

    /// <summary>Whether a client certificate is an operator's.</summary>
    /// <param name="thumbprint">SHA-256, 64 upper-case hex digits.</param>
    bool HasCertificate(MetadataTransaction tx, string thumbprint);

    /// <summary>When the use of rights began to be recorded.</summary>
    DateTimeOffset UseRecordedSince(MetadataTransaction tx);

    /// <summary>When rights were used last, of those that were.</summary>
    IReadOnlyList<RightUseRecord> ListUse(MetadataTransaction tx);

    /// <summary>Inserts or replaces; policies that are gone are passed over.</summary>
    void PutUse(MetadataTransaction tx, IReadOnlyList<RightUseRecord> uses);
}

/// <param name="Right">One bit of the policy's rights.</param>
public sealed record RightUseRecord(string Policy, long Right, DateTimeOffset LastUsed);

/// <summary>A shared access policy with its keys (base64) in the clear: the store encrypts them at rest. Never printed.</summary>
/// <param name="Rights">A bit set whose numbers are frozen (<c>Hub/Access/Rights</c>).</param>
public sealed record PolicyRecord(string Name, long Rights, string PrimaryKey, string SecondaryKey, long Generation, DateTimeOffset CreatedTime)
{
    /// <summary>Beginnings of the ids of the devices it is about, separated by spaces; empty for all devices.</summary>
    public string DevicePrefixes { get; init; } = "";

    /// <summary>The tags that the devices it is about must have, percent-encoded and separated by spaces; empty for all devices.</summary>
    public string DeviceTags { get; init; } = "";

    /// <summary>The consumer groups it may read in, separated by spaces; empty for all.</summary>
    public string ConsumerGroups { get; init; } = "";

    /// <summary>From then on it opens nothing; null for never. Operators have one.</summary>
    public DateTimeOffset? Expires { get; init; }

    /// <summary>SHA-256 of an operator's client certificate, which is its credential then; 64 upper-case hex digits; null for a key.</summary>
    public string? CertificateThumbprint { get; init; }

    /// <summary>It opens nothing for now. Only of operators.</summary>
    public bool Disabled { get; init; }

    public override string ToString() => Name;
}

/// <summary>What MQTT sessions with clean session 0 have subscribed to; survives reconnects and restarts.</summary>
public interface ISubscriptionStore
{
    IReadOnlyList<SubscriptionRecord>? Find(MetadataTransaction tx, string deviceId, string? moduleId, string generationId);

    /// <summary>
    /// Replaces all of them; an empty list is a session without subscriptions. An identity that is gone, or registered anew, is passed over:
    /// its session ended with it.
    /// </summary>
    void Put(MetadataTransaction tx, string deviceId, string? moduleId, string generationId, IReadOnlyList<SubscriptionRecord> subscriptions);

    /// <summary>Ends the session.</summary>
    void Delete(MetadataTransaction tx, string deviceId, string? moduleId);
}

public readonly record struct SubscriptionRecord(string Filter, byte QoS);

/// <summary>How far readers have come: consumer groups' named positions and connections.</summary>
public interface ICheckpointStore
{
    /// <summary>Next sequence number per partition; empty when never written.</summary>
    IReadOnlyDictionary<int, long> Find(MetadataTransaction tx, string scope, string name);

    /// <summary>How many names the scope has.</summary>
    long Count(MetadataTransaction tx, string scope);

    void Put(MetadataTransaction tx, string scope, string name, int partition, long next);

    void Delete(MetadataTransaction tx, string scope, string name);

    /// <summary>Deletes every name of the scope.</summary>
    void DeleteAll(MetadataTransaction tx, string scope);
}

/// <summary>Consumer groups, the default one among them. Names are told apart without case, and kept as they were given.</summary>
public interface IConsumerGroupStore
{
    /// <summary>In the order of their names.</summary>
    IReadOnlyList<ConsumerGroupRecord> List(MetadataTransaction tx);

    bool Exists(MetadataTransaction tx, string name);

    /// <summary>There must be none of this name.</summary>
    void Add(MetadataTransaction tx, ConsumerGroupRecord record);

    bool Delete(MetadataTransaction tx, string name);
}

/// <param name="CreatedTime">Of <c>$Default</c>: when the hub began to keep groups.</param>
public sealed record ConsumerGroupRecord(string Name, DateTimeOffset CreatedTime);

/// <summary>Service connections: where telemetry is sent.</summary>
public interface IConnectionStore
{
    ConnectionRecord? Find(MetadataTransaction tx, string name);
    IReadOnlyList<ConnectionRecord> List(MetadataTransaction tx);
    void Put(MetadataTransaction tx, ConnectionRecord record);
    bool Delete(MetadataTransaction tx, string name);
}

/// <param name="Kind">For example <c>sql</c>.</param>
/// <param name="Settings">JSON without secrets.</param>
/// <param name="Secret">The connection string, encrypted at rest. Never printed.</param>
/// <param name="CreatorRights">The rights of whoever created it; it runs with no more.</param>
/// <param name="Epoch">Grows with each owner that starts it, so that a stalled old owner cannot commit.</param>
public sealed record ConnectionRecord(
    string Name, string Kind, string Settings, string Secret, bool Paused, string Creator, long CreatorRights, long Epoch, DateTimeOffset CreatedTime)
{
    public override string ToString() => $"{Kind} {Name}";
}

/// <summary>Tokens that are refused although their key is good and their end not reached.</summary>
public interface IRevocationStore
{
    IReadOnlyList<RevokedTokenRecord> ListTokens(MetadataTransaction tx);

    /// <summary>Inserts or replaces.</summary>
    void PutToken(MetadataTransaction tx, RevokedTokenRecord record);

    IReadOnlyList<TokenResetRecord> ListResets(MetadataTransaction tx);

    /// <summary>Inserts or replaces.</summary>
    void PutReset(MetadataTransaction tx, TokenResetRecord record);

    /// <summary>Deletes tokens accepted until before <paramref name="acceptedUntil"/>, and resets of tokens that end before <paramref name="refusedUntil"/>.</summary>
    void DeleteEnded(MetadataTransaction tx, DateTimeOffset acceptedUntil, DateTimeOffset refusedUntil);
}

/// <param name="Fingerprint">64 hex digits.</param>
/// <param name="Subject">Whose it was, for people; empty when that was not known.</param>
/// <param name="AcceptedUntil">When it would have ended, clock skew included; null when that was not known: kept for good.</param>
public sealed record RevokedTokenRecord(string Fingerprint, string Subject, DateTimeOffset? AcceptedUntil, DateTimeOffset RevokedTime);

/// <summary>Tokens of an identity's own keys are refused when they end at <paramref name="RefusedUntil"/> or before.</summary>
/// <param name="GenerationId">A reset does not concern a later identity of the same name.</param>
public sealed record TokenResetRecord(string DeviceId, string? ModuleId, string GenerationId, DateTimeOffset RefusedUntil, DateTimeOffset ResetTime);

/// <summary>From which networks anybody may connect.</summary>
public interface IIpFilterStore
{
    /// <summary>In the order in which they are tried.</summary>
    IReadOnlyList<IpFilterRecord> List(MetadataTransaction tx);

    /// <summary>Puts these in the place of all there are.</summary>
    void Replace(MetadataTransaction tx, IReadOnlyList<IpFilterRecord> rules);
}

/// <param name="Network">For example <c>192.0.2.0/24</c>.</param>
public sealed record IpFilterRecord(string Name, string Network, bool Allows);

/// <summary>Events to append that were decided in a metadata transaction; one relay appends and then deletes them.</summary>
public interface IOutboxStore
{
    /// <summary>Told after each commit that added events, on the writer's thread: only schedule work, never block or throw.</summary>
    event Action? Added;

    /// <summary>Adds an event, when the transaction is committed: until then nobody sees it.</summary>
    void Add(MetadataTransaction tx, OutboxRecord record);

    /// <summary>The oldest ones, in the order they were added: <paramref name="top"/>, and up to 255 more of the same commit.</summary>
    IReadOnlyList<OutboxRecord> Peek(MetadataTransaction tx, int top);

    void Delete(MetadataTransaction tx, IReadOnlyList<Guid> ids);
}

/// <param name="Id">The idempotency id of the appended record: a second append of it is dropped at recovery.</param>
/// <param name="Message">AMQP sections, starting with <see cref="Protocol.Amqp.HubAnnotations"/>.</param>
public sealed record OutboxRecord(Guid Id, string DeviceId, ushort Stream, byte Source, byte[] Message);
