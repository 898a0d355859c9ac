using Microsoft.Extensions.Logging;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <summary>
/// File uploads of devices: a device asks for a URI, writes a file there, and reports how it went; then services are told. Each step is durable
/// before it is answered. A device has so many slots; an upload holds one until it is reported or its URI ends. Thread-safe.
/// </summary>
public sealed class FileUploads(
    IMetadata metadata, IBlobStore blobs, FileNotifications notifications, QuarantineLine quarantine, Quotas quotas, UploadOptions options, TimeProvider time)
{
    /// <summary>How often it is looked for what is over.</summary>
    public static readonly TimeSpan UpkeepInterval = TimeSpan.FromSeconds(10);

    /// <summary>Begins an upload.</summary>
    /// <param name="generationId">Of the device that asks.</param>
    /// <param name="host">By which it called the hub, with the port where it named one.</param>
    /// <returns>The upload and where the device writes its file.</returns>
    /// <exception cref="HubException">400: the name is none; 403: the device has as many uploads as it may; 404: it is gone or disabled; 429: too many requests.</exception>
    /// <exception cref="MetadataWriteException">It could not be made durable.</exception>
    public async ValueTask<(UploadRecord Upload, BlobPlace Place)> BeginAsync(Identity device, string generationId, string? blobName, string host, CancellationToken cancel)
    {
        BlobName.Check(device.DeviceId, blobName);
        Take(device);
        if (quarantine.Holds(device.DeviceId))
            throw Refusal(HubErrors.UnauthorizedAccess, "a device in quarantine uploads nothing");

        // To the second, as the signature has it.
        var now = time.GetUtcNow();
        var end = now + options.UriLifetime;
        end = end.AddTicks(-(end.Ticks % TimeSpan.TicksPerSecond));
        var upload = new UploadRecord(Guid.NewGuid().ToString("N"), device.DeviceId, generationId, blobName!, now, end);
        await metadata.WriteAsync(tx =>
        {
            if (metadata.Identities.Find(tx, device.DeviceId, null) is not { Enabled: true } found || found.GenerationId != generationId)
                throw Refusal(HubErrors.DeviceNotFound, HubErrors.DeviceNotFound.Meaning);
            if (metadata.Uploads.CountOpen(tx, device.DeviceId, generationId, now) >= options.MaxActive)
                throw Refusal(HubErrors.DeviceMaximumActiveFileUploads, HubErrors.DeviceMaximumActiveFileUploads.Meaning);
            metadata.Uploads.TrimClosed(tx, device.DeviceId, UploadOptions.MaxClosed);
            metadata.Uploads.Add(tx, upload);
            return true;
        }, cancel).ConfigureAwait(false);
        UploadMeter.OnBegun();
        return (upload, blobs.PlaceFor(upload, host));
    }

    /// <summary>Ends an upload as its device reports. From then on nothing is written to it. Said again, it changes nothing.</summary>
    /// <param name="correlationId">The upload's id.</param>
    /// <param name="host">See <see cref="BeginAsync"/>.</param>
    /// <exception cref="HubException">400: it was a success, and there is no file; 404: the device has no such upload; 429: too many requests; 503: the storage account does not answer.</exception>
    /// <exception cref="MetadataWriteException">It could not be made durable.</exception>
    public async ValueTask EndAsync(Identity device, string generationId, string? correlationId, bool isSuccess, string host, CancellationToken cancel)
    {
        if (string.IsNullOrEmpty(correlationId))
            throw Refusal(HubErrors.ArgumentNull, "correlationId: the upload is not named");

        Take(device);
        var upload = metadata.Read(tx => Require(tx, device, generationId, correlationId));
        if (upload.State != UploadState.Open)
            return;

        FileNotificationRecord? told = null;
        if (isSuccess)
        {
            var file = await blobs.FindAsync(upload, host, cancel).ConfigureAwait(false)
                ?? throw Refusal(HubErrors.ArgumentInvalid, "isSuccess: no file came of this upload; write it before you report it, or report a failure");
            told = notifications.Draft(upload.DeviceId, file);
        }

        var dropped = await metadata.WriteAsync(tx =>
        {
            if (Require(tx, device, generationId, correlationId).State != UploadState.Open)
                return -1;
            metadata.Uploads.SetState(tx, upload.Id, isSuccess ? UploadState.Done : UploadState.Failed);
            return told is null ? 0 : notifications.Add(tx, told);
        }, cancel).ConfigureAwait(false);
        if (dropped < 0)
            return;

        UploadMeter.OnEnded(isSuccess);
        if (told is not null)
            notifications.Added(dropped);
    }

    /// <summary>Uploads of a device that are under way, the earliest end first.</summary>
    public IReadOnlyList<UploadRecord> ListOpen(string deviceId) => metadata.Read(tx => metadata.Uploads.ListOpen(tx, deviceId, time.GetUtcNow(), options.MaxActive));

    /// <summary>Looks after uploads and notifications until it is cancelled; then it returns.</summary>
    /// <param name="builtIn">What is on this hub's own disk, whether or not new files go there.</param>
    /// <exception cref="MetadataWriteException">The metadata store takes no more changes for good.</exception>
    public async Task RunAsync(BuiltInBlobs builtIn, ILogger<FileUploads> logger, CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(UpkeepInterval, time);
        builtIn.Sweep();
        try
        {
            while (await timer.WaitForNextTickAsync(cancel).ConfigureAwait(false))
            {
                try
                {
                    await builtIn.LookAfterAsync().ConfigureAwait(false);
                    await notifications.LookAfterAsync().ConfigureAwait(false);
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

    private UploadRecord Require(MetadataTransaction tx, Identity device, string generationId, string correlationId) =>
        metadata.Uploads.Find(tx, correlationId) is { } upload && upload.DeviceId == device.DeviceId && upload.GenerationId == generationId
            ? upload
            : throw Refusal(HubErrors.NotFound, "the device has no upload of this correlation id, or it is long over");

    // Each request counts as a message of the device, as Azure counts them.
    private void Take(Identity device)
    {
        if (quotas.Of(device).TryTakeTelemetry(1, 0) is { Ticks: > 0 } wait)
        {
            UploadMeter.OnRefused(HubErrors.Throttled.Code);
            throw Quotas.Refusal("messages", wait);
        }
    }

    private static HubException Refusal(HubError error, string message)
    {
        UploadMeter.OnRefused(error.Code);
        return new HubException(error, message);
    }
}
