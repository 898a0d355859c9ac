using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <content>The frames of an open connection, one method each.</content>
public sealed partial class AmqpConnection
{
    private AmqpStep OnPerformative(ushort channel, ulong code, AmqpValue list, ReadOnlySpan<byte> payload, out AmqpDelivery delivery)
    {
        delivery = default;
        if (_phase == Phase.Open)
            return code == PerformativeCode.Open ? OnOpen(list) : throw new AmqpProtocolException(AmqpConditions.NotAllowed, "the first frame is not open"); // [AMQP-2.4.1]
        if (code == PerformativeCode.Close)
            return OnClose(list);
        if (_phase is Phase.CloseSent or Phase.Closed)
            return AmqpStep.Handled; // [AMQP-2.4.6]

        switch (code)
        {
            case PerformativeCode.Begin:
                return OnBegin(channel, list);
            case PerformativeCode.Attach:
                return OnAttach(SessionOf(channel), list);
            case PerformativeCode.Flow:
                return OnFlow(SessionOf(channel), list);
            case PerformativeCode.Transfer:
                return OnTransfer(SessionOf(channel), list, payload, out delivery);
            case PerformativeCode.Disposition:
                return OnDisposition(SessionOf(channel), list);
            case PerformativeCode.Detach when channel == _lastEnded && !_byRemoteChannel.ContainsKey(channel):
                return AmqpStep.Handled; // azure-eventhub for Python ends its session first, then detaches its links.
            case PerformativeCode.Detach:
                return OnDetach(SessionOf(channel), list);
            case PerformativeCode.End:
                return OnEnd(SessionOf(channel), list);
            case PerformativeCode.Open:
                throw new AmqpProtocolException(AmqpConditions.NotAllowed, "a second open");
            default:
                throw new AmqpProtocolException(AmqpConditions.NotImplemented, $"a performative 0x{code:x} that AMQP 1.0 does not have");
        }
    }

    private AmqpSession SessionOf(ushort channel)
    {
        if (_lastSession is { } last && last.RemoteChannel == channel)
            return last;

        return _lastSession = _byRemoteChannel.GetValueOrDefault(channel)
            ?? throw new AmqpProtocolException(AmqpConditions.NotAllowed, $"channel {channel} has no session");
    }

    private AmqpStep OnOpen(AmqpValue list)
    {
        var open = Open.Read(list);
        if (open.MaxFrameSize < 512) // [AMQP-2.7.1]
            throw new AmqpProtocolException(AmqpConditions.InvalidField, "open: max-frame-size is below 512");

        RemoteHostName = open.HostName;
        RemoteContainerId = open.ContainerId;
        _remoteChannelMax = open.ChannelMax;
        RemoteIdleTimeOut = TimeSpan.FromMilliseconds(open.IdleTimeOutMs);
        OutgoingFrameSize = (int)Math.Min(open.MaxFrameSize, (uint)Options.MaxFrameSize);
        if (!IsServer)
            _phase = Phase.Opened;
        return AmqpStep.Opened;
    }

    private AmqpStep OnBegin(ushort channel, AmqpValue list)
    {
        if (channel > Options.ChannelMax) // [AMQP-2.7.1]
            throw new AmqpProtocolException(AmqpConditions.FramingError, $"channel {channel} is above the {Options.ChannelMax} allowed");
        if (_byRemoteChannel.ContainsKey(channel))
            throw new AmqpProtocolException(AmqpConditions.NotAllowed, $"channel {channel} has a session already");

        if (_begun.Count - Unanswered > MaxSessions)
            throw new AmqpProtocolException(AmqpConditions.ResourceLimitExceeded, "too many sessions, and ends that are not answered");

        var begin = Begin.Read(list);
        AmqpSession session;
        if (IsServer)
        {
            session = new AmqpSession(this, channel);
            session.Begin(channel, begin);
            WriteBegin(session, channel); // [AMQP-2.5.1]
            _begun.Add(session);
        }
        else
        {
            session = _begun.Find(own => own.LocalChannel == begin.RemoteChannel && !own.IsBegun)
                ?? throw new AmqpProtocolException(AmqpConditions.NotAllowed, "begin for a session that was not asked for");
            session.Begin(channel, begin);
        }

        _byRemoteChannel.Add(channel, session);
        Session = session;
        if (_begun.Count <= MaxSessions)
            return AmqpStep.Begun;

        session.End(new AmqpError(AmqpConditions.ResourceLimitExceeded, "too many sessions"));
        return AmqpStep.Handled;
    }

