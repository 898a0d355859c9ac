namespace Sallyport.Storage.Metadata;

/// <summary>
/// Cloud-to-device messages that wait for their device, and those that were not delivered. Which of them are locked is the hub's to know and
/// not on disk: after a restart all of them wait again.
/// </summary>
public interface ICommandStore
{
    /// <summary>Adds a command to the queue of the identity as it is registered now.</summary>
    /// <param name="record">Its sequence and generation are given by the store.</param>
    /// <returns>Its sequence, which grows and is never given twice; null when there is no such identity.</returns>
    long? Add(MetadataTransaction tx, CommandRecord record);

    CommandRecord? Find(MetadataTransaction tx, long sequence);

    bool Exists(MetadataTransaction tx, long sequence);

    /// <summary>How many wait for the identity, locked ones included.</summary>
    int Count(MetadataTransaction tx, string deviceId, string? moduleId);

    /// <summary>What waits for the identity behind a sequence, the oldest first: without the messages, which may be large.</summary>
    IReadOnlyList<WaitingCommand> ListWaiting(MetadataTransaction tx, string deviceId, string? moduleId, string generationId, long after, int top);

    /// <summary>Those that end at <paramref name="now"/> or before, the earliest end first.</summary>
    /// <param name="after">Only those behind this one; null from the first.</param>
    IReadOnlyList<ExpiredCommand> ListExpired(MetadataTransaction tx, DateTimeOffset now, ExpiredCommand? after, int top);

    void SetDeliveryCount(MetadataTransaction tx, long sequence, int deliveryCount);

    bool Delete(MetadataTransaction tx, long sequence);

    /// <summary>Keeps a command that was not delivered; beyond the bounds the oldest ones go.</summary>
    /// <param name="maxOfIdentity">How many of one identity are kept.</param>
    /// <param name="max">How many are kept in all.</param>
    void AddDead(MetadataTransaction tx, DeadCommandRecord record, int maxOfIdentity, int max);

    DeadCommandRecord? FindDead(MetadataTransaction tx, long sequence);

    /// <summary>In the order in which they were given up, behind a sequence.</summary>
    /// <param name="deviceId">Of this device and its modules; null for all.</param>
    IReadOnlyList<DeadCommandRecord> ListDead(MetadataTransaction tx, string? deviceId, long after, int top);

    bool DeleteDead(MetadataTransaction tx, long sequence);
}

/// <summary>A command without its message.</summary>
public readonly record struct WaitingCommand(long Sequence, DateTimeOffset Expires);

/// <summary>A command whose time is over.</summary>
public sealed record ExpiredCommand(long Sequence, DateTimeOffset Expires, string DeviceId, string? ModuleId);

/// <summary>A cloud-to-device message that waits for its device.</summary>
public sealed record CommandRecord
{
    public long Sequence { get; init; }
    public required string DeviceId { get; init; }
    public string? ModuleId { get; init; }

    /// <summary>Of the identity when it was sent: a later one of the same name does not get it.</summary>
    public string GenerationId { get; init; } = "";

    /// <summary>Empty when the sender gave none.</summary>
    public string MessageId { get; init; } = "";

    public required DateTimeOffset EnqueuedTime { get; init; }

    /// <summary>From then on it is delivered no more.</summary>
    public required DateTimeOffset Expires { get; init; }

    public CommandAck Ack { get; init; }

    /// <summary>How often it was abandoned.</summary>
    public int DeliveryCount { get; init; }

    /// <summary>AMQP sections: properties, application properties, data.</summary>
    public required byte[] Message { get; init; }

    public override string ToString() => $"{DeviceId}{(ModuleId is null ? "" : "/" + ModuleId)} {Sequence}";
}

/// <summary>A command that was given up.</summary>
/// <param name="Sequence">Its own since then; 0 before it is stored.</param>
/// <param name="Command">As it waited last.</param>
public sealed record DeadCommandRecord(long Sequence, CommandRecord Command, DeadReason Reason, DateTimeOffset DeadTime);

/// <summary>Of what its sender wants to be told (<c>iothub-ack</c>). Numbers are stored: frozen.</summary>
public enum CommandAck : byte
{
    None = 0,

    /// <summary>When it was completed.</summary>
    Positive = 1,

    /// <summary>When it was not.</summary>
    Negative = 2,

    /// <summary>Both.</summary>
    Full = 3,
}

/// <summary>Why a command was given up. Numbers are stored: frozen.</summary>
public enum DeadReason : byte
{
    Rejected = 1,
    Expired = 2,
    DeliveryCountExceeded = 3,
}

/// <summary>What senders are told of their commands, first one by one, then in batches.</summary>
public interface IFeedbackStore
{
    /// <summary>Adds what is told of one command; at the bound the oldest go.</summary>
    /// <param name="max">How many are kept.</param>
    /// <returns>How many went.</returns>
    int Add(MetadataTransaction tx, FeedbackRecord record, int max);

    /// <summary>Those that are in no batch yet: how many, and the time of the oldest.</summary>
    (int Count, DateTimeOffset? Oldest) Loose(MetadataTransaction tx);

    /// <summary>Puts the oldest that are in no batch into a new one.</summary>
    /// <returns>False when there are none.</returns>
    bool MakeBatch(MetadataTransaction tx, DateTimeOffset now, DateTimeOffset expires, int top);

    /// <summary>Batches behind another, the oldest first.</summary>
    IReadOnlyList<FeedbackBatchRecord> ListBatches(MetadataTransaction tx, long after, int top);

    /// <summary>Batches that end at <paramref name="now"/> or before, and those in which there is nothing more.</summary>
    IReadOnlyList<long> ListOver(MetadataTransaction tx, DateTimeOffset now, int top);

    /// <summary>What is in a batch, in the order of its happening. Of devices that are gone there is nothing more.</summary>
    IReadOnlyList<FeedbackRecord> ListRecords(MetadataTransaction tx, long batch);

    void SetDeliveryCount(MetadataTransaction tx, long batch, int deliveryCount);

    /// <summary>Deletes a batch with what is in it.</summary>
    bool DeleteBatch(MetadataTransaction tx, long batch);
}

/// <param name="DeliveryCount">How often it was abandoned.</param>
public sealed record FeedbackBatchRecord(long Batch, DateTimeOffset EnqueuedTime, DateTimeOffset Expires, int DeliveryCount);

/// <summary>What is told of one command.</summary>
/// <param name="MessageId">Of the command; empty when it had none.</param>
/// <param name="Time">When it happened.</param>
public sealed record FeedbackRecord(string DeviceId, string? ModuleId, string GenerationId, string MessageId, DateTimeOffset Time, FeedbackStatus Status);

/// <summary>What became of a command; names are IoT Hub's. Numbers are stored: frozen.</summary>
public enum FeedbackStatus : byte
{
    Success = 0,
    Expired = 1,
    DeliveryCountExceeded = 2,
    Rejected = 3,
    Purged = 4,
}
