using System.Buffers;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Protocol.Amqp.Endpoints;

/// <summary>
/// Our end of a link on which we receive. The peer gets credit for what may be unsettled, and no more: who sends without it is detached.
/// Used under the lock of its connection.
/// </summary>
public sealed class AmqpReceiver : AmqpLink
{
    private uint _deliveryCount;
    private uint _credit;

    // The delivery count up to which the peer was ever let: what is on its way when a grant is reduced is no mistake.
    private uint _last;
    private uint _limit;
    private uint _unsettled;

    // Of a message of several frames that is not whole yet; rented.
    private byte[]? _parts;
    private int _partsLength;
    private uint _partsId;
    private uint _partsFormat;
    private bool _partsSettled;

    internal AmqpReceiver(AmqpSession session, Attach attach, uint localHandle)
        : base(session, attach, localHandle) => _last = _deliveryCount = attach.InitialDeliveryCount;

    /// <summary>The largest message taken, in bytes.</summary>
    public int MaxMessageSize { get; set; } = 256 * 1024;

    /// <summary>Deliveries that wait for our outcome.</summary>
    public uint Unsettled => _unsettled;

    /// <summary>Says how many deliveries may be on their way or unsettled, and grants that.</summary>
    public void Grant(uint limit)
    {
        _limit = limit;
        TopUp(always: true);
    }

    /// <summary>Grants anew what was used and is settled; writes nothing while at least half is left.</summary>
    public void TopUp() => TopUp(always: false);

    /// <summary>Settles deliveries with an outcome, in one frame.</summary>
    /// <param name="count">How many unsettled deliveries of this link are in the range.</param>
    public void Settle(uint first, uint last, uint count, DeliveryState state, AmqpError? error = null)
    {
        _unsettled -= Math.Min(count, _unsettled);
        if (State == LinkState.Attached && Session.IsOpen)
            Connection.WriteDisposition(Session, new Disposition(IsReceiver: true, first, last, Settled: true, state, error));
    }

    /// <summary>Takes a frame; true with the message when it is whole.</summary>
    internal bool OnTransfer(scoped in Transfer transfer, ReadOnlySpan<byte> payload, out AmqpDelivery delivery)
    {
        delivery = default;
        if (_parts is null)
        {
            if (transfer.DeliveryId is null) // [AMQP-2.7.5]
            {
                Detach(new AmqpError(AmqpConditions.InvalidField, "the first transfer of a delivery has no delivery-id"));
                return false;
            }

            if (_deliveryCount == _last) // [AMQP-2.6.7]
            {
                Detach(new AmqpError(AmqpConditions.TransferLimitExceeded, "a transfer without credit"));
                return false;
            }

            _deliveryCount++;
            _credit -= Math.Min(_credit, 1);
        }

        if (transfer.Aborted) // [AMQP-2.7.5] What came of it is dropped; its credit is used.
        {
            DropParts();
            TopUp();
            return false;
        }

        var length = _partsLength + payload.Length;
        if (length > MaxMessageSize)
        {
            DropParts();
            Detach(new AmqpError(AmqpConditions.MessageSizeExceeded, $"a message of more than {MaxMessageSize} bytes"));
            return false;
        }

        if (_parts is null && !transfer.More)
        {
            Arrived(transfer.Settled);
            delivery = new AmqpDelivery(this, transfer.DeliveryId!.Value, transfer.MessageFormat, transfer.Settled, payload);
            return true;
        }

        if (_parts is null)
        {
            _partsId = transfer.DeliveryId!.Value;
            _partsFormat = transfer.MessageFormat;
            _partsSettled = false;
        }
        else if (transfer.DeliveryId is { } id && id != _partsId) // [AMQP-2.7.5]
        {
            DropParts();
            Detach(new AmqpError(AmqpConditions.InvalidField, "a delivery began before the one before it was whole"));
            return false;
        }

        _partsSettled |= transfer.Settled; // [AMQP-2.7.5]
        if (!TryKeep(payload, length))
        {
            Detach(new AmqpError(AmqpConditions.ResourceLimitExceeded, "too many messages that are not whole"));
            return false;
        }

        if (transfer.More)
            return false;

        Arrived(_partsSettled);
        delivery = new AmqpDelivery(this, _partsId, _partsFormat, _partsSettled, _parts.AsSpan(0, _partsLength));
        Connection.KeepUntilNext(_parts!);
        Connection.PartialBytes -= _parts!.Length;
        _parts = null;
        _partsLength = 0;
        return true;
    }

    internal void OnFlow(in Flow flow)
    {
        // The sender gave credit back after a drain, or tells where it is.
        if (flow.DeliveryCount is { } count && (int)(count - _deliveryCount) is > 0 and var advanced)
        {
            _credit -= Math.Min((uint)advanced, _credit);
            _deliveryCount = count;
            if ((int)(_last - count) < 0)
                _last = count;
        }

        if (flow.Echo)
            Connection.WriteFlow(Session, LocalHandle, _deliveryCount, _credit, available: null, drain: false);
    }

    internal override void Release() => DropParts();

    internal override void OnAnswered(Attach attach)
    {
        base.OnAnswered(attach);
        _last = _deliveryCount = attach.InitialDeliveryCount; // [AMQP-2.7.3]
    }

    private void Arrived(bool settled)
    {
        if (!settled)
            _unsettled++;
    }

    private void TopUp(bool always)
    {
        if (State != LinkState.Attached || !Session.IsOpen || (!always && _credit > _limit / 2))
            return;

        var held = _unsettled + (_parts is null ? 0u : 1u);
        var grant = _limit > held ? _limit - held : 0;
        if (!always && grant <= _credit)
            return;

        _credit = grant;
        if ((int)(_deliveryCount + grant - _last) > 0)
            _last = _deliveryCount + grant;
        Connection.WriteFlow(Session, LocalHandle, _deliveryCount, _credit, available: null, drain: false);
    }

    private bool TryKeep(ReadOnlySpan<byte> payload, int length)
    {
        if (_parts is null || _parts.Length < length)
        {
            if (Connection.PartialBytes - (_parts?.Length ?? 0) + length > Connection.Options.MaxPartialBytes)
                return false;

            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(length, 2 * _partsLength));
            _parts.AsSpan(0, _partsLength).CopyTo(larger);
            Connection.PartialBytes += larger.Length - (_parts?.Length ?? 0);
            if (_parts is not null)
                ArrayPool<byte>.Shared.Return(_parts);
            _parts = larger;
        }

        payload.CopyTo(_parts.AsSpan(_partsLength));
        _partsLength = length;
        return true;
    }

    private void DropParts()
    {
        if (_parts is not null)
        {
            Connection.PartialBytes -= _parts.Length;
            ArrayPool<byte>.Shared.Return(_parts);
        }

        _parts = null;
        _partsLength = 0;
    }
}
