using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <content>What happens to commands without anybody asking: locks end, time runs out, quarantine ends.</content>
public sealed partial class CommandQueues
{
    /// <summary>How often it is looked: so much later than it is due is something done.</summary>
    public static readonly TimeSpan UpkeepInterval = TimeSpan.FromSeconds(1);

    private const int ExpiredPerWrite = 100;

    // What went with its identity is still remembered as given; in so many turns it is looked for.
    private const int TurnsPerTidying = 60;

    private int _turns; // of the one loop

    /// <summary>Identities of whose commands something is remembered; for tests.</summary>
    internal int Remembered => _locks.All.Sum(stripe =>
    {
        lock (stripe.Gate)
            return stripe.Locks.Count;
    });

    /// <summary>Looks after the queues and their feedback until it is cancelled; then it returns.</summary>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    public async Task RunAsync(ILogger<CommandQueues> logger, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(UpkeepInterval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                try
                {
                    await LookAfterAsync().ConfigureAwait(false);
                }
                catch (MetadataWriteException full) when (!full.IsPermanent)
                {
                    // Nothing was changed; it is due still at the next tick.
                    logger.UpkeepDelayed(full, UpkeepInterval);
                }
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return;
        }
    }

    /// <summary>Does what is due now.</summary>
    internal async ValueTask LookAfterAsync()
    {
        EndLocks();
        if (++_turns % TurnsPerTidying == 0)
            ForgetWhatIsGone();
        foreach (var (identity, _) in _withheld)
        {
            if (!_quarantine.Holds(identity.DeviceId) && _withheld.TryRemove(identity, out _))
                Offer(identity);
        }

        ExpiredCommand? after = null;
        do
            after = await ExpireAsync(after).ConfigureAwait(false);
        while (after is not null);
        await _feedback.LookAfterAsync().ConfigureAwait(false);
    }

    private void EndLocks()
    {
        var now = _time.GetTimestamp();
        foreach (var stripe in _locks.All)
        {
            List<Identity>? waiting = null;
            lock (stripe.Gate)
            {
                foreach (var (identity, locks) in stripe.Locks)
                {
                    foreach (var held in locks.All.Where(held => held.HasEnded(now)).ToArray())
                    {
                        locks.Remove(held.Command.Sequence);
                        (waiting ??= []).Add(identity);
                    }
                }
            }

            waiting?.ForEach(Offer);
        }
    }

    private void ForgetWhatIsGone()
    {
        foreach (var stripe in _locks.All)
        {
            lock (stripe.Gate)
            {
                foreach (var (identity, locks) in stripe.Locks.ToArray())
                {
                    foreach (var gone in _metadata.Read(tx => locks.GivenBefore.Where(sequence => !_metadata.Commands.Exists(tx, sequence)).ToArray()))
                        locks.Forget(gone);
                    stripe.Tidy(identity);
                }
            }
        }
    }

    // Gives up a page of what has expired, but for what somebody has; null when that was the last page.
    private async ValueTask<ExpiredCommand?> ExpireAsync(ExpiredCommand? after)
    {
        var now = _time.GetUtcNow();
        var page = _metadata.Read(tx => _metadata.Commands.ListExpired(tx, now, after, ExpiredPerWrite));
        if (page.Count == 0)
            return null;

        var locks = page.Select(TryLockExpired).OfType<CommandLock>().ToList();
        try
        {
            if (locks.Count > 0)
                await ExpireAsync(locks).ConfigureAwait(false);
        }
        finally
        {
            locks.ForEach(Forget);
        }

        return page.Count < ExpiredPerWrite ? null : page[^1];
    }

    private async ValueTask ExpireAsync(List<CommandLock> locks)
    {
        var expired = await _metadata.WriteAsync(tx =>
        {
            var count = 0;
            foreach (var held in locks)
            {
                if (_metadata.Commands.Find(tx, held.Command.Sequence) is not { } command)
                    continue;

                GiveUp(tx, command, DeadReason.Expired);
                count++;
            }

            return count;
        }).ConfigureAwait(false);
        for (; expired > 0; expired--)
            CommandMeter.OnDead(DeadReason.Expired);
    }

    // Who has it may still complete it until the lock's time is over; then it is nobody's, whoever has it.
    private CommandLock? TryLockExpired(ExpiredCommand expired)
    {
        var identity = Identity.Of(expired.DeviceId, expired.ModuleId);
        var stripe = _locks.Of(identity);
        lock (stripe.Gate)
        {
            var locks = stripe.For(identity);
            if (locks.Of(expired.Sequence) is { } held && (held.IsSettling || _time.GetTimestamp() < held.Until))
                return null;

            var command = new CommandRecord
            {
                Sequence = expired.Sequence, DeviceId = expired.DeviceId, ModuleId = expired.ModuleId, EnqueuedTime = default, Expires = expired.Expires, Message = [],
            };
            var taken = new CommandLock(command, this, long.MaxValue, isTimed: false) { IsSettling = true };
            locks.Add(taken);
            return taken;
        }
    }

    private void Forget(CommandLock held)
    {
        var identity = Identity.Of(held.Command.DeviceId, held.Command.ModuleId);
        var stripe = _locks.Of(identity);
        lock (stripe.Gate)
        {
            stripe.For(identity).Forget(held.Command.Sequence);
            stripe.Tidy(identity);
        }
    }
}
