using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>
/// Our end of a session: its windows in serial arithmetic [AMQP-2.5.6], its links by the peer's handle. Used under the lock of its connection.
/// </summary>
public sealed class AmqpSession
{
    private readonly List<AmqpLink> _links = [];
    private uint _nextIncomingId;
    private uint _incomingWindow;
    private uint _nextOutgoingId;
    private uint _remoteHandleMax = uint.MaxValue;

    internal AmqpSession(AmqpConnection connection, ushort localChannel)
    {
        Connection = connection;
        LocalChannel = localChannel;
        _incomingWindow = connection.Options.IncomingWindow;
        Outgoing = new OutgoingDeliveries(connection.Options.MaxUnsettled);
    }

    public AmqpConnection Connection { get; }

    /// <summary>The links that are attached or being attached.</summary>
    public IReadOnlyList<AmqpLink> Links => _links;

    /// <summary>Begun at both ends, and neither ended it or the connection.</summary>
    public bool IsOpen => IsBegun && !_isOver;

    internal ushort LocalChannel { get; }

    internal ushort RemoteChannel { get; private set; }

    internal bool IsBegun { get; private set; }

    internal OutgoingDeliveries Outgoing { get; }

    internal uint NextDeliveryId { get; set; }

    /// <summary>Frames with transfers that the peer takes now.</summary>
    internal uint RemoteIncomingWindow { get; private set; }

    private bool _isOver;

    /// <summary>Client: attaches a link to send on; <see cref="AmqpStep.Attached"/> or <see cref="AmqpStep.Detached"/> follows.</summary>
    /// <exception cref="InvalidOperationException">The session is over, the peer takes no more links in it, or the attach does not fit its frames.</exception>
    public AmqpSender AttachSender(string name, string target, string? source = null, SenderSettleMode mode = SenderSettleMode.Mixed, byte[]? properties = null)
    {
        var link = new AmqpSender(this, new Attach
        {
            Name = name,
            SenderSettleMode = mode,
            Source = source is null ? null : Terminus.Of(source, isSource: true),
            Target = Terminus.Of(target, isSource: false),
            Properties = properties ?? [],
        }, FreeHandle());
        return Add(link);
    }

    /// <summary>Client: attaches a link to receive on; grant it credit once it is attached.</summary>
    /// <param name="filters">An encoded map; empty for none.</param>
    /// <exception cref="InvalidOperationException">The session is over, the peer takes no more links in it, or the attach does not fit its frames.</exception>
    public AmqpReceiver AttachReceiver(string name, string source, string? target = null, SenderSettleMode mode = SenderSettleMode.Mixed, ReadOnlySpan<byte> filters = default, byte[]? properties = null)
    {
        var link = new AmqpReceiver(this, new Attach
        {
            Name = name,
            IsReceiver = true,
            SenderSettleMode = mode,
            Source = Terminus.Of(source, isSource: true, filters),
            Target = target is null ? null : Terminus.Of(target, isSource: false),
            Properties = properties ?? [],
        }, FreeHandle());
        return Add(link);
    }

    /// <summary>Ends the session from our side; what the peer still sends in it is dropped.</summary>
    public void End(AmqpError? error)
    {
        if (!IsOpen)
            return;

        Connection.WriteEnd(this, error);
        GoneAll();
    }

    internal void Begin(ushort remoteChannel, in Begin begin)
    {
        IsBegun = true;
        RemoteChannel = remoteChannel;
        _nextIncomingId = begin.NextOutgoingId;
        RemoteIncomingWindow = begin.IncomingWindow;
        _remoteHandleMax = begin.HandleMax;
    }

    internal AmqpLink? Find(uint remoteHandle)
    {
        foreach (var link in _links)
        {
            if (link.IsRemoteKnown && link.RemoteHandle == remoteHandle)
                return link;
        }

        return null;
    }

    /// <summary>Client: our end of the link that the peer now attaches too.</summary>
    internal AmqpLink? FindOwn(string name, bool peerIsReceiver)
    {
        foreach (var link in _links)
        {
            if (!link.IsRemoteKnown && link is AmqpSender == peerIsReceiver && link.Name == name)
                return link;
        }

        return null;
    }

    internal T Add<T>(T link)
        where T : AmqpLink
    {
        if (!Connection.IsServer && !link.Attach.Fits(Connection.OutgoingFrameSize - AmqpFrame.HeaderLength))
            throw new InvalidOperationException("the attach does not fit the peer's frames");

        _links.Add(link);
        Connection.LinkCount++;
        if (!Connection.IsServer)
            Connection.WriteAttach(this, link.Attach with { Handle = link.LocalHandle });
        return link;
    }

    /// <summary>A link for which the peer's detach has come.</summary>
    internal void Remove(AmqpLink link)
    {
        link.State = LinkState.Detached;
        link.Release();
        if (_links.Remove(link))
            Connection.LinkCount--;
    }

    /// <summary>The session is over: nothing more is said in it.</summary>
    internal void GoneAll()
    {
        _isOver = true;
        foreach (var link in _links)
        {
            link.State = LinkState.Detached;
            link.Release();
        }
    }

    /// <summary>Takes a transfer frame into account; false when the peer had no window for it.</summary>
    internal bool TryReceiveFrame()
    {
        if (_incomingWindow == 0) // [AMQP-2.5.6]
            return false;

        _nextIncomingId++;
        _incomingWindow--;
        return true;
    }

    /// <summary>Opens the window again when half of it is used.</summary>
    internal void TopUpWindow()
    {
        if (IsOpen && _incomingWindow <= Connection.Options.IncomingWindow / 2)
            Connection.WriteFlow(this, handle: null, deliveryCount: null, credit: null, available: null, drain: false);
    }

    internal void SentFrame()
    {
        _nextOutgoingId++;
        RemoteIncomingWindow--;
    }

    internal void OnFlow(in Flow flow)
    {
        // [AMQP-2.5.6] remote-incoming-window := next-incoming-id(flow) + incoming-window(flow) - next-outgoing-id(endpoint)
        var window = (int)((flow.NextIncomingId ?? 0) + flow.IncomingWindow - _nextOutgoingId);
        RemoteIncomingWindow = flow.IncomingWindow > int.MaxValue ? flow.IncomingWindow : window < 0 ? 0 : (uint)window;
    }

    /// <summary>The session's part of a flow; what is said in it is in force.</summary>
    internal Flow NewFlow()
    {
        _incomingWindow = Connection.Options.IncomingWindow;
        return new Flow(IsBegun ? _nextIncomingId : null, _incomingWindow, _nextOutgoingId, uint.MaxValue, null, null, null, null, false, false);
    }

    internal uint NextOutgoingId => _nextOutgoingId;

    private uint FreeHandle()
    {
        if (_isOver)
            throw new InvalidOperationException("the session is over");

        uint handle = 0;
        while (_links.Exists(link => link.LocalHandle == handle))
            handle++;
        return handle <= _remoteHandleMax ? handle : throw new InvalidOperationException($"the peer takes no more than {handle} links in a session"); // [AMQP-2.7.2]
    }
}