    private AmqpStep OnAttach(AmqpSession session, AmqpValue list)
    {
        if (!session.IsOpen)
            return AmqpStep.Handled;

        var attach = Attach.Read(list);
        if (attach.Handle > Options.HandleMax) // [AMQP-2.7.2]
            throw new AmqpProtocolException(AmqpConditions.FramingError, $"handle {attach.Handle} is above the {Options.HandleMax} allowed");
        if (session.Find(attach.Handle) is not null) // [AMQP-2.6.2]
            return EndBroken(session, AmqpConditions.HandleInUse, $"handle {attach.Handle} has a link already");

        if (!IsServer)
            return OnAnswered(session, attach);
        if (LinkCount - Unanswered > Math.Min(MaxLinks, Options.MaxLinks))
            throw new AmqpProtocolException(AmqpConditions.ResourceLimitExceeded, "too many links, and detaches that are not answered");

        AmqpLink link = attach.IsReceiver ? new AmqpSender(session, attach, attach.Handle) : new AmqpReceiver(session, attach, attach.Handle);
        link.RemoteHandle = attach.Handle;
        link.IsRemoteKnown = true;
        session.Add(link);
        Link = link;
        if (!link.CanAnswer(accepted: false))
            return EndBroken(session, AmqpConditions.FrameSizeTooSmall, "a link whose name does not fit the peer's own frames");
        if (LinkCount > Math.Min(MaxLinks, Options.MaxLinks))
            link.Refuse(new AmqpError(AmqpConditions.ResourceLimitExceeded, "too many links"));
        else if (!link.CanAnswer(accepted: true)) // A source says which filters are in force, so nothing of it can be left out [AMQP-3.5.3].
            link.Refuse(new AmqpError(AmqpConditions.FrameSizeTooSmall, "the answer to this attach does not fit the peer's frames"));
        else
            return AmqpStep.Attaching;

        return AmqpStep.Handled;
    }

    private AmqpStep OnAnswered(AmqpSession session, Attach attach)
    {
        if (session.FindOwn(attach.Name, attach.IsReceiver) is not { } link)
            return EndBroken(session, AmqpConditions.NotAllowed, "attach for a link that was not asked for");

        link.RemoteHandle = attach.Handle;
        link.IsRemoteKnown = true;
        link.OnAnswered(attach);
        Link = link;
        return AmqpStep.Attached;
    }

    private AmqpStep OnFlow(AmqpSession session, AmqpValue list)
    {
        var flow = Flow.Read(list);
        if (!session.IsOpen)
            return AmqpStep.Handled;

        session.OnFlow(flow);
        Session = session;
        Link = null;
        if (flow.Handle is not { } handle)
        {
            if (flow.Echo)
                WriteFlow(session, handle: null, deliveryCount: null, credit: null, available: null, drain: false);
            return AmqpStep.Credit;
        }

        if (session.Find(handle) is not { } link)
            return EndBroken(session, AmqpConditions.UnattachedHandle, $"flow on handle {handle}, which has no link");
        if (!link.IsAttached)
            return AmqpStep.Handled;

        Link = link;
        if (link is AmqpReceiver receiver)
        {
            receiver.OnFlow(flow);
            return AmqpStep.Handled;
        }

        ((AmqpSender)link).OnFlow(flow);
        return AmqpStep.Credit;
    }

