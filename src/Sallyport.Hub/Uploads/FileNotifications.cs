using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sallyport.Hub.Commands;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <summary>A notification that was given to a receiver.</summary>
public sealed record LockedFileNotification(Guid Token, FileNotificationRecord Record, byte[] Body) : LockedNotice(Token, Record.EnqueuedTime, Record.DeliveryCount, Body);

/// <summary>
/// What services are told of uploads that are done: one queue for the hub. Receivers compete: a notification is one receiver's until it settles it
/// or its lock ends. Kept on disk; locks are in memory. Thread-safe.
/// </summary>
public sealed class FileNotifications(IMetadata metadata, UploadOptions options, TimeProvider time) : IServiceNotices
{
    /// <inheritdoc/>
    public string ContentType => "application/vnd.microsoft.iothub.filenotification.json";

    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Lock _gate = new();
    private readonly Dictionary<long, Held> _locks = []; // under the gate

    /// <summary>There may be notifications to take; on any thread. Must not block or throw.</summary>
    public event Action? Available;

    /// <summary>Gives the oldest notification that nobody has; null when there is none.</summary>
    /// <param name="holder">Who has it until it is settled, the lock ends, or <see cref="Release"/>; null when only the lock ends it.</param>
    public LockedFileNotification? Receive(object? holder)
    {
        var (now, timestamp) = (time.GetUtcNow(), time.GetTimestamp());
        lock (_gate)
        {
            if (FirstFree(now, timestamp) is not { } record)
                return null;

            var until = timestamp + (long)(options.NotificationLockDuration.TotalSeconds * time.TimestampFrequency);
            var taken = new Held(Guid.NewGuid(), holder, until);
            _locks[record.Sequence] = taken;
            return new LockedFileNotification(taken.Token, record, BodyOf(record));
        }
    }

    LockedNotice? IServiceNotices.Receive(object? holder) => Receive(holder);

    /// <summary>The receiver has it, or does not want it and nobody else shall get it: it is gone.</summary>
    /// <returns>False: the lock has ended (412002).</returns>
    /// <exception cref="MetadataWriteException">It could not be made durable: the notification waits again.</exception>
    public ValueTask<bool> CompleteAsync(Guid token) => SettleAsync(token, (tx, sequence) => metadata.FileNotifications.Delete(tx, sequence));

    /// <summary>The receiver does not want it: another one gets it, unless that was once too often.</summary>
    /// <inheritdoc cref="CompleteAsync"/>
    public async ValueTask<bool> AbandonAsync(Guid token)
    {
        var done = await SettleAsync(token, (tx, sequence) =>
        {
            if (metadata.FileNotifications.Find(tx, sequence) is not { } record)
                return false;
            if (record.DeliveryCount + 1 < options.NotificationMaxDeliveryCount)
            {
                metadata.FileNotifications.SetDeliveryCount(tx, sequence, record.DeliveryCount + 1);
                return true;
            }

            UploadMeter.NotificationsDropped(1);
            return metadata.FileNotifications.Delete(tx, sequence);
        }).ConfigureAwait(false);
        Available?.Invoke();
        return done;
    }

    /// <summary>The holder is gone: what it had waits again.</summary>
    public void Release(object holder)
    {
        lock (_gate)
        {
            foreach (var (sequence, _) in _locks.Where(pair => pair.Value.Holder == holder && !pair.Value.IsSettling).ToArray())
                _locks.Remove(sequence);
        }

        Available?.Invoke();
    }

    /// <summary>What is told of a file; null when nobody is to be told.</summary>
    internal FileNotificationRecord? Draft(string deviceId, BlobFacts file)
    {
        var now = time.GetUtcNow();
        return options.Notify
            ? new FileNotificationRecord(
                0, deviceId, BlobName.Full(deviceId, file.Name), file.Uri.AbsoluteUri, file.Bytes, file.ModifiedTime, now, now + options.NotificationTimeToLive, 0)
            : null;
    }

    /// <summary>Adds it in the transaction that ends the upload.</summary>
    /// <returns>How many others went at the bound; for <see cref="Added"/>.</returns>
    internal int Add(MetadataTransaction tx, FileNotificationRecord record) => metadata.FileNotifications.Add(tx, record, options.MaxNotifications);

    /// <summary>That transaction is durable.</summary>
    internal void Added(int dropped)
    {
        UploadMeter.NotificationsDropped(dropped);
        Available?.Invoke();
    }

    /// <summary>Drops what nobody took in time, and ends locks.</summary>
    internal async ValueTask LookAfterAsync()
    {
        var now = time.GetUtcNow();
        if (metadata.Read(tx => metadata.FileNotifications.AnyOver(tx, now)))
            UploadMeter.NotificationsDropped(await metadata.WriteAsync(tx => metadata.FileNotifications.DeleteOver(tx, now)).ConfigureAwait(false));

        var timestamp = time.GetTimestamp();
        lock (_gate)
        {
            foreach (var (sequence, _) in _locks.Where(pair => !pair.Value.IsSettling && timestamp >= pair.Value.Until).ToArray())
                _locks.Remove(sequence);
        }

        if (metadata.Read(tx => metadata.FileNotifications.List(tx, 0, 1)).Count > 0)
            Available?.Invoke();
    }

    // Under the gate: what is locked is passed over.
    private FileNotificationRecord? FirstFree(DateTimeOffset now, long timestamp) => metadata.Read(tx =>
    {
        for (long after = 0; ;)
        {
            var page = metadata.FileNotifications.List(tx, after, _locks.Count + 1);
            foreach (var record in page)
            {
                after = record.Sequence;
                if (record.Expires > now && (!_locks.TryGetValue(record.Sequence, out var held) || (!held.IsSettling && timestamp >= held.Until)))
                    return record;
            }

            if (page.Count == 0)
                return null;
        }
    });

    private async ValueTask<bool> SettleAsync(Guid token, Func<MetadataTransaction, long, bool> act)
    {
        long sequence;
        lock (_gate)
        {
            sequence = _locks.FirstOrDefault(pair => pair.Value.Token == token && !pair.Value.IsSettling && time.GetTimestamp() < pair.Value.Until).Key;
            if (sequence == 0)
                return false;
            _locks[sequence] = _locks[sequence] with { IsSettling = true };
        }

        try
        {
            return await metadata.WriteAsync(tx => act(tx, sequence)).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
                _locks.Remove(sequence);
        }
    }

    private static byte[] BodyOf(FileNotificationRecord record)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Json))
        {
            json.WriteStartObject();
            json.WriteString("deviceId"u8, record.DeviceId);
            json.WriteString("blobUri"u8, record.BlobUri);
            json.WriteString("blobName"u8, record.BlobName);
            json.WriteString("lastUpdatedTime"u8, record.ModifiedTime.ToString("yyyy-MM-dd'T'HH:mm:sszzz", CultureInfo.InvariantCulture));
            json.WriteNumber("blobSizeInBytes"u8, record.Bytes);
            json.WriteString("enqueuedTimeUtc"u8, record.EnqueuedTime.UtcDateTime);
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private sealed record Held(Guid Token, object? Holder, long Until)
    {
        public bool IsSettling { get; init; }
    }
}
