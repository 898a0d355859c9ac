using Sallyport.Storage.Blobs;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <summary>An upload that is under way, as far as the disk goes. Its counts are the <see cref="BlobRoom"/>'s.</summary>
public sealed class OpenUpload(UploadRecord record, BlobDirectory directory, long number)
{
    private long _number = number;

    public UploadRecord Record { get; } = record;

    internal BlobDirectory Directory { get; } = directory;

    /// <summary>Held over a commit: one after the other.</summary>
    internal SemaphoreSlim Committing { get; } = new(1);

    /// <summary>Under the room's lock.</summary>
    internal long KeptBytes { get; set; }

    /// <inheritdoc cref="KeptBytes"/>
    internal long ComingBytes { get; set; }

    /// <inheritdoc cref="KeptBytes"/>
    internal int Blocks { get; set; }

    /// <summary>Bodies that are being written. Under the room's lock.</summary>
    internal int Bodies { get; set; }

    /// <summary>A number that nothing in the directory has.</summary>
    internal long Next() => Interlocked.Increment(ref _number);
}

/// <summary>
/// How much of the disk uploads take, under way (in memory) and done (in the metadata), against what they may. Bytes are taken before a body is
/// read, so that no body is read that would not fit. Thread-safe.
/// </summary>
internal sealed class BlobRoom(IMetadata metadata, BlobFiles files, UploadOptions options)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, OpenUpload> _open = []; // under the gate
    private readonly Dictionary<string, long> _devices = new(StringComparer.Ordinal); // under the gate
    private long _all; // under the gate

    /// <summary>Bytes of all that is under way; for tests.</summary>
    internal long Bytes
    {
        get
        {
            lock (_gate)
                return _all;
        }
    }

    /// <summary>Those that are under way and have something on the disk, or had it.</summary>
    public IReadOnlyList<OpenUpload> List()
    {
        lock (_gate)
            return [.. _open.Values];
    }

    public OpenUpload Of(UploadRecord record)
    {
        lock (_gate)
        {
            if (_open.TryGetValue(record.Id, out var known))
                return known;
        }

        var directory = files.Of(record.Id);
        var (number, blocks, bytes) = directory.Survey();
        var file = Distinct(FileOf(record, directory));
        lock (_gate)
        {
            if (_open.TryGetValue(record.Id, out var known))
                return known;
            var open = new OpenUpload(record, directory, number) { Blocks = Math.Max(0, blocks - file.Count) };
            _open.Add(record.Id, open);
            Count(open, kept: Math.Max(0, bytes - file.Sum(part => part.Bytes)), coming: 0);
            return open;
        }
    }

    /// <summary>Takes room for a body.</summary>
    /// <exception cref="BlobException">413 the file would be too large, 409 there are too many blocks, 507 there is no room.</exception>
    public void Take(OpenUpload upload, long bytes, bool isBlock)
    {
        if (bytes > options.MaxFileBytes)
            throw new BlobException(BlobErrors.BodyTooLarge);

        var device = upload.Record.DeviceId;
        var (own, all) = metadata.Read(tx => (Used(metadata.Uploads.Use(tx, device)), Used(metadata.Uploads.Use(tx, null))));
        var free = files.FreeBytes();
        lock (_gate)
        {
            // What was put twice counts twice until it is committed: a client that repeats itself has as much again.
            if (upload.KeptBytes + upload.ComingBytes + bytes > 2 * options.MaxFileBytes)
                throw new BlobException(BlobErrors.BodyTooLarge);
            if (isBlock && upload.Blocks >= UploadOptions.MaxBlocks)
                throw new BlobException(BlobErrors.TooManyBlocks);
            var taken = bytes + UploadOptions.OverheadBytes;
            if (own + _devices.GetValueOrDefault(device) + taken > options.MaxDeviceBytes || all + _all + taken > options.MaxBytes || free - taken < options.ReserveBytes)
                throw new BlobException(BlobErrors.OutOfRoom);

            upload.Blocks++;
            upload.Bodies++;
            Count(upload, upload.KeptBytes, upload.ComingBytes + bytes);
        }
    }

    /// <summary>A body for which room was taken is there, or will not come.</summary>
    public void Settle(OpenUpload upload, long bytes, bool isKept)
    {
        lock (_gate)
        {
            upload.Bodies--;
            if (!isKept)
                upload.Blocks--;
            if (_open.ContainsKey(upload.Record.Id))
                Count(upload, upload.KeptBytes + (isKept ? bytes : 0), upload.ComingBytes - bytes);
        }
    }

    /// <summary>What is in the directory was committed, or cleaned away: what is left of it is counted anew.</summary>
    /// <param name="committed">Parts of it that are a file now, with their bytes: they count as that.</param>
    public void Recount(OpenUpload upload, IReadOnlyList<BlobPart> committed)
    {
        var (_, blocks, bytes) = upload.Directory.Survey();
        var own = Distinct(committed);
        lock (_gate)
        {
            if (!_open.ContainsKey(upload.Record.Id))
                return;
            upload.Blocks = Math.Max(0, blocks - own.Count) + upload.Bodies;
            Count(upload, Math.Max(0, bytes - own.Sum(part => part.Bytes)), upload.ComingBytes);
        }
    }

    /// <summary>Forgets an upload that is over.</summary>
    /// <returns>False while a body of it is being written.</returns>
    public bool TryForget(OpenUpload upload)
    {
        lock (_gate)
        {
            if (upload.Bodies > 0)
                return false;
            Count(upload, 0, 0);
            _open.Remove(upload.Record.Id);
            return true;
        }
    }

    private IReadOnlyList<BlobPart> FileOf(UploadRecord record, BlobDirectory directory)
    {
        try
        {
            return metadata.Read(tx => metadata.Uploads.ManifestOf(tx, record.Id)) is { } manifest ? directory.ReadManifest(manifest) : [];
        }
        catch (IOException)
        {
            return []; // One damaged file keeps nobody from starting or uploading; whoever reads it is told.
        }
    }

    // A list may name a block more than once.
    private static List<BlobPart> Distinct(IReadOnlyList<BlobPart> parts) => [.. parts.DistinctBy(part => part.Name)];

    private static long Used((long Blobs, long Bytes) use) => use.Bytes + (use.Blobs * UploadOptions.OverheadBytes);

    // Under the gate.
    private void Count(OpenUpload upload, long kept, long coming)
    {
        var more = kept + coming - upload.KeptBytes - upload.ComingBytes;
        (upload.KeptBytes, upload.ComingBytes) = (kept, coming);
        _all += more;
        var device = _devices.GetValueOrDefault(upload.Record.DeviceId) + more;
        if (device == 0)
            _devices.Remove(upload.Record.DeviceId);
        else
            _devices[upload.Record.DeviceId] = device;
    }
}
