using Azure;
using Azure.Core.Pipeline;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Sas;
using Sallyport.Services.Outgoing;

namespace Sallyport.Services.Blobs;

/// <summary>A blob of the container.</summary>
/// <param name="Name">As the account has it.</param>
/// <param name="Uri">Without any signature.</param>
public sealed record ContainedBlob(string Name, Uri Uri, long Bytes, string ContentType, string ETag, DateTimeOffset ModifiedTime);

/// <summary>
/// One container of an Azure-compatible storage account, to which devices upload: signs URIs with the account's key, and asks what is there.
/// Connects by the rules of outgoing connections. Thread-safe.
/// </summary>
public sealed class UploadContainer : IDisposable
{
    // For one try of one request; there are three.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly SocketsHttpHandler _handler;
    private readonly HttpClient _http;
    private readonly BlobContainerClient _container;

    /// <param name="connectionString">With the account's key. Kept in memory only.</param>
    /// <exception cref="FormatException">It is no connection string of an account with its key, it is one without TLS that may not be, or the name is none of a container; does not repeat it.</exception>
    public UploadContainer(string connectionString, string container, OutgoingOptions outgoing)
    {
        _handler = OutgoingHttps.Handler(outgoing);
        _handler.PooledConnectionLifetime = TimeSpan.FromMinutes(1); // The name is resolved, and checked, again after it.
        _http = new HttpClient(_handler) { Timeout = System.Threading.Timeout.InfiniteTimeSpan };
        var options = new BlobClientOptions(BlobClientOptions.ServiceVersion.V2021_12_02) { Transport = new HttpClientTransport(_http) };
        options.Retry.MaxRetries = 2;
        options.Retry.NetworkTimeout = Timeout;
        options.Diagnostics.IsLoggingEnabled = false; // URIs with signatures are in it.
        options.Diagnostics.IsDistributedTracingEnabled = false;
        try
        {
            _container = new BlobContainerClient(connectionString, container, options);
        }
        catch (Exception wrong) when (wrong is FormatException or ArgumentException or InvalidOperationException)
        {
            throw new FormatException("it is no connection string of a storage account");
        }

        if (!_container.CanGenerateSasUri)
            throw new FormatException("it holds no key of the account, which signing needs");
        if (_container.Uri.Scheme != Uri.UriSchemeHttps && !(outgoing.AllowLoopback && OutgoingAddresses.IsLoopbackName(_container.Uri.Host)))
            throw new FormatException("the account is reached without TLS");

        var path = _container.Uri.AbsolutePath.Trim('/').Split('/');
        HostName = string.Join('/', [_container.Uri.Authority, .. path[..^1]]);
    }

    /// <summary>What comes before the container's name in a URL, without the scheme: host, port where it is not 443, the account where the host does not name it.</summary>
    public string HostName { get; }

    public string Name => _container.Name;

    /// <summary>A signature for creating and writing one blob, with its question mark; a secret until its end.</summary>
    public string SignForWriting(string blobName, DateTimeOffset expires) => Sign(blobName, BlobSasPermissions.Create | BlobSasPermissions.Write, expires).Query;

    /// <summary>A URL that reads one blob; a secret until its end.</summary>
    public Uri SignForReading(string blobName, DateTimeOffset expires) => Sign(blobName, BlobSasPermissions.Read, expires);

    /// <summary>The blob of this name; null when there is none.</summary>
    /// <exception cref="IOException">The account does not answer, or refuses; says why, without any secret.</exception>
    public Task<ContainedBlob?> FindAsync(string blobName, CancellationToken cancel) => AskAsync<ContainedBlob?>(async () =>
    {
        var blob = _container.GetBlobClient(blobName);
        var found = (await blob.GetPropertiesAsync(cancellationToken: cancel).ConfigureAwait(false)).Value;
        return new ContainedBlob(blobName, blob.Uri, found.ContentLength, found.ContentType, found.ETag.ToString(), found.LastModified);
    }, null);

    /// <summary>Blobs whose names begin so, in the order of their names, behind <paramref name="after"/>. The account lists from the first one: what is far behind costs.</summary>
    /// <inheritdoc cref="FindAsync" path="/exception"/>
    public Task<IReadOnlyList<ContainedBlob>> ListAsync(string prefix, string? after, int top, CancellationToken cancel) => AskAsync<IReadOnlyList<ContainedBlob>>(async () =>
    {
        var list = new List<ContainedBlob>();
        await foreach (var blob in _container.GetBlobsAsync(BlobTraits.None, BlobStates.None, prefix, cancel).ConfigureAwait(false))
        {
            if (after is not null && string.CompareOrdinal(blob.Name, after) <= 0)
                continue;

            list.Add(new ContainedBlob(
                blob.Name, _container.GetBlobClient(blob.Name).Uri, blob.Properties.ContentLength ?? 0, blob.Properties.ContentType, blob.Properties.ETag?.ToString() ?? "",
                blob.Properties.LastModified ?? default));
            if (list.Count == top)
                break;
        }

        return list;
    }, []);

    /// <returns>False when there is none.</returns>
    /// <inheritdoc cref="FindAsync" path="/exception"/>
    public Task<bool> DeleteAsync(string blobName, CancellationToken cancel) => AskAsync(async () =>
        (await _container.GetBlobClient(blobName).DeleteIfExistsAsync(cancellationToken: cancel).ConfigureAwait(false)).Value, false);

    public void Dispose()
    {
        _http.Dispose();
        _handler.Dispose();
    }

    public override string ToString() => $"{HostName}/{Name}";

    private Uri Sign(string blobName, BlobSasPermissions permissions, DateTimeOffset expires) => _container.GetBlobClient(blobName).GenerateSasUri(
        new BlobSasBuilder(permissions, expires) { BlobContainerName = Name, BlobName = blobName, Resource = "b", Protocol = _container.Uri.Scheme == Uri.UriSchemeHttps ? SasProtocol.Https : SasProtocol.HttpsAndHttp });

    private async Task<T> AskAsync<T>(Func<Task<T>> ask, T missing)
    {
        try
        {
            return await ask().ConfigureAwait(false);
        }
        catch (RequestFailedException none) when (none.Status == 404 && none.ErrorCode != BlobErrorCode.ContainerNotFound)
        {
            return missing;
        }
        catch (RequestFailedException refused) when (refused.Status > 0)
        {
            throw new IOException($"the storage account {HostName} answered {refused.Status} {refused.ErrorCode}");
        }
        catch (Exception failed) when (failed is RequestFailedException or AggregateException or HttpRequestException or TargetException)
        {
            throw new IOException($"the storage account {HostName} cannot be reached: {Innermost(failed).Message}");
        }
    }

    private static Exception Innermost(Exception failed)
    {
        while (failed is not TargetException && failed.InnerException is { } inner)
            failed = inner;
        return failed;
    }
}
