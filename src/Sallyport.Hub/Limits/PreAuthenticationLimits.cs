using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;

namespace Sallyport.Hub.Limits;

/// <summary>
/// Counts what unauthenticated connections use, per address and in all. A head enters when it accepts a socket, takes the bytes
/// it reads, and disposes the lease when the peer is authenticated or gone. Thread-safe.
/// </summary>
public sealed class PreAuthenticationLimits(ConnectionLimitsOptions options)
{
    private static readonly Meter Meter = new("Sallyport.Limits");
    private static readonly Counter<long> Refused = Meter.CreateCounter<long>(
        "sallyport.limits.refused", "{connection}", "Connections refused before authentication, by the limit they met.");

    private readonly Lock _gate = new();
    private readonly Dictionary<IPAddress, Usage> _byAddress = [];
    private readonly Usage _all = new();

    public ConnectionLimitsOptions Options { get; } = options;

    /// <summary>Unauthenticated connections now, and the bytes they hold.</summary>
    public (int Connections, long Bytes) Current
    {
        get
        {
            lock (_gate)
                return (_all.Connections, _all.Bytes);
        }
    }

    /// <summary>Takes a place for a connection that was just accepted.</summary>
    /// <returns>Null when there is none: close the socket, it is counted already.</returns>
    public PreAuthenticationLease? TryEnter(IPAddress address)
    {
        var source = SourceOf(address);
        lock (_gate)
        {
            if (_all.Connections >= Options.MaxConnections)
                return Refuse("connections");

            _byAddress.TryGetValue(source, out var usage);
            if (usage?.Connections >= Options.MaxConnectionsPerAddress)
                return Refuse("connections per address");

            if (usage is null)
                _byAddress.Add(source, usage = new Usage());
            usage.Connections++;
            _all.Connections++;
            return new PreAuthenticationLease(this, source);
        }
    }

    internal bool TryTake(PreAuthenticationLease lease, int bytes)
    {
        lock (_gate)
        {
            if (!lease.IsCounting)
                return true;

            var usage = _byAddress[lease.Source];
            var limit = lease.Bytes + bytes > Options.MaxBytesPerConnection ? "bytes per connection"
                : usage.Bytes + bytes > Options.MaxBytesPerAddress ? "bytes per address"
                : _all.Bytes + bytes > Options.MaxBytes ? "bytes"
                : null;
            if (limit is not null)
            {
                Refuse(limit);
                return false;
            }

            lease.Bytes += bytes;
            usage.Bytes += bytes;
            _all.Bytes += bytes;
            return true;
        }
    }

    internal bool IsOverdue(PreAuthenticationLease lease)
    {
        lock (_gate)
        {
            if (!lease.IsHeld)
                return false;

            Refuse("deadline");
            return true;
        }
    }

    internal void LetGoOfBytes(PreAuthenticationLease lease)
    {
        lock (_gate)
        {
            if (lease.IsHeld)
                GiveBytesBack(lease, _byAddress[lease.Source]);
        }
    }

    internal void Leave(PreAuthenticationLease lease)
    {
        lock (_gate)
        {
            if (!lease.IsHeld)
                return;

            lease.IsHeld = false;
            var usage = _byAddress[lease.Source];
            GiveBytesBack(lease, usage);
            _all.Connections--;
            if (--usage.Connections == 0)
                _byAddress.Remove(lease.Source);
        }
    }

    private void GiveBytesBack(PreAuthenticationLease lease, Usage usage)
    {
        usage.Bytes -= lease.Bytes;
        _all.Bytes -= lease.Bytes;
        lease.Bytes = 0;
        lease.IsCounting = false;
    }

    private static PreAuthenticationLease? Refuse(string limit)
    {
        Refused.Add(1, new KeyValuePair<string, object?>("limit", limit));
        return null;
    }

    /// <summary>Who is counted as one: an IPv4 address, or an IPv6 /64, of which one host has as many addresses as it likes.</summary>
    private static IPAddress SourceOf(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
            return address.MapToIPv4();
        if (address.AddressFamily is not AddressFamily.InterNetworkV6)
            return address;

        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        bytes[8..].Clear();
        return new IPAddress(bytes);
    }

    private sealed class Usage
    {
        public int Connections;
        public long Bytes;
    }
}

/// <summary>One unauthenticated connection's place. Thread-safe; disposing it again does nothing.</summary>
public sealed class PreAuthenticationLease : IDisposable
{
    private readonly PreAuthenticationLimits _limits;
    private volatile bool _isCounting = true;

    internal PreAuthenticationLease(PreAuthenticationLimits limits, IPAddress source)
    {
        _limits = limits;
        Source = source;
    }

    internal IPAddress Source { get; }

    // Owned by the limits, under their lock.
    internal long Bytes { get; set; }

    internal bool IsHeld { get; set; } = true;

    /// <summary>Bytes still count. Read without the lock: once false, it stays so.</summary>
    public bool IsCounting
    {
        get => _isCounting;
        internal set => _isCounting = value;
    }

    /// <summary>Counts bytes that were read, while <see cref="IsCounting"/>; after that everything is free.</summary>
    /// <returns>False at a bound: close the connection, it is counted already.</returns>
    public bool TryTake(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        return _limits.TryTake(this, bytes);
    }

    /// <summary>To be asked at <see cref="ConnectionLimitsOptions.HandshakeDeadline"/>.</summary>
    /// <returns>True when the peer is not authenticated yet: close the connection, it is counted already.</returns>
    public bool IsOverdue() => _limits.IsOverdue(this);

    /// <summary>
    /// The peer was answered that it may not come in. What it still sends is read past, so that it reads the answer and not the end of
    /// its connection; it keeps its place until it goes or the deadline comes.
    /// </summary>
    public void Answered() => _limits.LetGoOfBytes(this);

    /// <summary>Gives the place and the bytes back: the peer is authenticated, or gone.</summary>
    public void Dispose() => _limits.Leave(this);
}
