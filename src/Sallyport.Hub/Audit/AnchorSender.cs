using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Audit;

/// <summary>Where anchors go.</summary>
/// <param name="Name">For log, metrics and status: holds no secret.</param>
/// <param name="SendAsync">Returns when the other side has it; throws <see cref="IOException"/> when it has not.</param>
public sealed record AnchorTarget(string Name, Func<AuditAnchor, CancellationToken, Task> SendAsync);

/// <param name="LastSequence">Of the newest anchor that was sent; null before the first.</param>
/// <param name="LastError">Null while it works.</param>
/// <param name="Waiting">Anchors not sent yet.</param>
public sealed record AnchorTargetStatus(string Target, long? LastSequence, DateTimeOffset? LastSent, string? LastError, int Waiting);

/// <summary>
/// Sends the head of the trail to where the hub cannot take it back: at the start, at each interval when something was written, and
/// when a file is finished. One target that is away delays no other. <see cref="RunAsync"/> runs once; <see cref="Status"/> is thread-safe.
/// </summary>
public sealed class AnchorSender
{
    /// <summary>Anchors that wait for one target; beyond them the oldest goes: a later one says more.</summary>
    internal const int MaxWaiting = 64;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(5);

    private readonly AuditTrail _trail;
    private readonly IReadOnlyList<Delivery> _deliveries;
    private readonly TimeSpan _interval;
    private readonly TimeProvider _time;
    private readonly ILogger _log;

    public AnchorSender(AuditTrail trail, IReadOnlyList<AnchorTarget> targets, TimeSpan interval, TimeProvider time, ILogger log)
    {
        _trail = trail;
        _deliveries = [.. targets.Select(target => new Delivery(target))];
        _interval = interval;
        _time = time;
        _log = log;
    }

    public IReadOnlyList<AnchorTargetStatus> Status => [.. _deliveries.Select(delivery => delivery.Status)];

    /// <summary>Until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        if (_deliveries.Count > 0)
            await Task.WhenAll(_deliveries.Select(delivery => DeliverAsync(delivery, cancel)).Prepend(LookAsync(cancel)));
    }

    private async Task LookAsync(CancellationToken cancel)
    {
        AuditAnchor? last = null;
        while (!cancel.IsCancellationRequested)
        {
            while (_trail.FileEnds.TryRead(out var end))
                Offer(end);
            Offer(_trail.Head);

            using var looked = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            await Task.WhenAny(Task.Delay(_interval, _time, looked.Token), _trail.FileEnds.WaitToReadAsync(looked.Token).AsTask());
            await looked.CancelAsync();
        }

        void Offer(AuditAnchor anchor)
        {
            if (anchor == last)
                return;
            foreach (var delivery in _deliveries)
                delivery.Waiting.Writer.TryWrite(anchor);
            last = anchor;
        }
    }

    private async Task DeliverAsync(Delivery delivery, CancellationToken cancel)
    {
        var wait = FirstRetry;
        try
        {
            while (true)
            {
                // It stays where it is until it was sent: who looks at the status sees it wait.
                await delivery.Waiting.Reader.WaitToReadAsync(cancel);
                if (!delivery.Waiting.Reader.TryPeek(out var anchor))
                    continue;
                if (await TrySendAsync(delivery, anchor, cancel))
                {
                    if (delivery.Waiting.Reader.TryPeek(out var head) && ReferenceEquals(head, anchor))
                        delivery.Waiting.Reader.TryRead(out _);
                    wait = FirstRetry;
                    continue;
                }

                await Task.Delay(wait, _time, cancel);
                wait = wait * 2 < LongestRetry ? wait * 2 : LongestRetry;
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // The hub stops.
        }
    }

    private async Task<bool> TrySendAsync(Delivery delivery, AuditAnchor anchor, CancellationToken cancel)
    {
        try
        {
            await delivery.Target.SendAsync(anchor, cancel);
        }
        catch (IOException failure)
        {
            AuditMeter.AnchorFailed(delivery.Target.Name);
            if (delivery.Failed(failure.Message))
                _log.LogWarning(AuditEvents.AnchorNotSent, "The head of the audit trail cannot be sent to {Target}, and is tried again: {Reason}", delivery.Target.Name, failure.Message);
            return false;
        }

        AuditMeter.AnchorSent(delivery.Target.Name);
        if (delivery.Sent(anchor, _time.GetUtcNow()))
            _log.LogInformation(AuditEvents.AnchorSentAgain, "The head of the audit trail is sent to {Target} again", delivery.Target.Name);
        return true;
    }

    private sealed class Delivery(AnchorTarget target)
    {
        // Written by the delivery alone, replaced whole, read by anybody.
        private volatile AnchorTargetStatus _status = new(target.Name, null, null, null, 0);

        public AnchorTarget Target { get; } = target;

        public Channel<AuditAnchor> Waiting { get; } = Channel.CreateBounded<AuditAnchor>(
            new BoundedChannelOptions(MaxWaiting) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = false });

        public AnchorTargetStatus Status => _status with { Waiting = Waiting.Reader.Count };

        /// <returns>Whether it is the first time since it worked.</returns>
        public bool Failed(string reason)
        {
            var isFirst = _status.LastError is null;
            _status = _status with { LastError = reason };
            return isFirst;
        }

        /// <returns>Whether it had failed before.</returns>
        public bool Sent(AuditAnchor anchor, DateTimeOffset time)
        {
            var hadFailed = _status.LastError is not null;
            _status = _status with { LastSequence = anchor.Sequence, LastSent = time, LastError = null };
            return hadFailed;
        }
    }
}
