using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <content>What the hub and its operators ask of it, and what is tidied up without anybody asking.</content>
public sealed partial class BuiltInBlobs
{
    private const int OverPerWrite = 100;

    public BlobPlace PlaceFor(UploadRecord upload, string host) => new(host, ContainerName, BlobName.ForAnyUrl(BlobName.Full(upload.DeviceId, upload.BlobName)), _signature.ForUpload(upload.Id, upload.Expires));

    public ValueTask<BlobFacts?> FindAsync(UploadRecord upload, string host, CancellationToken cancel)
    {
        // One of the same name that another upload wrote is not what this one has led to.
        var blob = _metadata.Read(tx => _metadata.Uploads.FindBlob(tx, upload.DeviceId, upload.BlobName));
        return new(blob?.UploadId == upload.Id ? Facts(blob, host) : null);
    }

    public ValueTask<IReadOnlyList<BlobFacts>> ListAsync(string deviceId, string? after, int top, string host, CancellationToken cancel) =>
        new([.. _metadata.Read(tx => _metadata.Uploads.ListBlobs(tx, deviceId, after, top)).Select(blob => Facts(blob, host))]);

    public ValueTask<Uri?> ReadUriAsync(string deviceId, string name, DateTimeOffset expires, string host, CancellationToken cancel)
    {
        if (_metadata.Read(tx => _metadata.Uploads.FindBlob(tx, deviceId, name)) is not { } blob)
            return new((Uri?)null);

        return new(new Uri(UriOf(blob, host) + _signature.ForReading(BlobName.Full(deviceId, name), expires)));
    }

    public async ValueTask<bool> DeleteAsync(string deviceId, string name, CancellationToken cancel)
    {
        var gone = await _metadata.WriteAsync(tx =>
        {
            var blob = _metadata.Uploads.FindBlob(tx, deviceId, name);
            _metadata.Uploads.DeleteBlob(tx, deviceId, name);
            return blob;
        }, cancel).ConfigureAwait(false);
        if (gone is null)
            return false;

        Clean(gone.UploadId);
        return true;
    }

    /// <summary>Ends uploads whose time is over, and cleans up behind those that are closed.</summary>
    /// <exception cref="MetadataWriteException">It could not be made durable; it is due still.</exception>
    internal async ValueTask LookAfterAsync()
    {
        foreach (var open in _room.List())
        {
            if (_metadata.Read(tx => _metadata.Uploads.Find(tx, open.Record.Id)) is { State: UploadState.Open } record && record.Expires > _time.GetUtcNow())
                continue;
            if (_room.TryForget(open))
                CleanDirectory(open.Record.Id);
        }

        for (var more = true; more;)
        {
            var over = _metadata.Read(tx => _metadata.Uploads.ListOver(tx, _time.GetUtcNow(), OverPerWrite));
            more = over.Count == OverPerWrite;
            if (over.Count == 0)
                return;

            await _metadata.WriteAsync(tx => over.Count(upload => _metadata.Uploads.Delete(tx, upload.Id))).ConfigureAwait(false);
        }
    }

    /// <summary>Cleans up what a hub that died has left: directories, or parts in them, that belong to nothing. Reads the names of all directories.</summary>
    internal void Sweep()
    {
        var open = _room.List().Select(one => one.Record.Id).ToHashSet();
        foreach (var id in _files.List())
        {
            if (!open.Contains(id) && _metadata.Read(tx => _metadata.Uploads.Find(tx, id)) is not { State: UploadState.Open })
                CleanDirectory(id);
        }
    }

    // A file was deleted or replaced. An upload that is under way keeps what was put for it until it is closed.
    private void Clean(string uploadId)
    {
        if (_metadata.Read(tx => _metadata.Uploads.Find(tx, uploadId)) is { State: UploadState.Open } open)
            _room.Recount(_room.Of(open), []);
        else
            CleanDirectory(uploadId);
    }

    private void CleanDirectory(string uploadId) =>
        Tidy(() => _files.Of(uploadId).Clean(_metadata.Read(tx => _metadata.Uploads.ManifestOf(tx, uploadId)), long.MaxValue, isIdle: true));

    private static BlobFacts Facts(BlobRecord blob, string host) => new(blob.BlobName, new Uri(UriOf(blob, host)), blob.Bytes, blob.ContentType, ETagOf(blob), blob.ModifiedTime);

    private static string UriOf(BlobRecord blob, string host) => $"https://{host}/{ContainerName}/{BlobName.Escape(BlobName.Full(blob.DeviceId, blob.BlobName))}";
}
