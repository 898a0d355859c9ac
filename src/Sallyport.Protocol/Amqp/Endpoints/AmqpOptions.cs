namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>The bounds of one connection. What the peer may do is announced to it, and enforced.</summary>
public sealed record AmqpOptions
{
    /// <summary>Named in open. Default: a new GUID.</summary>
    public string ContainerId { get; init; } = Guid.NewGuid().ToString("N");

    /// <summary>The largest frame taken, and made, in bytes. Default 64 KiB: what a socket moves at once.</summary>
    public int MaxFrameSize { get; init; } = 64 * 1024;

    /// <summary>The highest channel. Default 4,095: a pooled connection has a session for each device.</summary>
    public ushort ChannelMax { get; init; } = 4095;

    /// <summary>The highest handle of a session. Default 255; beyond it the connection is closed, as the specification has it [AMQP-2.7.2].</summary>
    public uint HandleMax { get; init; } = 255;

    /// <summary>Links of a connection; beyond it an attach is refused with <c>amqp:resource-limit-exceeded</c>. Default 16,384.</summary>
    public int MaxLinks { get; init; } = 16_384;

    /// <summary>Frames with transfers that a session takes before they are processed. Default 2,048.</summary>
    public uint IncomingWindow { get; init; } = 2048;

    /// <summary>Deliveries of a session that may wait for the peer's outcome; beyond it nothing is sent. Default 2,048.</summary>
    public int MaxUnsettled { get; init; } = 2048;

    /// <summary>
    /// Bytes of all the connection's messages that have not arrived whole yet; beyond it the link that wants more is detached with
    /// <c>amqp:resource-limit-exceeded</c>. Default 16 MiB: 64 of the largest messages.
    /// </summary>
    public int MaxPartialBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>After so long without a frame the peer may be taken for dead; announced, kept by the driver. Default 4 minutes (IoT Hub).</summary>
    public TimeSpan IdleTimeOut { get; init; } = TimeSpan.FromMinutes(4);
}

/// <summary>What a frame asks of the driver.</summary>
public enum AmqpStep
{
    /// <summary>The input holds nothing whole.</summary>
    NeedMore,

    /// <summary>Dealt with; an answer, if there is one, is in the output.</summary>
    Handled,

    /// <summary>Server: <see cref="AmqpConnection.SaslInit"/> is set: answer with <see cref="AmqpConnection.AnswerSasl"/>.</summary>
    SaslInit,

    /// <summary>Client: <see cref="AmqpConnection.SaslOutcome"/> is set. The AMQP header and open are in the output when it is <see cref="Performatives.SaslCode.Ok"/>.</summary>
    SaslOutcome,

    /// <summary>The peer's open is there; a server answers with <see cref="AmqpConnection.AcceptOpen"/> or closes.</summary>
    Opened,

    /// <summary>A session was begun by the peer and answered, or the peer answered ours.</summary>
    Begun,

    /// <summary>Server: <see cref="AmqpConnection.Link"/> wants to be attached: <see cref="AmqpLink.Accept"/> or <see cref="AmqpLink.Refuse"/> it.</summary>
    Attaching,

    /// <summary>Client: the peer attached <see cref="AmqpConnection.Link"/> too; a detach may follow at once.</summary>
    Attached,

    /// <summary>A whole message arrived.</summary>
    Delivery,

    /// <summary>The peer told the state of deliveries: take them with <see cref="AmqpConnection.TryTakeOutcome"/>.</summary>
    Outcomes,

    /// <summary>A session or a sender may send again: its window or its credit changed.</summary>
    Credit,

    /// <summary><see cref="AmqpConnection.Link"/> is gone, with <see cref="AmqpConnection.PeerError"/> when the peer gave one.</summary>
    Detached,

    /// <summary><see cref="AmqpConnection.Session"/> is gone with all its links, with <see cref="AmqpConnection.PeerError"/> when the peer gave one.</summary>
    Ended,

    /// <summary>The peer closed; read no further.</summary>
    Closed,
}

/// <summary>A whole message as it arrived: valid until the next call on the connection and as long as the input.</summary>
public readonly ref struct AmqpDelivery
{
    internal AmqpDelivery(AmqpReceiver link, uint id, uint format, bool settled, ReadOnlySpan<byte> message)
    {
        Link = link;
        Id = id;
        Format = format;
        Settled = settled;
        Message = message;
    }

    public AmqpReceiver Link { get; }

    public uint Id { get; }

    /// <summary>0 for a message; <see cref="BatchFormat"/> for a batch.</summary>
    public uint Format { get; }

    /// <summary>The sender wants no outcome.</summary>
    public bool Settled { get; }

    /// <summary>The sections as they came, not checked.</summary>
    public ReadOnlySpan<byte> Message { get; }

    /// <summary>Message format of IoT Hub's and Event Hubs' batches: every data section holds an encoded message.</summary>
    public const uint BatchFormat = 0x8001_3700;
}

/// <summary>What became of a delivery that we sent.</summary>
/// <param name="IsSettled">False: the peer waits until we settle too, see <see cref="AmqpSender.Settle"/>; the context comes again if it tells another outcome first.</param>
/// <param name="Context">What was given to <see cref="AmqpSender.TrySend"/>.</param>
public readonly record struct AmqpOutcome(AmqpSender Link, uint Id, Performatives.DeliveryState State, bool IsSettled, AmqpError? Error, object? Context);
