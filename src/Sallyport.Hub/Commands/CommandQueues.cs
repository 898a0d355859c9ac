using System.Collections.Concurrent;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>
/// The queue of cloud-to-device messages of each device and module (IoT Hub developer guide, "Send cloud-to-device messages"). A command is
/// enqueued, invisible while somebody has it (<see cref="LockedCommand"/>), and then completed or given up: rejected, expired, or abandoned too
/// often. Split by concern: this file takes in and gives out; the others settle, and look after what nobody asks for.
/// </summary>
/// <remarks>
/// The queue is on disk and nowhere else; locks are in memory. So a hub that starts anew delivers again what was not settled: at least once.
/// What was settled is not delivered again, and what was accepted is not lost. Thread-safe.
/// </remarks>
public sealed partial class CommandQueues
{
    private readonly IMetadata _metadata;
    private readonly ConnectedDevices _connected;
    private readonly QuarantineLine _quarantine;
    private readonly Feedback _feedback;
    private readonly TimeProvider _time;
    private readonly CommandLocks _locks = new();

    // Asked while they were in quarantine: they are offered again once they are not. Bounded by what is connected or asks.
    private readonly ConcurrentDictionary<Identity, byte> _withheld = new();

    public CommandQueues(IMetadata metadata, ConnectedDevices connected, QuarantineLine quarantine, Feedback feedback, CommandOptions options, TimeProvider time)
    {
        _metadata = metadata;
        _connected = connected;
        _quarantine = quarantine;
        _feedback = feedback;
        Options = options;
        _time = time;

        // A link that another one took over has nothing any more, whenever it notices.
        connected.LinkEnded += link => Release(link.Identity, link);
    }

    public CommandOptions Options { get; }

    /// <summary>Takes commands in, all in one write; durable when it completes. The devices that are connected are offered theirs.</summary>
    /// <returns>Of each, in their order: null when it waits, or why it does not: 404 there is no such identity, 403 its queue is full.</returns>
    /// <exception cref="MetadataWriteException">They could not be made durable; none waits.</exception>
    public async ValueTask<IReadOnlyList<HubError?>> EnqueueAsync(IReadOnlyList<CommandDraft> drafts, CancellationToken cancel)
    {
        var now = _time.GetUtcNow();
        var errors = await _metadata.WriteAsync(tx => drafts.Select(draft => Add(tx, draft, now).Error).ToArray(), cancel).ConfigureAwait(false);
        var accepted = 0;
        for (var i = 0; i < errors.Length; i++)
        {
            if (errors[i] is { } error)
            {
                CommandMeter.Refused(error.Code);
                continue;
            }

            accepted++;
            Offer(drafts[i].To);
        }

        CommandMeter.Accepted(accepted);
        return errors;
    }

    /// <summary>Takes one command in; durable when it completes.</summary>
    /// <returns>Its sequence.</returns>
    /// <exception cref="HubException">404: there is no such identity; 403: its queue is full.</exception>
    public async ValueTask<long> EnqueueAsync(CommandDraft draft, CancellationToken cancel)
    {
        var now = _time.GetUtcNow();
        var (sequence, error) = await _metadata.WriteAsync(tx => Add(tx, draft, now), cancel).ConfigureAwait(false);
        if (error is not null)
        {
            CommandMeter.Refused(error.Code);
            throw Refusal(error, draft.To);
        }

        CommandMeter.Accepted(1);
        Offer(draft.To);
        return sequence;
    }

    /// <summary>Gives the oldest commands that are not locked, and locks them. Gives none while the device is in quarantine.</summary>
    /// <param name="generationId">Of the identity that asks; those of a deleted namesake are not its.</param>
    /// <param name="holder">Who has them until they are settled, the lock ends, or <see cref="Release(Identity, object)"/>; null when only the lock ends it.</param>
    /// <param name="isTimed">False: the lock lasts as long as the holder, for one who cannot tell a second delivery from the first (MQTT).</param>
    public IReadOnlyList<LockedCommand> Receive(Identity identity, string generationId, object? holder, int top, bool isTimed = true)
    {
        if (top <= 0)
            return [];
        if (_quarantine.Holds(identity.DeviceId))
        {
            if (holder is not null)
                _withheld[identity] = 0;
            return [];
        }

        var (now, timestamp) = (_time.GetUtcNow(), _time.GetTimestamp());
        var until = timestamp + (long)(Options.LockDuration.TotalSeconds * _time.TimestampFrequency);
        var stripe = _locks.Of(identity);
        List<LockedCommand> given = [];
        lock (stripe.Gate)
        {
            var locks = stripe.For(identity);
            foreach (var command in Unlocked(identity, generationId, locks, now, timestamp, top))
            {
                var held = new CommandLock(command with { Message = [] }, holder, until, isTimed);
                given.Add(new LockedCommand(held.Token, command, IsRedelivered: locks.Add(held)));
            }

            stripe.Tidy(identity);
        }

        return given;
    }

