using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

/// <summary>A file notification that was taken, and is this receiver's until its lock ends.</summary>
/// <param name="Notification"><c>deviceId, blobUri, blobName, lastUpdatedTime, blobSizeInBytes, enqueuedTimeUtc</c>.</param>
/// <param name="LockToken">Settles it.</param>
public sealed record FileNotification(JsonObject Notification, string LockToken);

// Files of devices: writing one in the place of a device, and reading it.
public sealed partial class ServiceClient
{
    private const int BlockBytes = 4 * 1024 * 1024;
    private const int PieceBytes = 64 * 1024;
    private const string NotificationsPath = "messages/serviceBound/filenotifications";

    /// <summary>Uploads a file in the place of a device, as its SDK does: asks for a URL, writes blocks, reports. Needs the right to connect as it.</summary>
    /// <param name="blobName">Without the device's id.</param>
    /// <param name="written">Told after each block how many bytes are there; null when nobody asks.</param>
    /// <returns>The file's name with the device's id, and its size.</returns>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<JsonObject> UploadFileAsync(
        string deviceId, string blobName, Stream content, string contentType, Action<long>? written = null, CancellationToken cancel = default)
    {
        var files = $"devices/{Uri.EscapeDataString(deviceId)}/files";
        var place = (await SendAsync(HttpMethod.Post, files, new JsonObject { ["blobName"] = blobName }, cancel: cancel).ConfigureAwait(false))!;
        string Of(string name) => place[name]!.GetValue<string>();
        var end = new JsonObject { ["correlationId"] = Of("correlationId"), ["isSuccess"] = false, ["statusCode"] = -1, ["statusDescription"] = "" };
        long bytes;
        try
        {
            bytes = await WriteAsync($"https://{Of("hostName")}/{Of("containerName")}/{Uri.EscapeDataString(Of("blobName"))}{Of("sasToken")}", content, contentType, written, cancel).ConfigureAwait(false);
        }
        catch (Exception failed) when (failed is ServiceException or HttpRequestException or IOException or TimeoutException)
        {
            try
            {
                await SendAsync(HttpMethod.Post, $"{files}/notifications", end, cancel: cancel).ConfigureAwait(false); // Its slot is free again.
            }
            catch (Exception also) when (also is ServiceException or HttpRequestException or IOException or TimeoutException)
            {
                // What failed first says more.
                throw failed;
            }

            throw;
        }

        end["isSuccess"] = true;
        end["statusCode"] = 201;
        await SendAsync(HttpMethod.Post, $"{files}/notifications", end, cancel: cancel).ConfigureAwait(false);
        return new JsonObject { ["deviceId"] = deviceId, ["blobName"] = $"{deviceId}/{blobName}", ["sizeBytes"] = bytes };
    }

    /// <summary>Reads a file of a device into a stream.</summary>
    /// <param name="blobName">With or without the device's id in front.</param>
    /// <returns>How many bytes there were.</returns>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<long> DownloadFileAsync(string deviceId, string blobName, Stream target, CancellationToken cancel = default)
    {
        var read = await SendAsync(
            HttpMethod.Post, $"manage/v1/devices/{Uri.EscapeDataString(deviceId)}/files/read", new JsonObject { ["blobName"] = blobName }, cancel: cancel).ConfigureAwait(false);
        using var http = ClientFor(new Uri(read!["uri"]!.GetValue<string>()), out var client);
        using var response = await client.GetAsync(new Uri(read["uri"]!.GetValue<string>()), HttpCompletionOption.ResponseHeadersRead, cancel).ConfigureAwait(false);
        ThrowOnBlobError(response);
        var source = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        await using var _ = source.ConfigureAwait(false);
        var piece = new byte[PieceBytes];
        var bytes = 0L;
        for (int count; (count = await source.ReadAsync(piece, cancel).ConfigureAwait(false)) > 0; bytes += count)
            await target.WriteAsync(piece.AsMemory(0, count), cancel).ConfigureAwait(false);
        return response.Content.Headers.ContentLength is { } announced && announced != bytes ? throw new IOException("the file ended before its end") : bytes;
    }

    /// <summary>Takes the next file notification, which is then this receiver's for a minute; null when there is none.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<FileNotification?> ReceiveFileNotificationAsync(CancellationToken cancel = default)
    {
        var (answer, headers) = await ExchangeAsync(() => Request(HttpMethod.Get, NotificationsPath, null, null), _timeout, cancel).ConfigureAwait(false);
        return answer is JsonObject notification && headers.ETag is { } tag ? new FileNotification(notification, tag.Tag.Trim('"')) : null;
    }

    /// <summary>The notification is dealt with.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public Task CompleteFileNotificationAsync(FileNotification notification, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, $"{NotificationsPath}/{notification.LockToken}", cancel: cancel);

    private async Task<long> WriteAsync(string uri, Stream content, string contentType, Action<long>? written, CancellationToken cancel)
    {
        using var http = ClientFor(new Uri(uri), out var client);
        var list = new StringBuilder("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        var block = new byte[BlockBytes];
        var bytes = 0L;
        for (var number = 0; ; number++)
        {
            var count = await content.ReadAtLeastAsync(block, block.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false);
            if (count == 0)
                break;

            var id = Convert.ToBase64String(Encoding.ASCII.GetBytes(number.ToString("D8", CultureInfo.InvariantCulture)));
            list.Append(CultureInfo.InvariantCulture, $"<Latest>{id}</Latest>");
            await PutAsync(client, $"{uri}&comp=block&blockid={Uri.EscapeDataString(id)}", new ByteArrayContent(block, 0, count), null, cancel).ConfigureAwait(false);
            bytes += count;
            written?.Invoke(bytes);
        }

        await PutAsync(client, $"{uri}&comp=blocklist", new ByteArrayContent(Encoding.ASCII.GetBytes(list.Append("</BlockList>").ToString())), contentType, cancel).ConfigureAwait(false);
        return bytes;
    }

    private static async Task PutAsync(HttpClient client, string uri, HttpContent content, string? contentType, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri(uri)) { Content = content };
        request.Headers.Add("x-ms-version", "2020-10-02");
        if (contentType is not null)
            request.Headers.TryAddWithoutValidation("x-ms-blob-content-type", contentType);
        using var response = await client.SendAsync(request, cancel).ConfigureAwait(false);
        ThrowOnBlobError(response);
    }

    // The hub's own endpoint is reached and verified as the hub is; a storage account as any other site.
    private HttpClient? ClientFor(Uri uri, out HttpClient client)
    {
        if (uri.Host.Equals(HostName, StringComparison.OrdinalIgnoreCase) && uri.Port == _http.BaseAddress!.Port)
        {
            client = _http;
            return null;
        }

        return client = new HttpClient();
    }

    private static void ThrowOnBlobError(HttpResponseMessage response)
    {
        if (response.IsSuccessStatusCode)
            return;

        var code = response.Headers.TryGetValues("x-ms-error-code", out var codes) ? codes.First() : "";
        throw new ServiceException(response.StatusCode, code, $"the blob endpoint answered {(int)response.StatusCode} {code}".TrimEnd());
    }
}
