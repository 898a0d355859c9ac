using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>What became of <see cref="AmqpSender.TrySend"/>.</summary>
public enum AmqpSendResult
{
    /// <summary>The whole message is in the output.</summary>
    Sent,

    /// <summary>The peer has no credit left for this link.</summary>
    NoCredit,

    /// <summary>The session's window is full, or too many deliveries wait for an outcome. A part may have gone: call again with the same message.</summary>
    Blocked,
}

/// <summary>
/// Our end of a link on which we send. Credit is the peer's and is computed anew from each of its flows [AMQP-2.6.7]: it never sizes a buffer.
/// Used under the lock of its connection.
/// </summary>
public sealed class AmqpSender : AmqpLink
{
    private uint _deliveryCount;

    // Of a message that is sent in part.
    private uint _deliveryId;
    private int _sent;

    internal AmqpSender(AmqpSession session, Attach attach, uint localHandle)
        : base(session, attach, localHandle)
    {
    }

    /// <summary>Messages that the peer takes now.</summary>
    public uint Credit { get; private set; }

    /// <summary>The peer wants what there is now and its credit back: call <see cref="Drained"/> when there is nothing more.</summary>
    public bool IsDraining { get; private set; }

    /// <summary>A message is sent in part.</summary>
    public bool IsSendingPart => _sent > 0;

    /// <summary>Sends a message, cut into frames of the peer's size.</summary>
    /// <param name="head">Sections that come before <paramref name="message"/>; empty for none.</param>
    /// <param name="tag">Unique among the link's unsettled deliveries; at most 32 bytes [AMQP-2.8.7].</param>
    /// <param name="settled">True sends and forgets.</param>
    /// <param name="context">
    /// Remembered until the peer tells the outcome. Null: nobody waits for it; a receiver that settles first is not waited for either, because
    /// some of them never tell (azure-eventhub for Python).
    /// </param>
    public AmqpSendResult TrySend(ReadOnlySpan<byte> head, ReadOnlySpan<byte> message, ReadOnlySpan<byte> tag, uint format, bool settled, object? context)
    {
        if (State != LinkState.Attached || !Session.IsOpen)
            return AmqpSendResult.NoCredit;

        if (_sent == 0)
        {
            if (Credit == 0)
                return AmqpSendResult.NoCredit;
            var isAwaited = !settled && (context is not null || Attach.ReceiverSettleMode is ReceiverSettleMode.Second);
            if (Session.RemoteIncomingWindow == 0 || (isAwaited && !Session.Outgoing.HasRoomFor(Session.NextDeliveryId)))
                return AmqpSendResult.Blocked;

            _deliveryId = Session.NextDeliveryId++;
            _deliveryCount++; // [AMQP-2.6.7] Counted when it begins, so that a flow in the middle of it takes nothing twice.
            Credit--;
            if (isAwaited)
                Session.Outgoing.Add(_deliveryId, this, context);
        }

        var total = head.Length + message.Length;
        do
        {
            if (Session.RemoteIncomingWindow == 0)
                return AmqpSendResult.Blocked;

            _sent += Connection.WriteTransfer(Session, LocalHandle, _deliveryId, tag, format, settled, head, message, _sent);
            Session.SentFrame();
        }
        while (_sent < total); // [AMQP-2.6.14]

        _sent = 0;
        return AmqpSendResult.Sent;
    }

    /// <summary>There is nothing more to send: gives the credit back [AMQP-2.6.7].</summary>
    public void Drained()
    {
        if (!IsDraining || State != LinkState.Attached || !Session.IsOpen)
            return;

        IsDraining = false;
        _deliveryCount += Credit;
        Credit = 0;
        Connection.WriteFlow(Session, LocalHandle, _deliveryCount, 0, available: 0, drain: true);
    }

    /// <summary>Settles deliveries whose outcome the peer told without settling them itself (receiver settle mode second) [AMQP-2.8.3].</summary>
    public void Settle(uint first, uint last, DeliveryState state, AmqpError? error = null)
    {
        Session.Outgoing.Forget(this, first, last);
        if (State == LinkState.Attached && Session.IsOpen)
            Connection.WriteDisposition(Session, new Disposition(IsReceiver: false, first, last, Settled: true, state, error));
    }

    internal void OnFlow(in Flow flow)
    {
        // [AMQP-2.6.7] link-credit(snd) := delivery-count(rcv) + link-credit(rcv) - delivery-count(snd): what the peer gives less what it has
        // not seen yet. Without its delivery-count it has not seen our attach, which began at 0.
        var credit = flow.LinkCredit ?? 0;
        var unseen = (int)(_deliveryCount - (flow.DeliveryCount ?? 0));
        Credit = unseen <= 0 ? credit : credit > (uint)unseen ? credit - (uint)unseen : 0;
        IsDraining = flow.Drain;
        if (flow.Echo && !flow.Drain) // [AMQP-2.7.4]
            Connection.WriteFlow(Session, LocalHandle, _deliveryCount, Credit, available: null, drain: false);
    }

    internal override void Release() => Session.Outgoing.Forget(this);
}