    /// <summary>What waits, the oldest first; with the messages.</summary>
    /// <returns>Each with whether it is locked.</returns>
    /// <exception cref="HubException">404: there is no such identity.</exception>
    public IReadOnlyList<(CommandRecord Command, bool IsLocked)> List(Identity identity, int top)
    {
        var stripe = _locks.Of(identity);
        var timestamp = _time.GetTimestamp();
        lock (stripe.Gate)
        {
            var locks = stripe.Locks.GetValueOrDefault(identity);
            return _metadata.Read(tx => _metadata.Commands
                .ListWaiting(tx, identity.DeviceId, identity.ModuleId, Require(tx, identity).GenerationId, 0, top)
                .Select(waiting => (_metadata.Commands.Find(tx, waiting.Sequence)!, locks?.Of(waiting.Sequence) is { } held && !held.HasEnded(timestamp)))
                .ToList());
        }
    }

    /// <summary>The generation of an identity as it is registered now.</summary>
    /// <exception cref="HubException">404: there is no such identity.</exception>
    public string GenerationOf(Identity identity) => _metadata.Read(tx => Require(tx, identity)).GenerationId;

    public bool IsRegistered(Identity identity) => _metadata.Read(tx => _metadata.Identities.Find(tx, identity.DeviceId, identity.ModuleId)) is not null;

    /// <summary>Why something is not to be had, in words.</summary>
    internal static HubException Refusal(HubError error, Identity identity) => new(
        error, error == HubErrors.DeviceMaximumQueueDepthExceeded ? error.Meaning : $"there is no {(identity.IsModule ? "module" : "device")} {identity}");

    internal IdentityRecord Require(MetadataTransaction tx, Identity identity) =>
        _metadata.Identities.Find(tx, identity.DeviceId, identity.ModuleId) ?? throw Refusal(NotFound(identity), identity);

    private static HubError NotFound(Identity identity) => identity.IsModule ? HubErrors.ModuleNotFound : HubErrors.DeviceNotFound;

    private (long Sequence, HubError? Error) Add(MetadataTransaction tx, CommandDraft draft, DateTimeOffset now)
    {
        if (_metadata.Commands.Count(tx, draft.To.DeviceId, draft.To.ModuleId) >= Options.MaxQueueDepth)
            return (0, HubErrors.DeviceMaximumQueueDepthExceeded);

        var sequence = _metadata.Commands.Add(tx, new CommandRecord
        {
            DeviceId = draft.To.DeviceId,
            ModuleId = draft.To.ModuleId,
            MessageId = draft.MessageId,
            EnqueuedTime = now,
            Expires = draft.Expiry ?? now + Options.DefaultTimeToLive,
            Ack = draft.Ack,
            Message = draft.Message,
        });
        return sequence is { } added ? (added, null) : (0, NotFound(draft.To));
    }

    // Under the gate of the stripe.
    private List<CommandRecord> Unlocked(Identity identity, string generationId, CommandLocks.OfIdentity locks, DateTimeOffset now, long timestamp, int top) => _metadata.Read(tx =>
    {
        List<CommandRecord> found = [];
        for (long after = 0; ;)
        {
            var asked = top - found.Count + locks.Count;
            var page = _metadata.Commands.ListWaiting(tx, identity.DeviceId, identity.ModuleId, generationId, after, asked);
            foreach (var waiting in page)
            {
                after = waiting.Sequence;
                var isFree = locks.Of(waiting.Sequence) is not { } held || held.HasEnded(timestamp);
                if (!isFree || waiting.Expires <= now)
                    continue;

                found.Add(_metadata.Commands.Find(tx, waiting.Sequence)!);
                if (found.Count == top)
                    return found;
            }

            if (page.Count < asked)
                return found;
        }
    });

    private void Offer(Identity identity) => _connected.Find(identity)?.OfferCommands();
}
