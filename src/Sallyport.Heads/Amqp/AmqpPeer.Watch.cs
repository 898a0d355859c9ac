using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp;

/// <content>Deadlines: looked at about once a second by the head's timer.</content>
internal sealed partial class AmqpPeer
{
    private const long Never = long.MaxValue;

    // Timestamps of the clock.
    private long _admittedBy;
    private long _heardUntil;
    private long _closeBy = Never;
    private long _settledBy = Never;
    private long _writtenBy = Never;
    private long _usedBy = Never;
    private long _lastWrite;

    /// <summary>Looks at the deadlines of this connection.</summary>
    public void Watch(long now, DateTimeOffset utcNow)
    {
        if (now >= Volatile.Read(ref _closeBy))
        {
            Cut();
        }
        else if (now >= Volatile.Read(ref _settledBy))
        {
            CloseIfSettled(anyway: true);
            Volatile.Write(ref _settledBy, Never);
        }
        else if (now >= Volatile.Read(ref _writtenBy))
        {
            Refuse(new AmqpError(AmqpConditions.ConnectionForced, "what was sent was not read"), HubErrors.DeviceConnectionClosedRemotely, $"nothing was read for {Head.Options.StallTimeout.TotalSeconds:0} s");
            Cut();
        }
        else if (!_isAdmitted && now >= Volatile.Read(ref _admittedBy))
        {
            var late = $"no accepted credential within {Head.Options.ConnectTimeout.TotalSeconds:0} s";
            Refuse(new AmqpError(AmqpConditions.ConnectionForced, late), HubErrors.DeviceConnectionClosedRemotely, late);
        }
        else if (now >= Volatile.Read(ref _heardUntil))
        {
            const string silent = "nothing arrived for twice the idle time-out";
            Close(new AmqpError(AmqpConditions.ResourceLimitExceeded, silent), HubErrors.DeviceConnectionClosedRemotely, silent); // [AMQP-2.4.5]
        }
        else if (now >= Volatile.Read(ref _usedBy))
        {
            var unused = $"no device and no reader for {Head.Options.UnusedTimeout.TotalMinutes:0} minutes";
            Close(new AmqpError(AmqpConditions.ConnectionForced, unused), HubErrors.DeviceConnectionClosedRemotely, unused);
        }
        else
        {
            BeatHeart(now);
            if (_isAdmitted && utcNow.Ticks >= Volatile.Read(ref _nextExpiryUtcTicks))
                Expire(utcNow);
        }
    }

    private void BeatHeart(long now)
    {
        var idle = Endpoint.RemoteIdleTimeOut;
        if (idle == TimeSpan.Zero || Head.Hub.Time.GetElapsedTime(Volatile.Read(ref _lastWrite), now) < idle / 2)
            return;

        lock (Gate)
            Endpoint.WriteHeartbeat(); // [AMQP-2.4.5]
        Schedule();
    }

    private void Cut()
    {
        LosePeer();
        Schedule();
    }

    private long In(TimeSpan span) => Head.Hub.Time.GetTimestamp() + (long)(span.TotalSeconds * Head.Hub.Time.TimestampFrequency);

    // Whether anybody still uses the connection; under the gate.
    private void NoteUse()
    {
        var isUsed = _devices.Count > 0 || _grants.Count > 0;
        Volatile.Write(ref _usedBy, isUsed || !_isAdmitted ? Never : In(Head.Options.UnusedTimeout));
    }
}
