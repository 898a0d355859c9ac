using System.Net;

namespace Sallyport.Services.Outgoing;

/// <summary>Where connections may go; process configuration, so that whoever may create a connection cannot widen it.</summary>
public sealed record OutgoingOptions
{
    /// <summary>Where file targets live: <c>DIR/sinks</c>. Made (0700) when missing.</summary>
    public required string SinksDirectory { get; init; }

    /// <summary>More directories that file targets may be in. They must exist.</summary>
    public IReadOnlyList<string> FileDirectories { get; init; } = [];

    /// <summary>Allows targets on this machine's loopback addresses and unix sockets, also without TLS. On in development mode.</summary>
    public bool AllowLoopback { get; init; }

    /// <summary>Link-local, metadata or unspecified addresses that are allowed all the same.</summary>
    public IReadOnlyList<IPNetwork> AllowedNetworks { get; init; } = [];

    /// <summary>The hub's own listeners: never a target on this machine.</summary>
    public IReadOnlyList<int> OwnPorts { get; init; } = [];

    /// <summary>PEM file of the only roots trusted for targets; null for the system's.</summary>
    public string? RootsFile { get; init; }
}
