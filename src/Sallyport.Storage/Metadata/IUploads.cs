namespace Sallyport.Storage.Metadata;

/// <summary>Uploads that were handed out, and the files that came of them.</summary>
public interface IUploadStore
{
    void Add(MetadataTransaction tx, UploadRecord record);

    UploadRecord? Find(MetadataTransaction tx, string id);

    /// <summary>How many of a device are open and end behind <paramref name="now"/>.</summary>
    int CountOpen(MetadataTransaction tx, string deviceId, string generationId, DateTimeOffset now);

    /// <summary>Those of a device that are open and end behind <paramref name="now"/>, the earliest end first.</summary>
    IReadOnlyList<UploadRecord> ListOpen(MetadataTransaction tx, string deviceId, DateTimeOffset now, int top);

    /// <summary>Those that end at <paramref name="now"/> or before.</summary>
    IReadOnlyList<UploadRecord> ListOver(MetadataTransaction tx, DateTimeOffset now, int top);

    void SetState(MetadataTransaction tx, string id, UploadState state);

    /// <summary>Deletes the oldest that are closed of a device, beyond so many.</summary>
    void TrimClosed(MetadataTransaction tx, string deviceId, int keep);

    bool Delete(MetadataTransaction tx, string id);

    /// <summary>Puts a file in the place of the one of this device and name, if there is one.</summary>
    /// <param name="record">Its number is given by the store.</param>
    /// <returns>Its number, which grows with every file and is never given twice.</returns>
    long PutBlob(MetadataTransaction tx, BlobRecord record);

    BlobRecord? FindBlob(MetadataTransaction tx, string deviceId, string blobName);

    /// <summary>Of a device, in the ordinal order of their names, behind <paramref name="after"/>.</summary>
    IReadOnlyList<BlobRecord> ListBlobs(MetadataTransaction tx, string deviceId, string? after, int top);

    /// <summary>The manifest of the file that came of an upload and is still there; null when there is none.</summary>
    string? ManifestOf(MetadataTransaction tx, string uploadId);

    bool DeleteBlob(MetadataTransaction tx, string deviceId, string blobName);

    /// <summary>How many files there are and how large they are together.</summary>
    /// <param name="deviceId">Of this device; null for all.</param>
    (long Blobs, long Bytes) Use(MetadataTransaction tx, string? deviceId);
}

/// <summary>One hand-out: its device may write one file until then. Its id is no secret.</summary>
/// <param name="Id">32 hex digits; what SDKs call the correlation id.</param>
/// <param name="GenerationId">Of the device when it asked: a later one of the same name does not go on with it.</param>
/// <param name="BlobName">Without the id of the device.</param>
public sealed record UploadRecord(
    string Id, string DeviceId, string GenerationId, string BlobName, DateTimeOffset CreatedTime, DateTimeOffset Expires, UploadState State = UploadState.Open);

/// <summary>What the device has told of its upload. Numbers are stored: frozen.</summary>
public enum UploadState : byte
{
    Open = 0,
    Done = 1,
    Failed = 2,
}

/// <summary>A file that a device uploaded.</summary>
/// <param name="Number">Of this version; 0 before it is stored.</param>
/// <param name="BlobName">Without the id of the device.</param>
/// <param name="UploadId">In whose directory it is.</param>
/// <param name="Manifest">The file there that says what it is made of.</param>
/// <param name="ContentMd5">16 bytes; null when nobody told.</param>
public sealed record BlobRecord(
    long Number, string DeviceId, string BlobName, string UploadId, string Manifest, long Bytes, string ContentType, byte[]? ContentMd5, DateTimeOffset ModifiedTime);

/// <summary>What services are told of uploads that are done.</summary>
public interface IFileNotificationStore
{
    /// <summary>Adds one; at the bound the oldest goes.</summary>
    /// <param name="record">Its sequence is given by the store.</param>
    /// <param name="max">How many are kept.</param>
    /// <returns>How many went.</returns>
    int Add(MetadataTransaction tx, FileNotificationRecord record, int max);

    /// <summary>Those behind another, the oldest first.</summary>
    IReadOnlyList<FileNotificationRecord> List(MetadataTransaction tx, long after, int top);

    FileNotificationRecord? Find(MetadataTransaction tx, long sequence);

    /// <summary>Whether any ends at <paramref name="now"/> or before.</summary>
    bool AnyOver(MetadataTransaction tx, DateTimeOffset now);

    /// <summary>Deletes those that end at <paramref name="now"/> or before.</summary>
    /// <returns>How many there were.</returns>
    int DeleteOver(MetadataTransaction tx, DateTimeOffset now);

    void SetDeliveryCount(MetadataTransaction tx, long sequence, int deliveryCount);

    bool Delete(MetadataTransaction tx, long sequence);
}

/// <param name="Sequence">Grows and is never given twice; 0 before it is stored.</param>
/// <param name="BlobName">With the id of the device in front, as services know it.</param>
/// <param name="DeliveryCount">How often it was abandoned.</param>
public sealed record FileNotificationRecord(
    long Sequence, string DeviceId, string BlobName, string BlobUri, long Bytes, DateTimeOffset ModifiedTime, DateTimeOffset EnqueuedTime, DateTimeOffset Expires, int DeliveryCount);
