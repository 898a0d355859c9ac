using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>What a peer makes of a message that it was lent.</summary>
internal enum Settlement
{
    Complete,
    Abandon,
    Reject,
}

/// <summary>A message that was taken from its queue and locked.</summary>
/// <param name="Token">Its lock token, which is its delivery tag: .NET devices make a GUID of its 16 bytes.</param>
/// <param name="Head">Sections that come before <paramref name="Message"/>.</param>
/// <param name="SettleAsync">Tells its queue; false: the lock has ended. Holds nothing of the message.</param>
internal sealed record LockedDelivery(Guid Token, byte[] Head, byte[] Message, Func<Settlement, ValueTask<bool>> SettleAsync)
{
    /// <summary>What it takes on the wire.</summary>
    public int Bytes => Head.Length + Message.Length;

    /// <summary>Empty once it is sent: a peer that settles nothing costs no more than the tokens.</summary>
    public byte[] Message { get; private set; } = Message;

    /// <summary>The peer has told an outcome, which is on its way to the disk; under the gate.</summary>
    public bool IsTold { get; set; }

    public void ForgetMessage() => Message = [];
}

/// <summary>
/// Messages that are lent to a peer on a link until it settles them: commands to a device, feedback to a service. It takes from the queue what the
/// peer has credit for, and no more than <see cref="MaxTaken"/> and <see cref="AmqpHeadOptions.MaxTakenBytes"/> ahead of the socket. What the peer decides is stored before it is confirmed, and
/// is confirmed where the peer waits for it (receiver settle mode second) [AMQP-2.8.3].
/// </summary>
/// <param name="take">Takes and locks at most so many; outside the gate.</param>
/// <param name="release">Gives everything back that is not settled; outside the gate.</param>
internal sealed class LockedDeliveries(AmqpPeer connection, AmqpSender link, Func<int, IReadOnlyList<LockedDelivery>> take, Action release)
{
    public const int MaxTaken = 16;

    private static readonly AmqpError LockLost = new(HubErrors.DeviceMessageLockLost.AmqpCondition, HubErrors.DeviceMessageLockLost.Meaning);

    // To a peer that insists on it messages are sent settled: they are its own from then on.
    private readonly bool _settled = link.Attach.SenderSettleMode == SenderSettleMode.Settled;

    private readonly Queue<LockedDelivery> _ready = []; // under the gate
    private volatile bool _isOffered = true;

    /// <summary>The link is gone; written under the gate.</summary>
    public bool IsGone { get; private set; }

    /// <summary>There may be messages to take. From any thread; returns at once.</summary>
    public void Offer()
    {
        _isOffered = true;
        connection.Schedule();
    }

    /// <inheritdoc cref="ISource.Pump"/>
    public void Pump()
    {
        Span<byte> tag = stackalloc byte[16];
        while (_ready.TryPeek(out var delivery) && connection.HasRoomFor(delivery.Bytes))
        {
            delivery.Token.TryWriteBytes(tag);
            if (link.TrySend(delivery.Head, delivery.Message, tag, 0, _settled, delivery) != AmqpSendResult.Sent)
                return;

            _ready.Dequeue();
            connection.TakenBytes -= delivery.Bytes;
            delivery.ForgetMessage();
            if (_settled)
                Settle(delivery, Settlement.Complete, outcome: null);
        }

        if (_ready.Count == 0 && !_isOffered)
            link.Drained();
    }

    /// <inheritdoc cref="ISource.FillAsync"/>
    public bool Fill()
    {
        int top;
        lock (connection.Gate)
            top = IsGone || !link.IsAttached || connection.TakenBytes >= connection.Head.Options.MaxTakenBytes ? 0 : (int)Math.Min(link.Credit, MaxTaken) - _ready.Count;
        if (top <= 0 || !_isOffered)
            return false;

        _isOffered = false;
        var taken = take(top);
        if (taken.Count == top)
            _isOffered = true;
        lock (connection.Gate)
        {
            if (!IsGone)
            {
                foreach (var delivery in taken)
                    _ready.Enqueue(delivery);
                connection.TakenBytes += taken.Sum(delivery => delivery.Bytes);
                return taken.Count > 0 || link.IsDraining;
            }
        }

        release();
        return false;
    }

    /// <summary>The peer told what became of a message; under the gate.</summary>
    public void OnOutcome(in AmqpOutcome outcome)
    {
        Settlement? settlement = outcome.State switch
        {
            DeliveryState.Accepted => Settlement.Complete,
            DeliveryState.Rejected => Settlement.Reject,
            DeliveryState.Released or DeliveryState.Modified => Settlement.Abandon,
            _ => outcome.IsSettled ? Settlement.Abandon : null, // It forgot it without a word, or only says how far it has come.
        };
        if (settlement is not { } decided || outcome.Context is not LockedDelivery { IsTold: false } delivery)
            return;

        delivery.IsTold = true;
        Settle(delivery, decided, outcome);
    }

    /// <summary>The link is gone; under the gate.</summary>
    public void OnGone()
    {
        if (IsGone)
            return;

        IsGone = true;
        connection.TakenBytes -= _ready.Sum(delivery => delivery.Bytes);
        _ready.Clear();
        ThreadPool.UnsafeQueueUserWorkItem(static release => release(), release, preferLocal: false); // It offers to other connections.
    }

    private void Settle(LockedDelivery delivery, Settlement settlement, AmqpOutcome? outcome)
    {
        connection.Storing(1);
        _ = SettleAsync(delivery, settlement, outcome);
    }

    private async Task SettleAsync(LockedDelivery delivery, Settlement settlement, AmqpOutcome? outcome)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // Out of the gate.
        AmqpError? error = null;
        try
        {
            if (!await delivery.SettleAsync(settlement).ConfigureAwait(false))
                error = LockLost;
        }
        catch (MetadataWriteException)
        {
            error = new AmqpError(HubErrors.ServiceUnavailable.AmqpCondition, HubErrors.ServiceUnavailable.Meaning);
        }
        catch (Exception e)
        {
            error = new AmqpError(HubErrors.ServerError.AmqpCondition, HubErrors.ServerError.Meaning);
            connection.Fail(e);
        }

        lock (connection.Gate)
        {
            connection.Storing(-1);
            // Accepted says that the hub took the decision, whichever it was: clients take another state for a failure.
            if (outcome is { IsSettled: false } waits)
                link.Settle(waits.Id, waits.Id, error is null ? DeliveryState.Accepted : DeliveryState.Rejected, error);
        }

        connection.Schedule();
    }
}