    private AmqpStep OnTransfer(AmqpSession session, AmqpValue list, ReadOnlySpan<byte> payload, out AmqpDelivery delivery)
    {
        delivery = default;
        var transfer = Transfer.Read(list);
        if (!session.IsOpen)
            return AmqpStep.Handled; // [AMQP-2.5.5]
        if (!session.TryReceiveFrame())
            return EndBroken(session, AmqpConditions.WindowViolation, "a transfer beyond the session's window");
        if (session.Find(transfer.Handle) is not { } link)
            return EndBroken(session, AmqpConditions.UnattachedHandle, $"transfer on handle {transfer.Handle}, which has no link");
        if (link is not AmqpReceiver receiver)
            return EndBroken(session, AmqpConditions.NotAllowed, "transfer on a link that the peer receives on");
        if (transfer.DeliveryTag.Length > 32) // [AMQP-2.8.7]
            return EndBroken(session, AmqpConditions.InvalidField, "a delivery tag of more than 32 bytes");

        session.TopUpWindow();
        if (!link.IsAttached)
            return AmqpStep.Handled; // [AMQP-2.6.5] In flight when we detached.

        Session = session;
        Link = link;
        if (receiver.OnTransfer(transfer, payload, out delivery))
            return AmqpStep.Delivery;

        return link.IsAttached ? AmqpStep.Handled : Broken(link);
    }

    private AmqpStep OnDisposition(AmqpSession session, AmqpValue list)
    {
        var disposition = Disposition.Read(list);
        if (!session.IsOpen || !disposition.IsReceiver || (int)(disposition.Last - disposition.First) < 0)
            return AmqpStep.Handled; // A sender that settles what we settled already.

        Session = session;
        _outcomes = disposition;
        _outcomesLeft = 1;
        return AmqpStep.Outcomes;
    }

    private AmqpStep OnDetach(AmqpSession session, AmqpValue list)
    {
        var detach = Detach.Read(list);
        if (!session.IsOpen)
            return AmqpStep.Handled;
        if (session.Find(detach.Handle) is not { } link)
            return EndBroken(session, AmqpConditions.UnattachedHandle, $"detach of handle {detach.Handle}, which has no link");

        var wasOurs = link.State == LinkState.DetachSent;
        if (!wasOurs)
            WriteDetach(session, new Detach(link.LocalHandle, detach.Closed, null)); // [AMQP-2.6.4] [AMQP-2.6.6]
        session.Remove(link);
        Session = session;
        Link = link;
        PeerError = detach.Error;
        return wasOurs ? AmqpStep.Handled : AmqpStep.Detached;
    }

    private AmqpStep OnEnd(AmqpSession session, AmqpValue list)
    {
        PeerError = Ending.Read(list, "end");
        Session = session;
        var wasOurs = !session.IsOpen;
        if (!wasOurs)
            session.End(null); // [AMQP-2.5.2] [AMQP-2.5.3]
        _byRemoteChannel.Remove(session.RemoteChannel);
        _begun.Remove(session);
        _lastSession = null;
        _lastEnded = session.RemoteChannel;
        LinkCount -= session.Links.Count;
        return wasOurs ? AmqpStep.Handled : AmqpStep.Ended;
    }

    private AmqpStep OnClose(AmqpValue list)
    {
        PeerError = Ending.Read(list, "close");
        if (_phase == Phase.Opened)
            WriteClose(null); // [AMQP-2.4.3] [AMQP-2.4.4]
        _phase = Phase.Closed;
        EndAll();
        return AmqpStep.Closed;
    }

    // The peer broke the session's rules: it ends, and the driver learns of it like of the peer's own end.
    private AmqpStep EndBroken(AmqpSession session, string condition, string description)
    {
        session.End(new AmqpError(condition, description));
        Session = session;
        PeerError = new AmqpError(condition, description);
        PeerBrokeRules = true;
        return AmqpStep.Ended;
    }

    private AmqpStep Broken(AmqpLink link)
    {
        Link = link;
        PeerError = link.OwnError;
        PeerBrokeRules = true;
        return AmqpStep.Detached;
    }
}
