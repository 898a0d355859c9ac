using Sallyport.Hub.Devices;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <content>What becomes of commands that somebody has. Once a decision is on disk it is told; it is not taken back by whoever gives up waiting.</content>
public sealed partial class CommandQueues
{
    /// <summary>The device has done with it: it is gone from the queue. Durable when it completes.</summary>
    /// <returns>False: the lock has ended (412002), and the command waits, or is gone.</returns>
    /// <exception cref="MetadataWriteException">It could not be made durable: the command waits again.</exception>
    public async ValueTask<bool> CompleteAsync(Identity identity, Guid token)
    {
        var done = await SettleAsync(identity, token, (tx, held) =>
        {
            if (!_metadata.Commands.Delete(tx, held.Sequence))
                return Settled.LockLost;
            if (held.Ack is CommandAck.Positive or CommandAck.Full)
                _feedback.Add(tx, held, FeedbackStatus.Success);
            return Settled.Gone;
        }).ConfigureAwait(false);
        if (done)
            CommandMeter.OnCompleted();
        return done;
    }

    /// <summary>The device does not want it now: it waits again, in its place, or is given up when that was once too often.</summary>
    /// <inheritdoc cref="CompleteAsync" path="/returns"/>
    /// <exception cref="MetadataWriteException">It could not be made durable: the command waits again, not counted.</exception>
    public async ValueTask<bool> AbandonAsync(Identity identity, Guid token)
    {
        var done = await SettleAsync(identity, token, (tx, held) =>
        {
            if (_metadata.Commands.Find(tx, held.Sequence) is not { } command)
                return Settled.LockLost;

            command = command with { DeliveryCount = command.DeliveryCount + 1 };
            if (command.DeliveryCount >= Options.MaxDeliveryCount)
            {
                GiveUp(tx, command, DeadReason.DeliveryCountExceeded);
                return Settled.Gone;
            }

            _metadata.Commands.SetDeliveryCount(tx, command.Sequence, command.DeliveryCount);
            return Settled.WaitsAgain;
        }).ConfigureAwait(false);
        if (done)
            CommandMeter.OnAbandoned();
        return done;
    }

    /// <summary>The device will never want it: it is given up.</summary>
    /// <inheritdoc cref="CompleteAsync" path="/returns"/>
    /// <exception cref="MetadataWriteException">It could not be made durable: the command waits again.</exception>
    public async ValueTask<bool> RejectAsync(Identity identity, Guid token)
    {
        var done = await SettleAsync(identity, token, (tx, held) =>
        {
            if (_metadata.Commands.Find(tx, held.Sequence) is not { } command)
                return Settled.LockLost;

            GiveUp(tx, command, DeadReason.Rejected);
            return Settled.Gone;
        }).ConfigureAwait(false);
        if (done)
            CommandMeter.OnDead(DeadReason.Rejected);
        return done;
    }

    /// <summary>The holder is gone: what it had waits again, and is not counted as abandoned.</summary>
    public void Release(Identity identity, object holder)
    {
        var any = false;
        var stripe = _locks.Of(identity);
        lock (stripe.Gate)
        {
            if (stripe.Locks.TryGetValue(identity, out var locks))
            {
                foreach (var held in locks.All.Where(held => held.Holder == holder && !held.IsSettling).ToArray())
                {
                    locks.Remove(held.Command.Sequence);
                    any = true;
                }
            }
        }

        if (any)
            Offer(identity);
    }

    /// <summary>
    /// Gives one back that was not delivered after all: it waits again, not counted. A newer link of the device is offered it; the one that gives
    /// it back knows that it waits.
    /// </summary>
    public void Return(Identity identity, LockedCommand command, IDeviceLink from)
    {
        var stripe = _locks.Of(identity);
        lock (stripe.Gate)
        {
            if (stripe.Locks.GetValueOrDefault(identity) is { } locks && locks.Of(command.Token) is { IsSettling: false })
            {
                if (command.IsRedelivered)
                    locks.Remove(command.Command.Sequence);
                else
                    locks.Forget(command.Command.Sequence);
            }

            stripe.Tidy(identity);
        }

        // It may have asked while this one was locked, and got nothing.
        if (_connected.Find(identity) is { } link && !ReferenceEquals(link, from))
            link.OfferCommands();
    }

    private enum Settled
    {
        LockLost,
        WaitsAgain,
        Gone,
    }

    private async ValueTask<bool> SettleAsync(Identity identity, Guid token, Func<MetadataTransaction, CommandRecord, Settled> act)
    {
        var stripe = _locks.Of(identity);
        CommandLock? held;
        lock (stripe.Gate)
        {
            held = stripe.Locks.GetValueOrDefault(identity)?.Of(token);
            if (held is null || held.IsSettling || held.HasEnded(_time.GetTimestamp()))
                return false;
            held.IsSettling = true;
        }

        var settled = Settled.WaitsAgain;
        try
        {
            settled = await _metadata.WriteAsync(tx => act(tx, held.Command)).ConfigureAwait(false);
            return settled != Settled.LockLost;
        }
        finally
        {
            lock (stripe.Gate)
            {
                var locks = stripe.For(identity);
                if (settled == Settled.WaitsAgain)
                    locks.Remove(held.Command.Sequence);
                else
                    locks.Forget(held.Command.Sequence);
                stripe.Tidy(identity);
            }

            if (settled == Settled.WaitsAgain)
                Offer(identity);
        }
    }

    // Out of the queue, and kept where it can be looked at and sent again.
    private void GiveUp(MetadataTransaction tx, CommandRecord command, DeadReason reason)
    {
        _metadata.Commands.Delete(tx, command.Sequence);
        _metadata.Commands.AddDead(tx, new DeadCommandRecord(0, command, reason, _time.GetUtcNow()), Options.MaxDeadOfIdentity, Options.MaxDead);
        if (command.Ack is CommandAck.Negative or CommandAck.Full)
        {
            _feedback.Add(tx, command, reason switch
            {
                DeadReason.Rejected => FeedbackStatus.Rejected,
                DeadReason.Expired => FeedbackStatus.Expired,
                _ => FeedbackStatus.DeliveryCountExceeded,
            });
        }
    }
}
