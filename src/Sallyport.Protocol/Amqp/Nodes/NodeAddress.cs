using Sallyport.Protocol.Identities;

namespace Sallyport.Protocol.Amqp.Nodes;

/// <summary>What a link's address leads to.</summary>
public enum NodeKind
{
    Unknown,

    /// <summary><c>$cbs</c>: where tokens are put.</summary>
    Cbs,

    /// <summary><c>$management</c>: where an Event Hub is described.</summary>
    Management,

    /// <summary><c>devices/{id}[/modules/{m}]/messages/events</c>.</summary>
    DeviceEvents,

    /// <summary><c>…/messages/devicebound</c>.</summary>
    DeviceBound,

    /// <summary><c>…/methods/devicebound</c>.</summary>
    Methods,

    /// <summary><c>…/twin</c>.</summary>
    Twin,

    /// <summary><c>messages/devicebound</c>: commands of services.</summary>
    ServiceCommands,

    /// <summary><c>messages/servicebound/feedback</c>.</summary>
    Feedback,

    /// <summary><c>messages/servicebound/filenotifications</c>.</summary>
    FileNotifications,

    /// <summary><c>messages/events/…</c> of the hub itself: the Event Hub is elsewhere.</summary>
    HubEvents,

    /// <summary><c>{eventHub}/ConsumerGroups/{group}/Partitions/{partition}</c>.</summary>
    Partition,
}

/// <summary>
/// A link's address as clients write it: with or without scheme, authority and port, a slash at the start or none, in any case of letters.
/// Immutable; holds nothing that was not in the address.
/// </summary>
/// <remarks>
/// Ids in a full URI are percent-encoded by the C# client and by nobody in a path alone, so only a URI is decoded; an escape that is none stays
/// as it is (ids may hold a percent sign).
/// </remarks>
public sealed record NodeAddress(NodeKind Kind)
{
    private static readonly NodeAddress Unknown = new(NodeKind.Unknown);

    /// <summary>Whose; of the device kinds.</summary>
    public Identity Identity { get; private init; }

    /// <summary>The Event Hub's name; of <see cref="NodeKind.Partition"/>.</summary>
    public string EventHub { get; private init; } = "";

    /// <summary>As it was written.</summary>
    public string ConsumerGroup { get; private init; } = "";

    /// <summary>As it was written.</summary>
    public string PartitionId { get; private init; } = "";

    /// <summary>Whether only the device itself, or who acts for it, may attach.</summary>
    public bool IsOfDevice => Kind is NodeKind.DeviceEvents or NodeKind.DeviceBound or NodeKind.Methods or NodeKind.Twin;

    /// <summary>Reads an address; what is none that a hub has is <see cref="NodeKind.Unknown"/>.</summary>
    public static NodeAddress Parse(string? address) => Parse(address, isEncoded: false);

    /// <summary>Reads an address whose ids are percent-encoded also in a path alone, as service SDKs write the <c>to</c> of a command.</summary>
    public static NodeAddress ParseEncoded(string? address) => Parse(address, isEncoded: true);

    private static NodeAddress Parse(string? address, bool isEncoded)
    {
        if (address is null)
            return Unknown;

        var isUri = (address.IndexOf("://", StringComparison.Ordinal) is > 0 and var scheme && SkipAuthority(address, scheme + 3, out address)) || isEncoded;
        Span<Range> ranges = stackalloc Range[10];
        var path = address.AsSpan().Trim('/');
        var count = path.Split(ranges, '/');
        if (count is 0 or 10)
            return Unknown;

        var segments = new string[count];
        for (var i = 0; i < count; i++)
            segments[i] = isUri ? Uri.UnescapeDataString(path[ranges[i]]) : path[ranges[i]].ToString();
        return Parse(segments);
    }

    private static NodeAddress Parse(ReadOnlySpan<string> path)
    {
        switch (path.Length)
        {
            case 1 when Is(path[0], "$cbs"):
                return new NodeAddress(NodeKind.Cbs);
            case 1 when Is(path[0], "$management"):
                return new NodeAddress(NodeKind.Management);
            case 2 when Is(path[0], "messages") && Is(path[1], "devicebound"):
                return new NodeAddress(NodeKind.ServiceCommands);
            case 3 when Is(path[0], "messages") && Is(path[1], "servicebound") && Is(path[2], "feedback"):
                return new NodeAddress(NodeKind.Feedback);
            case 3 when Is(path[0], "messages") && Is(path[1], "servicebound") && (Is(path[2], "filenotifications") || Is(path[2], "fileuploadnotifications")):
                return new NodeAddress(NodeKind.FileNotifications);
            case >= 2 when Is(path[0], "messages") && Is(path[1], "events"):
                return new NodeAddress(NodeKind.HubEvents);
            case >= 3 when Is(path[0], "devices"):
                return OfDevice(path);
            case 5 when Is(path[1], "ConsumerGroups") && Is(path[3], "Partitions"):
                return new NodeAddress(NodeKind.Partition) { EventHub = path[0], ConsumerGroup = path[2], PartitionId = path[4] };
            default:
                return Unknown;
        }
    }

    private static NodeAddress OfDevice(ReadOnlySpan<string> path)
    {
        var isModule = path.Length > 4 && Is(path[2], "modules");
        var rest = path[(isModule ? 4 : 2)..];
        var kind = rest.Length switch
        {
            1 when Is(rest[0], "twin") => NodeKind.Twin,
            2 when Is(rest[0], "messages") && Is(rest[1], "events") => NodeKind.DeviceEvents,
            2 when Is(rest[0], "messages") && Is(rest[1], "devicebound") => NodeKind.DeviceBound,
            2 when Is(rest[0], "methods") && Is(rest[1], "devicebound") => NodeKind.Methods,
            _ => NodeKind.Unknown,
        };
        return kind != NodeKind.Unknown && Identity.TryCreate(path[1], isModule ? path[3] : null, out var identity)
            ? new NodeAddress(kind) { Identity = identity }
            : Unknown;
    }

    private static bool SkipAuthority(string uri, int authority, out string path)
    {
        var slash = uri.IndexOf('/', authority);
        path = slash < 0 ? "" : uri[slash..];
        return true;
    }

    private static bool Is(string segment, string name) => segment.Equals(name, StringComparison.OrdinalIgnoreCase);
}
