using System.Globalization;

namespace Sallyport.Cli;

/// <summary>Which events a reader wants. Immutable.</summary>
internal sealed record EventSelection
{
    /// <summary>What devices in quarantine report, instead of telemetry; it has no consumer groups and no checkpoints.</summary>
    public bool Quarantine { get; init; }

    public string? ConsumerGroup { get; init; }

    /// <summary>A device id, in which <c>*</c> stands for any characters; null for all.</summary>
    public string? DeviceId { get; init; }

    /// <summary>Null for devices and all of their modules.</summary>
    public string? ModuleId { get; init; }

    /// <summary>Null for all.</summary>
    public long? Partition { get; init; }

    /// <summary>From which moment on; null: from now on.</summary>
    public DateTimeOffset? From { get; init; }

    /// <summary>The name of a saved position to go on at; null for none.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>The request that reads them.</summary>
    /// <param name="positions">Where partitions go on, whatever else says.</param>
    public string Path(IReadOnlyDictionary<int, long> positions)
    {
        var query = new List<string> { $"positions={string.Join(',', positions.Select(position => string.Create(CultureInfo.InvariantCulture, $"{position.Key}:{position.Value}")))}" };
        Add("consumerGroup", ConsumerGroup);
        Add("deviceId", DeviceId);
        Add("partition", Partition?.ToString(CultureInfo.InvariantCulture));
        Add("from", From is { } from ? $"time:{from.UtcDateTime:yyyy-MM-ddTHH:mm:ss.fffZ}" : null);
        Add("checkpoint", Checkpoint);
        return $"manage/v1/{(Quarantine ? "quarantine/events" : "events")}?{string.Join('&', query)}";

        void Add(string name, string? value)
        {
            if (value is not null)
                query.Add($"{name}={Uri.EscapeDataString(value)}");
        }
    }

    public string CheckpointPath => $"manage/v1/checkpoints/{Uri.EscapeDataString(ConsumerGroup ?? "$Default")}/{Uri.EscapeDataString(Checkpoint!)}";
}
