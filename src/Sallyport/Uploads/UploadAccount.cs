using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Errors;
using Sallyport.Services.Blobs;
using Sallyport.Services.Outgoing;
using Sallyport.Settings;
using Sallyport.Storage.Metadata;
using Sallyport.Up;

namespace Sallyport.Uploads;

/// <summary>Binds the hub's port for files of devices to a container of a storage account. Thread-safe.</summary>
internal sealed class UploadAccount(UploadContainer container) : IBlobStore, IDisposable
{
    private const int MaxConnectionStringBytes = 16 * 1024;

    /// <summary>The account that the settings name; null when they name none.</summary>
    /// <exception cref="CannotStartException">Its file cannot be read, or holds no connection string; does not repeat it.</exception>
    public static UploadAccount? Open(HubSettings settings, OutgoingOptions outgoing)
    {
        if (settings.UploadAccount.ConnectionStringFile is not { } path)
            return null;

        try
        {
            if (new FileInfo(path).Length > MaxConnectionStringBytes)
                throw new FormatException("it is too large for a connection string");
            return new UploadAccount(new UploadContainer(File.ReadAllText(path).Trim(), settings.UploadAccount.Container, outgoing));
        }
        catch (Exception wrong) when (wrong is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new CannotStartException($"The storage account of Uploads:AccountConnectionStringFile cannot be used: '{path}': {wrong.Message.TrimEnd('.')}.");
        }
    }

    public BlobPlace PlaceFor(UploadRecord upload, string host) =>
        new(container.HostName, container.Name, BlobName.Full(upload.DeviceId, upload.BlobName), container.SignForWriting(BlobName.Full(upload.DeviceId, upload.BlobName), upload.Expires));

    public async ValueTask<BlobFacts?> FindAsync(UploadRecord upload, string host, CancellationToken cancel) =>
        await AskAsync(container.FindAsync(BlobName.Full(upload.DeviceId, upload.BlobName), cancel)).ConfigureAwait(false) is { } blob ? Facts(upload.DeviceId, blob) : null;

    public async ValueTask<IReadOnlyList<BlobFacts>> ListAsync(string deviceId, string? after, int top, string host, CancellationToken cancel)
    {
        var found = await AskAsync(container.ListAsync(deviceId + "/", after is null ? null : BlobName.Full(deviceId, after), top, cancel)).ConfigureAwait(false);
        return [.. found.Select(blob => Facts(deviceId, blob))];
    }

    public async ValueTask<Uri?> ReadUriAsync(string deviceId, string name, DateTimeOffset expires, string host, CancellationToken cancel)
    {
        var full = BlobName.Full(deviceId, name);
        return await AskAsync(container.FindAsync(full, cancel)).ConfigureAwait(false) is null ? null : container.SignForReading(full, expires);
    }

    public async ValueTask<bool> DeleteAsync(string deviceId, string name, CancellationToken cancel) =>
        await AskAsync(container.DeleteAsync(BlobName.Full(deviceId, name), cancel)).ConfigureAwait(false);

    public void Dispose() => container.Dispose();

    private static BlobFacts Facts(string deviceId, ContainedBlob blob) =>
        new(blob.Name[(deviceId.Length + 1)..], blob.Uri, blob.Bytes, blob.ContentType, blob.ETag.Trim('"'), blob.ModifiedTime);

    private static async Task<T> AskAsync<T>(Task<T> asked)
    {
        try
        {
            return await asked.ConfigureAwait(false);
        }
        catch (IOException failed)
        {
            throw new HubException(HubErrors.ServiceUnavailable, failed.Message);
        }
    }
}
