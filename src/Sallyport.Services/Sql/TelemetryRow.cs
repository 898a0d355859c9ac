using System.Globalization;

namespace Sallyport.Services.Sql;

/// <summary>One message as a row. At most one of the three bodies is set; none for an empty body.</summary>
internal sealed record TelemetryRow
{
    public required long Sequence { get; init; }
    public required DateTimeOffset EnqueuedTime { get; init; }
    public required string DeviceId { get; init; }
    public string? ModuleId { get; init; }
    public string? MessageId { get; init; }
    public string? CorrelationId { get; init; }
    public string? ContentType { get; init; }
    public string? ContentEncoding { get; init; }

    /// <summary>A JSON object of the application properties.</summary>
    public string Properties { get; init; } = "{}";

    /// <summary>A JSON object of what sender and hub say about the message.</summary>
    public string SystemProperties { get; init; } = "{}";

    /// <summary>A body that is JSON.</summary>
    public string? Body { get; init; }

    /// <summary>A body that is other text.</summary>
    public string? BodyText { get; init; }

    /// <summary>Any other body.</summary>
    public byte[]? BodyBytes { get; init; }

    /// <summary>The whole message as stored (AMQP sections), when something in it fits no column.</summary>
    public byte[]? RawMessage { get; init; }

    /// <summary>The message as stored; valid as long as the page it was read from.</summary>
    public required ReadOnlyMemory<byte> Stored { get; init; }

    /// <summary>The offset as IoT Hub writes it.</summary>
    public string Offset => Sequence.ToString("D20", CultureInfo.InvariantCulture);

    /// <summary>Nothing but the keys and <see cref="RawMessage"/>: a database can refuse none of it.</summary>
    public bool IsRaw => RawMessage is not null && SystemProperties == "{}";

    /// <summary>The same message with less in it that a database could refuse, and nothing lost; null when there is nothing less.</summary>
    public TelemetryRow? Plainer()
    {
        if (Body is not null)
            return this with { Body = null, BodyText = Body };

        return IsRaw ? null : AsRaw();
    }

    public TelemetryRow AsRaw() => new()
    {
        Sequence = Sequence,
        EnqueuedTime = EnqueuedTime,
        DeviceId = DeviceId,
        ModuleId = ModuleId,
        Stored = Stored,
        RawMessage = Stored.ToArray(),
    };
}
