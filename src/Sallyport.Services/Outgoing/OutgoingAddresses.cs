using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Sallyport.Services.Outgoing;

/// <summary>
/// Resolves a target's name and checks what it resolved to, on every connect: the caller connects to these addresses and not
/// to the name again, so that a name cannot mean something else in between. Thread-safe.
/// </summary>
internal sealed class OutgoingAddresses(OutgoingOptions options, Func<string, CancellationToken, Task<IPAddress[]>> resolve)
{
    // Instance metadata services outside the link-local ranges.
    private static readonly IPAddress[] Metadata = [IPAddress.Parse("100.100.100.200"), IPAddress.Parse("fd00:ec2::254")];

    private static readonly IPNetwork Nat64 = IPNetwork.Parse("64:ff9b::/96");

    private static readonly IPNetwork[] LinkLocal = [IPNetwork.Parse("169.254.0.0/16"), IPNetwork.Parse("fe80::/10")];

    private static readonly IPNetwork[] Unspecified =
        [IPNetwork.Parse("0.0.0.0/8"), IPNetwork.Parse("::/128"), IPNetwork.Parse("224.0.0.0/3"), IPNetwork.Parse("ff00::/8")];

    public OutgoingAddresses(OutgoingOptions options)
        : this(options, Dns.GetHostAddressesAsync)
    {
    }

    /// <summary>All addresses of a host, each of them allowed.</summary>
    /// <exception cref="TargetException">There is none, or one of them is not allowed.</exception>
    public async Task<IReadOnlyList<IPAddress>> ResolveAsync(string host, int port, CancellationToken cancel)
    {
        IPAddress[] found;
        try
        {
            found = IPAddress.TryParse(host, out var literal) ? [literal] : await resolve(host, cancel);
        }
        catch (SocketException e)
        {
            throw new TargetException($"the name '{host}' does not resolve", refused: false, e);
        }

        var addresses = found.Select(address => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToList();
        if (addresses.Count == 0)
            throw new TargetException($"the name '{host}' has no address", refused: false);

        // One address that is not allowed spoils the name: which one a client would take is not for the name's owner to choose.
        foreach (var address in addresses)
        {
            if ((Refusal(address, port) ?? Refusal(Translated(address), port)) is { } why)
                throw new TargetException($"{host} is at {address}, {why}", refused: true);
        }

        return addresses;
    }

    public static bool IsLoopback(IPAddress address) => IPAddress.IsLoopback(address);

    /// <summary>Whether the name is this machine's without asking anybody (RFC 6761, 6.3).</summary>
    public static bool IsLoopbackName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

    // Behind a NAT64 gateway an IPv6 address is an IPv4 address in disguise (RFC 6052, the well-known prefix).
    private static IPAddress Translated(IPAddress address) => Nat64.Contains(address) ? new IPAddress(address.GetAddressBytes().AsSpan(12)) : address;

    private string? Refusal(IPAddress address, int port)
    {
        if (options.OwnPorts.Contains(port) && (IsLoopback(address) || IsOwn(address)))
            return $"and port {port} is this hub's own";
        if (options.AllowedNetworks.Any(network => network.Contains(address)))
            return null;
        if (IsLoopback(address))
            return options.AllowLoopback ? null : "a loopback address, which the process configuration does not allow";
        if (Metadata.Contains(address) || LinkLocal.Any(network => network.Contains(address)))
            return "a link-local or metadata address, which the process configuration does not allow";
        return Unspecified.Any(network => network.Contains(address)) ? "which is no address of a host" : null;
    }

    private static bool IsOwn(IPAddress address) =>
        NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(face => face.GetIPProperties().UnicastAddresses)
            .Any(own => own.Address.Equals(address));
}
