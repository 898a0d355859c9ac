namespace Sallyport.Hub.Limits;

/// <summary>
/// What somebody may use before it has said who it is. At each bound the connection is refused (closed) and counted in
/// <c>sallyport.limits.refused</c>; connections that are authenticated are not touched.
/// </summary>
public sealed record ConnectionLimitsOptions
{
    /// <summary>From the accepted socket to the authenticated CONNECT or request, TLS included; anew from where the handshake begins for who had to wait for its turn. Default 10 s: a handshake over a bad mobile link takes 3.</summary>
    public TimeSpan HandshakeDeadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Unauthenticated connections at a time, in all. Default 16,384: a fleet of 10,000 comes back at once and waits. One that waits for its handshake costs about 10 KB, one behind it 45 KB, and those are cut off 10 s later.</summary>
    public int MaxConnections { get; init; } = 16_384;

    /// <summary>Unauthenticated connections at a time from one address (IPv6: one /64 network). Default 12,288: a fleet behind one NAT reconnects at once, and one address never takes every place.</summary>
    public int MaxConnectionsPerAddress { get; init; } = 12_288;

    /// <summary>Threads on which TLS handshakes are computed, one at a time each; others wait in the order in which they came. Default 0: half of the processors, at least one.</summary>
    public int MaxHandshakes { get; init; }

    /// <summary>Bytes read from one connection, TLS included, before it is authenticated. Default 64 KiB: a handshake is 5 KB, the largest CONNECT 16 KiB, a request's headers 16 KiB.</summary>
    public int MaxBytesPerConnection { get; init; } = 64 * 1024;

    /// <summary>Bytes that unauthenticated connections from one address hold, in all. Default 16 MiB: half of <see cref="MaxBytes"/>.</summary>
    public long MaxBytesPerAddress { get; init; } = 16 * 1024 * 1024;

    /// <summary>Bytes that unauthenticated connections hold, in all. Default 32 MiB.</summary>
    public long MaxBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (HandshakeDeadline < TimeSpan.FromSeconds(1) || HandshakeDeadline > TimeSpan.FromMinutes(1))
            yield return "HandshakeDeadline must be between 1 s and 1 min";
        if (MaxConnections < 1)
            yield return "MaxConnections must be at least 1";
        if (MaxConnectionsPerAddress < 1 || MaxConnectionsPerAddress > MaxConnections)
            yield return "MaxConnectionsPerAddress must be between 1 and MaxConnections";
        if (MaxHandshakes < 0)
            yield return "MaxHandshakes must not be negative";
        if (MaxBytesPerConnection < 4096)
            yield return "MaxBytesPerConnection must be at least 4096";
        if (MaxBytesPerAddress < MaxBytesPerConnection)
            yield return "MaxBytesPerAddress must be at least MaxBytesPerConnection";
        if (MaxBytes < MaxBytesPerAddress)
            yield return "MaxBytes must be at least MaxBytesPerAddress";
    }
}
