using System.Text.Json;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Commands;

/// <summary>
/// What senders of commands are told (<c>iothub-ack</c>): one queue for the hub, in batches that fill up or have waited long enough. Receivers
/// compete: a batch is one receiver's until it settles it or its lock ends. Kept on disk; locks are in memory. Thread-safe.
/// </summary>
public sealed class Feedback(IMetadata metadata, CommandOptions options, TimeProvider time) : IServiceNotices
{
    /// <inheritdoc/>
    public string ContentType => "application/vnd.microsoft.iothub.feedback.json";

    private const int MaxBatchesPerLook = 100;

    private readonly Lock _gate = new();
    private readonly Dictionary<long, Held> _locks = []; // under the gate

    /// <summary>There may be batches to take; on any thread. Must not block or throw.</summary>
    public event Action? Available;

    /// <summary>Gives the oldest batch that nobody has; null when there is none.</summary>
    /// <param name="holder">Who has it until it is settled, the lock ends, or <see cref="Release"/>; null when only the lock ends it.</param>
    public LockedNotice? Receive(object? holder)
    {
        var (now, timestamp) = (time.GetUtcNow(), time.GetTimestamp());
        lock (_gate)
        {
            var found = metadata.Read(tx =>
            {
                for (long after = 0; ;)
                {
                    var page = metadata.Feedback.ListBatches(tx, after, _locks.Count + 1);
                    foreach (var batch in page)
                    {
                        after = batch.Batch;
                        var isFree = !_locks.TryGetValue(batch.Batch, out var held) || (!held.IsSettling && timestamp >= held.Until);
                        if (isFree && batch.Expires > now && metadata.Feedback.ListRecords(tx, batch.Batch) is { Count: > 0 } records)
                            return Tuple.Create(batch, records);
                    }

                    if (page.Count == 0)
                        return null;
                }
            });
            if (found is null)
                return null;

            var until = timestamp + (long)(options.FeedbackLockDuration.TotalSeconds * time.TimestampFrequency);
            var taken = new Held(Guid.NewGuid(), holder, until);
            _locks[found.Item1.Batch] = taken;
            return new LockedNotice(taken.Token, found.Item1.EnqueuedTime, found.Item1.DeliveryCount, BodyOf(found.Item2));
        }
    }

    /// <summary>The receiver has it: it is gone.</summary>
    /// <returns>False: the lock has ended (412002).</returns>
    /// <exception cref="MetadataWriteException">It could not be made durable: the batch waits again.</exception>
    public ValueTask<bool> CompleteAsync(Guid token) => SettleAsync(token, (tx, batch) => metadata.Feedback.DeleteBatch(tx, batch));

    /// <summary>The receiver does not want it: another one gets it, unless that was once too often.</summary>
    /// <inheritdoc cref="CompleteAsync"/>
    public async ValueTask<bool> AbandonAsync(Guid token)
    {
        var done = await SettleAsync(token, (tx, batch) =>
        {
            if (metadata.Feedback.ListBatches(tx, batch - 1, 1) is not [var record] || record.Batch != batch)
                return false;
            if (record.DeliveryCount + 1 < options.FeedbackMaxDeliveryCount)
            {
                metadata.Feedback.SetDeliveryCount(tx, batch, record.DeliveryCount + 1);
                return true;
            }

            CommandMeter.FeedbackDropped(metadata.Feedback.ListRecords(tx, batch).Count);
            return metadata.Feedback.DeleteBatch(tx, batch);
        }).ConfigureAwait(false);
        Available?.Invoke();
        return done;
    }

    /// <summary>The holder is gone: what it had waits again.</summary>
    public void Release(object holder)
    {
        lock (_gate)
        {
            foreach (var (batch, _) in _locks.Where(pair => pair.Value.Holder == holder && !pair.Value.IsSettling).ToArray())
                _locks.Remove(batch);
        }

        Available?.Invoke();
    }

    /// <summary>Adds what is told of a command, in the transaction that decided it.</summary>
    internal void Add(MetadataTransaction tx, CommandRecord command, FeedbackStatus status) =>
        CommandMeter.FeedbackDropped(metadata.Feedback.Add(
            tx, new FeedbackRecord(command.DeviceId, command.ModuleId, command.GenerationId, command.MessageId, time.GetUtcNow(), status), options.MaxFeedback));

    /// <summary>Makes batches that are due, drops those that nobody took, and ends locks.</summary>
    internal async ValueTask LookAfterAsync()
    {
        var now = time.GetUtcNow();
        for (var i = 0; i < MaxBatchesPerLook && IsBatchDue(now); i++)
            await metadata.WriteAsync(tx => metadata.Feedback.MakeBatch(tx, now, now + options.FeedbackTimeToLive, CommandOptions.FeedbackBatchRecords)).ConfigureAwait(false);

        var over = metadata.Read(tx => metadata.Feedback.ListOver(tx, now, MaxBatchesPerLook));
        if (over.Count > 0)
        {
            await metadata.WriteAsync(tx =>
            {
                foreach (var batch in over)
                {
                    CommandMeter.FeedbackDropped(metadata.Feedback.ListRecords(tx, batch).Count);
                    metadata.Feedback.DeleteBatch(tx, batch);
                }

                return true;
            }).ConfigureAwait(false);
        }

        EndLocks();
        if (metadata.Read(tx => metadata.Feedback.ListBatches(tx, 0, 1)).Count > 0)
            Available?.Invoke();
    }

    private bool IsBatchDue(DateTimeOffset now) =>
        metadata.Read(metadata.Feedback.Loose) is { Count: > 0 } loose && (loose.Count >= CommandOptions.FeedbackBatchRecords || now - loose.Oldest >= options.FeedbackInterval);

    private void EndLocks()
    {
        var timestamp = time.GetTimestamp();
        lock (_gate)
        {
            foreach (var (batch, _) in _locks.Where(pair => !pair.Value.IsSettling && timestamp >= pair.Value.Until).ToArray())
                _locks.Remove(batch);
        }
    }

    private async ValueTask<bool> SettleAsync(Guid token, Func<MetadataTransaction, long, bool> act)
    {
        long batch;
        lock (_gate)
        {
            batch = _locks.FirstOrDefault(pair => pair.Value.Token == token && !pair.Value.IsSettling && time.GetTimestamp() < pair.Value.Until).Key;
            if (batch == 0)
                return false;
            _locks[batch] = _locks[batch] with { IsSettling = true };
        }

        try
        {
            return await metadata.WriteAsync(tx => act(tx, batch)).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
                _locks.Remove(batch);
        }
    }

    private static byte[] BodyOf(IReadOnlyList<FeedbackRecord> records)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartArray();
            foreach (var record in records)
            {
                json.WriteStartObject();
                json.WriteString("originalMessageId"u8, record.MessageId);
                json.WriteString("deviceGenerationId"u8, record.GenerationId);
                json.WriteString("deviceId"u8, record.DeviceId);
                if (record.ModuleId is { } module)
                    json.WriteString("moduleId"u8, module);
                json.WriteString("enqueuedTimeUtc"u8, record.Time.UtcDateTime);
                json.WriteString("statusCode"u8, record.Status.ToString());
                json.WriteString("description"u8, record.Status.ToString());
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return buffer.ToArray();
    }

    private sealed record Held(Guid Token, object? Holder, long Until)
    {
        public bool IsSettling { get; init; }
    }
}
