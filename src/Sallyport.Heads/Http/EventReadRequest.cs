using System.Globalization;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>The parameters of <c>GET /manage/v1/events</c>, checked. Immutable.</summary>
internal sealed record EventReadRequest
{
    /// <summary>As it was given: whether there is one of that name is not looked at.</summary>
    public string ConsumerGroup { get; private init; } = ConsumerGroups.Default;

    public int? Partition { get; private init; }
    public LogStart From { get; private init; } = LogStart.Latest;
    public DevicePattern? Devices { get; private init; }
    public string? Checkpoint { get; private init; }

    /// <summary>Where some partitions begin, whatever else says; null when nobody asked to be told where each begins.</summary>
    public IReadOnlyDictionary<int, long>? Positions { get; private init; }

    public bool Follow { get; private init; } = true;
    public long MaxEvents { get; private init; } = long.MaxValue;

    /// <exception cref="HubException">400: the message names the parameter and says what it may be.</exception>
    public static EventReadRequest Parse(IQueryCollection query, int partitionCount)
    {
        var request = new EventReadRequest();
        foreach (var (name, values) in query)
        {
            if (values.Count != 1)
                throw new HubException(HubErrors.ArgumentInvalid, $"{Known(name)}: may be given once");

            request = request.With(name, values.ToString(), partitionCount);
        }

        return request;
    }

    private EventReadRequest With(string name, string value, int partitionCount)
    {
        switch (Known(name))
        {
            case "consumerGroup":
                return this with { ConsumerGroup = value };
            case "partition":
                return TryParse(value, out var partition) && partition < partitionCount
                    ? this with { Partition = (int)partition }
                    : throw Wrong(name, $"0 to {partitionCount - 1}");
            case "from":
                return EventPosition.TryParse(value, out var from) ? this with { From = from } : throw Wrong(name, EventPosition.Syntax);
            case "deviceId":
                return Identity.IsValidId(value)
                    ? this with { Devices = new DevicePattern(value) }
                    : throw Wrong(name, "a device id, * in it standing for any characters");
            case "checkpoint":
                return Checkpoints.IsValidName(value) ? this with { Checkpoint = value } : throw Wrong(name, CheckpointRoutes.NameSyntax);
            case "positions":
                return TryParse(value, partitionCount, out var positions)
                    ? this with { Positions = positions }
                    : throw Wrong(name, $"partition:sequence, separated by commas, partitions 0 to {partitionCount - 1}; or nothing");
            case "follow":
                return bool.TryParse(value, out var follow) ? this with { Follow = follow } : throw Wrong(name, "true or false");
            case "maxEvents":
                return TryParse(value, out var max) && max > 0 ? this with { MaxEvents = max } : throw Wrong(name, "a number from 1 on");
            default:
                return this;
        }
    }

    // A name that is not known is a typing error more often than not, and what it was meant to narrow would come whole.
    private static string Known(string name) =>
        name is "consumerGroup" or "partition" or "from" or "deviceId" or "checkpoint" or "positions" or "follow" or "maxEvents" or "api-version"
            ? name
            : throw new HubException(
                HubErrors.ArgumentInvalid, "the parameters are consumerGroup, partition, from, deviceId, checkpoint, positions, follow and maxEvents; another one was given");

    private static HubException Wrong(string name, string allowed) => new(HubErrors.ArgumentInvalid, $"{name}: {allowed}");

    private static bool TryParse(string text, int partitionCount, out Dictionary<int, long> positions)
    {
        positions = [];
        foreach (var part in text.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var colon = part.IndexOf(':', StringComparison.Ordinal);
            if (colon < 0 || !TryParse(part[..colon], out var partition) || partition >= partitionCount
                || !TryParse(part[(colon + 1)..], out var next) || !positions.TryAdd((int)partition, next))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryParse(string text, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
