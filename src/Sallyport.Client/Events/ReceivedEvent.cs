namespace Sallyport.Client.Events;

/// <summary>One event as the hub stored it. Immutable.</summary>
public sealed record ReceivedEvent
{
    public required string PartitionId { get; init; }

    /// <summary>Contiguous in a partition.</summary>
    public required long SequenceNumber { get; init; }

    /// <summary>Text without meaning but as a position; may be kept as a checkpoint.</summary>
    public required string Offset { get; init; }

    /// <summary>When the hub stored it, in UTC.</summary>
    public required DateTimeOffset EnqueuedTime { get; init; }

    /// <summary>The payload: the bytes of a data section, or of a value that is a binary or a text.</summary>
    public required ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>
    /// What the hub and the standard say of the message: annotations (<c>iothub-connection-device-id</c>, <c>iothub-enqueuedtime</c>, …) and standard
    /// properties by their names (<c>message-id</c>, <c>content-type</c>, …). Values are text, numbers, booleans, times (<see cref="DateTimeOffset"/>),
    /// <see cref="Guid"/> or bytes.
    /// </summary>
    public required IReadOnlyDictionary<string, object?> SystemProperties { get; init; }

    /// <summary>What the device says of it. Values as in <see cref="SystemProperties"/>.</summary>
    public required IReadOnlyDictionary<string, object?> Properties { get; init; }

    public string? MessageId => Text("message-id");

    public string? CorrelationId => Text("correlation-id");

    public string? ContentType => Text("content-type");

    public string? ContentEncoding => Text("content-encoding");

    /// <summary>Which device sent it; null when no device did.</summary>
    public string? DeviceId => Text("iothub-connection-device-id");

    /// <summary>Which module of the device sent it; null when none did.</summary>
    public string? ModuleId => Text("iothub-connection-module-id");

    private string? Text(string name) => SystemProperties.GetValueOrDefault(name)?.ToString();
}

/// <summary>The Event Hub as it describes itself.</summary>
/// <param name="CreatedOn">As far as the hub says.</param>
public sealed record EventHubProperties(string Name, DateTimeOffset CreatedOn, IReadOnlyList<string> PartitionIds);

/// <summary>One partition as it is now.</summary>
/// <param name="BeginningSequenceNumber">Of the oldest event.</param>
/// <param name="LastEnqueuedSequenceNumber">Of the newest event; -1 when there never was one.</param>
/// <param name="LastEnqueuedTime">In UTC; without meaning when there never was an event.</param>
public sealed record PartitionProperties(
    string EventHubName, string Id, long BeginningSequenceNumber, long LastEnqueuedSequenceNumber, string LastEnqueuedOffset, DateTimeOffset LastEnqueuedTime, bool IsEmpty);
