using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>
/// Our end of a link: an <see cref="AmqpSender"/> or an <see cref="AmqpReceiver"/>. Used under the lock of its connection.
/// </summary>
public abstract class AmqpLink
{
    private protected AmqpLink(AmqpSession session, Attach attach, uint localHandle)
    {
        Session = session;
        Attach = attach;
        LocalHandle = localHandle;
    }

    public AmqpSession Session { get; }

    /// <summary>A server: what the peer asked for. A client: what we asked for, then what the peer answered.</summary>
    public Attach Attach { get; internal set; }

    public string Name => Attach.Name;

    /// <summary>For the driver: what this link leads to.</summary>
    public object? Node { get; set; }

    /// <summary>Both ends are attached.</summary>
    public bool IsAttached => State == LinkState.Attached;

    /// <summary>Why we detached; null when we did not, or said nothing.</summary>
    internal AmqpError? OwnError { get; private set; }

    internal uint LocalHandle { get; }

    internal uint RemoteHandle { get; set; }

    /// <summary>The peer has attached its end, so its handle is known.</summary>
    internal bool IsRemoteKnown { get; set; }

    internal LinkState State { get; set; } = LinkState.Attaching;

    private protected AmqpConnection Connection => Session.Connection;

    /// <summary>Server: attaches our end, saying the peer's termini back; nothing happens when the session has ended meanwhile.</summary>
    /// <param name="maxMessageSize">The largest message that we take, in bytes; clients refuse to send when it is missing. 0 on links that we send on.</param>
    /// <param name="source">Instead of the peer's source, for a dynamic one.</param>
    public void Accept(ulong maxMessageSize = 0, Terminus? source = null)
    {
        if (State != LinkState.Attaching || !Session.IsOpen)
            return;

        State = LinkState.Attached;
        Connection.WriteAttach(Session, Answer(maxMessageSize) with { Source = source ?? Attach.Source, Target = Attach.Target });

        // It may stay for long, and what it asked for was up to 16 KB: what nobody asks for once it is attached is forgotten.
        Attach = Attach with { Source = Attach.Source?.AddressOnly(), Target = Attach.Target?.AddressOnly(), DesiredCapabilities = [], Properties = [] };
    }

    /// <summary>Server: refuses the link in the protocol's way: an attach without termini, then a detach [AMQP-2.6.3]; nothing happens when the session has ended meanwhile.</summary>
    public void Refuse(AmqpError error)
    {
        if (State != LinkState.Attaching || !Session.IsOpen)
            return;

        State = LinkState.DetachSent;
        Connection.WriteAttach(Session, Answer(0));
        Connection.WriteDetach(Session, new Detach(LocalHandle, Closed: true, error));
        Release();

        // It stays until the peer detaches, and a peer may be slow: what it wanted is forgotten at once.
        Attach = Attach with { Source = null, Target = null, DesiredCapabilities = [], Properties = [] };
    }

    /// <summary>Server: whether our attach fits a frame that the peer takes, when the link is accepted or when it is refused [AMQP-2.8.15].</summary>
    internal bool CanAnswer(bool accepted)
    {
        var answer = Answer(ulong.MaxValue);
        return (accepted ? answer with { Source = Attach.Source, Target = Attach.Target } : answer).Fits(Connection.OutgoingFrameSize - AmqpFrame.HeaderLength);
    }

    /// <summary>Ends the link from our side; what the peer still sends on it is dropped. Nothing happens when it is gone already.</summary>
    public void Detach(AmqpError? error)
    {
        if (State != LinkState.Attached || !Session.IsOpen)
            return;

        State = LinkState.DetachSent;
        OwnError = error;
        Connection.WriteDetach(Session, new Detach(LocalHandle, Closed: true, error));
        Release();
    }

    /// <summary>Client: the peer has attached its end too.</summary>
    internal virtual void OnAnswered(Attach attach)
    {
        Attach = attach;
        State = LinkState.Attached;
    }

    /// <summary>Gives back what it holds; the link is gone.</summary>
    internal virtual void Release()
    {
    }

    // An empty map: azure-eventhub for Python, which has given properties, takes null for a failure.
    private static byte[] NoProperties { get; } = [0xc1, 1, 0];

    private Attach Answer(ulong maxMessageSize) => new()
    {
        Name = Attach.Name,
        Handle = LocalHandle,
        IsReceiver = !Attach.IsReceiver,
        SenderSettleMode = Attach.SenderSettleMode,
        ReceiverSettleMode = Attach.ReceiverSettleMode,
        MaxMessageSize = maxMessageSize,
        Properties = NoProperties,
    };
}

internal enum LinkState : byte
{
    /// <summary>One end is attached.</summary>
    Attaching,
    Attached,

    /// <summary>We sent detach and wait for the peer's; what arrives is dropped.</summary>
    DetachSent,
    Detached,
}
