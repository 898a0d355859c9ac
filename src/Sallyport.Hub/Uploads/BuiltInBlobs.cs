using System.Buffers;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Blobs;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <summary>A block that a list names.</summary>
/// <param name="Id">Hex.</param>
public readonly record struct ListedBlock(BlockSource Source, string Id);

/// <summary>Where a listed block is looked for.</summary>
public enum BlockSource
{
    /// <summary>Among those that were put since the last commit, else in what is committed.</summary>
    Latest,
    Uncommitted,
    Committed,
}

/// <summary>What else a client says of the file that it makes.</summary>
/// <param name="ContentMd5">16 bytes, kept as it was told; null when it was not.</param>
/// <param name="MustBeNew">If-None-Match: *.</param>
/// <param name="MustBe">If-Match: the ETag, without quotes, of the file that is replaced, or <c>*</c>; null for any or none.</param>
public sealed record BlobHeaders(string ContentType, byte[]? ContentMd5 = null, bool MustBeNew = false, string? MustBe = null);

/// <summary>
/// The files of devices in this hub's data directory: what its blob endpoint does. A body goes to disk as it comes, and is answered for once it
/// is durable; a file appears, or replaces another, when its list is committed, in one step. Its device may write only while its upload is open
/// and it is registered, enabled and in no quarantine: asked at every request, at every piece of a body, and in the step that commits. Thread-safe.
/// </summary>
public sealed partial class BuiltInBlobs : IBlobStore
{
    /// <summary>The first part of the path of every URL that is handed out.</summary>
    public const string ContainerName = "uploads";

    private const int PieceBytes = 64 * 1024;

    private readonly IMetadata _metadata;
    private readonly BlobFiles _files;
    private readonly BlobSignature _signature;
    private readonly IdentityCache _identities;
    private readonly QuarantineLine _quarantine;
    private readonly BodyTurns _turns;
    private readonly BlobRoom _room;
    private readonly UploadOptions _options;
    private readonly TimeProvider _time;

    public BuiltInBlobs(
        IMetadata metadata, BlobFiles files, BlobSignature signature, IdentityCache identities, QuarantineLine quarantine, BodyTurns turns, UploadOptions options, TimeProvider time)
    {
        _metadata = metadata;
        _files = files;
        _signature = signature;
        _identities = identities;
        _quarantine = quarantine;
        _turns = turns;
        _options = options;
        _time = time;
        _room = new BlobRoom(metadata, files, options);

        // What was under way when the hub ended counts from the beginning.
        foreach (var upload in metadata.Read(tx => metadata.Uploads.ListOver(tx, DateTimeOffset.MaxValue, int.MaxValue)).Where(upload => upload.State == UploadState.Open))
            _room.Of(upload);
    }

    internal BlobRoom Room => _room;

    /// <summary>The upload that a signature opens for writing.</summary>
    /// <exception cref="BlobException">403: it is closed, over, its device may not send, or the path is another file's.</exception>
    public OpenUpload Admit(BlobGrant grant, string path)
    {
        if (grant.UploadId is null)
            throw new BlobException(BlobErrors.PermissionMismatch);
        if (_metadata.Read(tx => _metadata.Uploads.Find(tx, grant.UploadId)) is not { State: UploadState.Open } upload || upload.Expires <= _time.GetUtcNow())
            throw new BlobException(BlobErrors.AuthenticationFailed);

        RequireDevice(upload);
        return BlobName.IsSpelled(path, BlobName.Full(upload.DeviceId, upload.BlobName)) ? _room.Of(upload) : throw new BlobException(BlobErrors.ResourceMismatch);
    }

    /// <summary>Puts a block; it is durable when this completes, and in no file until it is committed.</summary>
    /// <param name="blockId">Hex.</param>
    /// <exception cref="BlobException">It is refused.</exception>
    public async Task PutBlockAsync(OpenUpload upload, string blockId, BlobBody body, CancellationToken cancel)
    {
        await ReceiveAsync(upload, body, isBlock: true, writer => writer.KeepAsBlockAsync(upload.Next, blockId), cancel).ConfigureAwait(false);
        UploadMeter.Received(body.Length);
    }

