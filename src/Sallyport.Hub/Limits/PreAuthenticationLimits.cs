using System.Net;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Limits;

/// <summary>
/// Counts what unauthenticated connections use, per address and in all. A head enters when it accepts a socket, takes the bytes
/// it reads, disposes the lease when the peer is authenticated, and ends it when the connection is gone. Thread-safe.
/// </summary>
/// <param name="backoff">Told of who is let in from where and who is not; null: nobody backs off.</param>
public sealed class PreAuthenticationLimits(ConnectionLimitsOptions options, FailureBackoff? backoff = null) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<IPAddress, Usage> _byAddress = [];
    private readonly Usage _all = new();

    public ConnectionLimitsOptions Options { get; } = options;

    /// <summary>Where the handshakes of those that have spoken are computed.</summary>
    public HandshakeThreads Handshakes { get; } = new(options.MaxHandshakes == 0 ? HandshakeThreads.DefaultThreads : options.MaxHandshakes);

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
        var source = PeerSource.Of(address);
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

    /// <summary>Ends the threads.</summary>
    public void Dispose() => Handshakes.Dispose();

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

    internal bool TryLetGoOfBytes(PreAuthenticationLease lease)
    {
        lock (_gate)
        {
            if (!lease.IsHeld)
                return false;

            GiveBytesBack(lease, _byAddress[lease.Source]);
            lease.IsExcused = true;
            return true;
        }
    }

    internal bool Answered(PreAuthenticationLease lease, Identity? identity)
    {
        if (!TryLetGoOfBytes(lease))
            return false;

        backoff?.Failed(lease.Source);
        return identity is { } named && backoff?.Failed(lease.Source, named) == true;
    }

    internal void Authenticated(PreAuthenticationLease lease)
    {
        if (!TryLeave(lease))
            return;

        lease.IsAuthenticated = true;
        backoff?.Admitted(lease.Source);
    }

    internal void Ended(PreAuthenticationLease lease)
    {
        var hasSpoken = lease.Bytes > 0;
        if (TryLeave(lease))
        {
            // Whoever only opens and closes a socket, as balancers do to see that a port is served, has failed at nothing.
            if (hasSpoken && !lease.IsExcused)
                backoff?.Failed(lease.Source);
        }
        else if (lease.IsAuthenticated)
        {
            lease.IsAuthenticated = false;
            backoff?.Left(lease.Source);
        }
    }

    private bool TryLeave(PreAuthenticationLease lease)
    {
        lock (_gate)
        {
            if (!lease.IsHeld)
                return false;

            lease.IsHeld = false;
            var usage = _byAddress[lease.Source];
            GiveBytesBack(lease, usage);
            _all.Connections--;
            if (--usage.Connections == 0)
                _byAddress.Remove(lease.Source);
            return true;
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
        LimitsMeter.Refused(limit);
        return null;
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

    internal bool IsAuthenticated { get; set; }

    // It has been told of already, or it asked for nothing that needs a credential.
    internal bool IsExcused { get; set; }

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
    /// The peer was answered that it may not come in: a failure of its address. What it still sends is read past, so that it reads the
    /// answer and not the end of its connection; it keeps its place until it goes or the deadline comes.
    /// </summary>
    /// <param name="identity">Whom its credential was for; null when it named nobody.</param>
    /// <returns>True when this address fails again and again with this identity: end its connection behind the answer, and log no more of it.</returns>
    public bool Answered(Identity? identity = null) => _limits.Answered(this, identity);

    /// <summary>The peer was answered what no credential would change (there is nothing at this path): as <see cref="Answered"/>, and no failure.</summary>
    public void AnsweredAnybody() => _limits.TryLetGoOfBytes(this);

    /// <summary>The peer asked for what is open to everybody (health): ending without a credential is no failure.</summary>
    public void Excuse() => IsExcused = true;

    /// <summary>The peer is authenticated: gives the place and the bytes back.</summary>
    public void Dispose() => _limits.Authenticated(this);

    /// <summary>The connection is gone. Whoever took the lease calls it last.</summary>
    public void End() => _limits.Ended(this);
}
