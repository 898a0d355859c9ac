using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <content>
/// What operators do with queues: empty them, look at what was given up, send it again. Each is in the audit trail before it is done; once it is
/// recorded it is done, whoever gives up waiting.
/// </content>
public sealed partial class CommandQueues
{
    /// <summary>Empties the queue of an identity, locked commands included. Senders that want to know are told <c>Purged</c>.</summary>
    /// <returns>How many commands there were.</returns>
    /// <exception cref="HubException">404: there is no such identity; 503: the audit trail cannot be written.</exception>
    public async ValueTask<int> PurgeAsync(Actor actor, IAuditTrail audit, Identity identity, CancellationToken cancel)
    {
        _metadata.Read(tx => Require(tx, identity));
        await audit.RequireAsync(actor.Done("command purge", identity.ToString()), cancel).ConfigureAwait(false);
        var purged = await _metadata.WriteAsync(tx =>
        {
            var waiting = _metadata.Commands.ListWaiting(tx, identity.DeviceId, identity.ModuleId, Require(tx, identity).GenerationId, 0, int.MaxValue);
            foreach (var (sequence, _) in waiting)
            {
                var command = _metadata.Commands.Find(tx, sequence)!;
                _metadata.Commands.Delete(tx, sequence);
                if (command.Ack is CommandAck.Negative or CommandAck.Full)
                    _feedback.Add(tx, command, FeedbackStatus.Purged);
            }

            return waiting;
        }, CancellationToken.None).ConfigureAwait(false);

        var stripe = _locks.Of(identity);
        lock (stripe.Gate)
        {
            // What is on its way to the disk ends by itself.
            var locks = stripe.For(identity);
            foreach (var (sequence, _) in purged)
            {
                if (locks.Of(sequence) is not { IsSettling: true })
                    locks.Forget(sequence);
            }

            stripe.Tidy(identity);
        }

        return purged.Count;
    }

    /// <summary>Commands that were given up, the oldest first.</summary>
    /// <param name="deviceId">Of this device and its modules; null for all.</param>
    /// <param name="after">Only those behind this one.</param>
    public IReadOnlyList<DeadCommandRecord> ListDead(string? deviceId, long after, int top) =>
        _metadata.Read(tx => _metadata.Commands.ListDead(tx, deviceId, after, top));

    /// <summary>Sends a command that was given up again, as if it were new, and takes it from those that were.</summary>
    /// <returns>Its sequence in the queue.</returns>
    /// <exception cref="HubException">404: the device has no such command; 403: the queue is full; 503: the audit trail cannot be written.</exception>
    public async ValueTask<long> ReplayAsync(Actor actor, IAuditTrail audit, string deviceId, long dead, CancellationToken cancel)
    {
        var found = _metadata.Read(tx => RequireDead(tx, deviceId, dead)).Command;
        var to = Identity.Of(found.DeviceId, found.ModuleId);
        await audit.RequireAsync(actor.Done("command replay", $"{to} {dead}"), cancel).ConfigureAwait(false);
        var now = _time.GetUtcNow();
        var (sequence, error) = await _metadata.WriteAsync(tx =>
        {
            var added = Add(tx, CommandDraft.Again(RequireDead(tx, deviceId, dead).Command), now);
            if (added.Error is null)
                _metadata.Commands.DeleteDead(tx, dead);
            return added;
        }, CancellationToken.None).ConfigureAwait(false);
        if (error is not null)
        {
            audit.Note(actor.Refused("command replay", $"{to} {dead}", error.Meaning));
            throw Refusal(error, to);
        }

        Offer(to);
        return sequence;
    }

    /// <summary>Deletes a command that was given up.</summary>
    /// <exception cref="HubException">404: the device has no such command; 503: the audit trail cannot be written.</exception>
    public async ValueTask DeleteDeadAsync(Actor actor, IAuditTrail audit, string deviceId, long dead, CancellationToken cancel)
    {
        _metadata.Read(tx => RequireDead(tx, deviceId, dead));
        await audit.RequireAsync(actor.Done("command delete-dead", $"{deviceId} {dead}"), cancel).ConfigureAwait(false);
        await _metadata.WriteAsync(tx => _metadata.Commands.DeleteDead(tx, dead), CancellationToken.None).ConfigureAwait(false);
    }

    private DeadCommandRecord RequireDead(MetadataTransaction tx, string deviceId, long dead) =>
        _metadata.Commands.FindDead(tx, dead) is { } found && found.Command.DeviceId == deviceId
            ? found
            : throw new HubException(HubErrors.NotFound, $"the device has no dead command {dead}");
}