    /// <summary>Puts a whole file in one body.</summary>
    /// <returns>Its ETag, without quotes, and when it was made.</returns>
    /// <exception cref="BlobException">It is refused.</exception>
    public async Task<BlobRecord> PutAsync(OpenUpload upload, BlobBody body, BlobHeaders headers, CancellationToken cancel)
    {
        await upload.Committing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            Require(headers, _metadata.Read(tx => Current(tx, upload)));
            var part = await ReceiveAsync(upload, body, isBlock: false, writer => writer.KeepWholeAsync(upload.Next), cancel).ConfigureAwait(false);
            UploadMeter.Received(body.Length);
            return await CommitAsync(upload, upload.Next(), [part], headers).ConfigureAwait(false);
        }
        finally
        {
            upload.Committing.Release();
        }
    }

    /// <summary>Makes a file of blocks that were put. Whatever else was put is dropped.</summary>
    /// <inheritdoc cref="PutAsync" path="/returns"/>
    /// <exception cref="BlobException">It is refused.</exception>
    public async Task<BlobRecord> CommitAsync(OpenUpload upload, IReadOnlyList<ListedBlock> list, BlobHeaders headers, CancellationToken cancel)
    {
        if (list.Count > UploadOptions.MaxBlocks)
            throw new BlobException(BlobErrors.InvalidBlockList);

        await upload.Committing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            // Before it is looked what there is: what is put from now on is not dropped with the rest.
            var number = upload.Next();
            var parts = Choose(upload, list);
            if (parts.Sum(part => part.Bytes) > _options.MaxFileBytes)
                throw new BlobException(BlobErrors.BodyTooLarge);
            return await CommitAsync(upload, number, parts, headers).ConfigureAwait(false);
        }
        finally
        {
            upload.Committing.Release();
        }
    }

    /// <summary>The file of this name; null when there is none.</summary>
    /// <param name="full">With the id of its device.</param>
    public BlobRecord? Find(string full)
    {
        var slash = full.IndexOf('/', StringComparison.Ordinal);
        return slash < 0 ? null : _metadata.Read(tx => _metadata.Uploads.FindBlob(tx, full[..slash], full[(slash + 1)..]));
    }

    /// <summary>Writes a range of a file into a stream.</summary>
    /// <exception cref="IOException">It was deleted meanwhile, or the disk fails.</exception>
    public Task CopyToAsync(BlobRecord blob, long from, long count, Stream target, CancellationToken cancel)
    {
        var directory = _files.Of(blob.UploadId);
        return directory.CopyToAsync(directory.ReadManifest(blob.Manifest), from, count, target, cancel);
    }

    /// <summary>The ETag of a file, without quotes.</summary>
    public static string ETagOf(BlobRecord blob) => $"0x{blob.Number:X16}";

    private async Task<BlobPart> ReceiveAsync(OpenUpload upload, BlobBody body, bool isBlock, Func<BlobWriter, Task<BlobPart>> keep, CancellationToken cancel)
    {
        using var turn = await _turns.EnterAsync(upload.Record.DeviceId, cancel).ConfigureAwait(false);
        RequireDevice(upload.Record); // It may have waited.
        _room.Take(upload, body.Length, isBlock);
        var isKept = false;
        try
        {
            using var writer = upload.Directory.Write(upload.Next(), body.Length);
            await CopyAsync(upload, body, writer, cancel).ConfigureAwait(false);
            var part = await keep(writer).ConfigureAwait(false);
            isKept = true;
            return part;
        }
        catch (IOException full) when (full is not MetadataWriteException && IsDiskFull(full))
        {
            throw new BlobException(BlobErrors.OutOfRoom);
        }
        finally
        {
            _room.Settle(upload, body.Length, isKept);
        }
    }

    private async Task CopyAsync(OpenUpload upload, BlobBody body, BlobWriter writer, CancellationToken cancel)
    {
        using var digest = new BodyDigest(body);
        var piece = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            for (int count; (count = await body.Content.ReadAsync(piece.AsMemory(0, PieceBytes), cancel).ConfigureAwait(false)) > 0;)
            {
                RequireDevice(upload.Record);
                if (writer.Written + count > body.Length)
                    throw new BlobException(BlobErrors.InvalidHeader);
                digest.Add(piece.AsSpan(0, count));
                await writer.WriteAsync(piece.AsMemory(0, count), cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }

        if (writer.Written != body.Length)
            throw new BlobException(BlobErrors.InvalidHeader);
        digest.Require();
    }

    // Under the upload's own lock.
    private List<BlobPart> Choose(OpenUpload upload, IReadOnlyList<ListedBlock> list)
    {
        var manifest = _metadata.Read(tx => _metadata.Uploads.ManifestOf(tx, upload.Record.Id));
        IReadOnlyList<BlobPart> file = manifest is null ? [] : upload.Directory.ReadManifest(manifest);
        var names = file.Select(part => part.Name).ToHashSet();
        var committed = Newest(file.Where(part => part.BlockId.Length > 0));

        // What a hub that died between committing and cleaning has left was dropped all the same.
        var dropped = manifest is null ? 0 : BlobDirectory.NumberOfManifest(manifest);
        var uncommitted = Newest(upload.Directory.ListBlocks().Where(block => block.Number > dropped && !names.Contains(block.Name)));
        var parts = new List<BlobPart>(list.Count);
        foreach (var (source, id) in list)
        {
            if ((source != BlockSource.Committed && uncommitted.TryGetValue(id, out var part)) || (source != BlockSource.Uncommitted && committed.TryGetValue(id, out part)))
                parts.Add(part);
            else
                throw new BlobException(BlobErrors.InvalidBlockList);
        }

        return parts;
    }

    private static Dictionary<string, BlobPart> Newest(IEnumerable<BlobPart> blocks)
    {
        Dictionary<string, BlobPart> newest = [];
        foreach (var block in blocks)
        {
            if (!newest.TryGetValue(block.BlockId, out var other) || other.Number < block.Number)
                newest[block.BlockId] = block;
        }

        return newest;
    }

    // Under the upload's own lock. Once the metadata says so, the file is there; what comes after it is tidying.
    private async Task<BlobRecord> CommitAsync(OpenUpload upload, long number, IReadOnlyList<BlobPart> parts, BlobHeaders headers)
    {
        var now = _time.GetUtcNow();
        BlobRecord? before;
        BlobRecord made;
        try
        {
            var blob = new BlobRecord(
                0, upload.Record.DeviceId, upload.Record.BlobName, upload.Record.Id, upload.Directory.WriteManifest(number, parts), parts.Sum(part => part.Bytes),
                headers.ContentType, headers.ContentMd5, now);
            (before, made) = await _metadata.WriteAsync(tx =>
            {
                RequireOpen(tx, upload.Record, now);
                var there = Current(tx, upload);
                Require(headers, there);
                return (there, blob with { Number = _metadata.Uploads.PutBlob(tx, blob) });
            }).ConfigureAwait(false);
        }
        catch (MetadataWriteException failed)
        {
            throw new BlobException(failed.IsPermanent ? BlobErrors.InternalError : BlobErrors.OutOfRoom);
        }
        catch (IOException full) when (IsDiskFull(full))
        {
            throw new BlobException(BlobErrors.OutOfRoom);
        }

        Tidy(() => upload.Directory.Clean(made.Manifest, number, isIdle: false));
        _room.Recount(upload, parts);
        if (before is not null && before.UploadId != made.UploadId)
            Clean(before.UploadId);
        UploadMeter.OnCommitted();
        return made;
    }

    private BlobRecord? Current(MetadataTransaction tx, OpenUpload upload) => _metadata.Uploads.FindBlob(tx, upload.Record.DeviceId, upload.Record.BlobName);

    private static void Require(BlobHeaders headers, BlobRecord? there)
    {
        if (headers.MustBeNew && there is not null)
            throw new BlobException(BlobErrors.AlreadyExists);
        if (headers.MustBe is { } wanted && (there is null || (wanted != "*" && wanted != ETagOf(there))))
            throw new BlobException(BlobErrors.ConditionNotMet);
    }

    private void RequireDevice(UploadRecord upload)
    {
        if (_identities.Find(Identity.Of(upload.DeviceId)) is not { Enabled: true } known || known.GenerationId != upload.GenerationId || _quarantine.Holds(upload.DeviceId))
            throw new BlobException(BlobErrors.AuthenticationFailed);
    }

    private void RequireOpen(MetadataTransaction tx, UploadRecord upload, DateTimeOffset now)
    {
        if (_metadata.Uploads.Find(tx, upload.Id) is not { State: UploadState.Open } found || found.Expires <= now
            || _metadata.Identities.Find(tx, upload.DeviceId, null) is not { Enabled: true } device || device.GenerationId != upload.GenerationId || _quarantine.Holds(upload.DeviceId))
            throw new BlobException(BlobErrors.AuthenticationFailed);
    }

    // What cannot be tidied now is there for the next look, or the next start.
    private static void Tidy(Action act)
    {
        try
        {
            act();
        }
        catch (Exception failed) when (failed is IOException or UnauthorizedAccessException)
        {
            UploadMeter.OnUntidied();
        }
    }

    // ENOSPC and EDQUOT.
    private static bool IsDiskFull(IOException failed) => failed.HResult is 28 or 122;
}
