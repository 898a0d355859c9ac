using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Uploads;

/// <summary>Where a device writes a file, as the SDKs put a URL together: <c>https://{HostName}/{ContainerName}/{BlobName}{SasToken}</c>, some encoding the name and some not.</summary>
/// <param name="HostName">Without scheme; with the port where it is not 443.</param>
/// <param name="BlobName">With the device's id.</param>
/// <param name="SasToken">A secret until its end. Begins with a question mark.</param>
public sealed record BlobPlace(string HostName, string ContainerName, string BlobName, string SasToken)
{
    public override string ToString() => $"{HostName}/{ContainerName}";
}

/// <summary>A file that is there.</summary>
/// <param name="Name">Without the device's id.</param>
/// <param name="Uri">Without any signature.</param>
public sealed record BlobFacts(string Name, Uri Uri, long Bytes, string ContentType, string ETag, DateTimeOffset ModifiedTime);

/// <summary>
/// Where the files of devices are: in this hub's own data directory (<see cref="BuiltInBlobs"/>), or in a storage account. Thread-safe.
/// </summary>
public interface IBlobStore
{
    /// <summary>Makes what a device needs to write the file of an upload, and nothing else, until the upload ends.</summary>
    /// <param name="host">By which the device called the hub, with the port where it named one.</param>
    BlobPlace PlaceFor(UploadRecord upload, string host);

    /// <summary>The file that an upload has led to; null when there is none.</summary>
    /// <exception cref="Protocol.Errors.HubException">503: the storage account does not answer.</exception>
    ValueTask<BlobFacts?> FindAsync(UploadRecord upload, string host, CancellationToken cancel);

    /// <summary>Files of a device in the order of their names, behind <paramref name="after"/>.</summary>
    /// <inheritdoc cref="FindAsync" path="/exception"/>
    ValueTask<IReadOnlyList<BlobFacts>> ListAsync(string deviceId, string? after, int top, string host, CancellationToken cancel);

    /// <summary>A URL that reads one file until then, for whoever has it.</summary>
    /// <param name="name">Without the device's id.</param>
    /// <returns>Null when there is no such file.</returns>
    /// <inheritdoc cref="FindAsync" path="/exception"/>
    ValueTask<Uri?> ReadUriAsync(string deviceId, string name, DateTimeOffset expires, string host, CancellationToken cancel);

    /// <returns>False when there is none.</returns>
    /// <inheritdoc cref="FindAsync" path="/exception"/>
    ValueTask<bool> DeleteAsync(string deviceId, string name, CancellationToken cancel);
}
