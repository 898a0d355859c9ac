using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Uploads;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>What the blob endpoint reads from headers and writes into them, as Azure Storage has them.</summary>
internal static class BlobAnswers
{
    /// <summary>Sent back when the client named none.</summary>
    private const string Version = "2020-10-02";

    private const int MaxClientRequestIdLength = 1024;

    /// <summary>Headers of every answer.</summary>
    public static void Prepare(HttpContext context)
    {
        var (asked, answer) = (context.Request.Headers, context.Response.Headers);
        var version = asked["x-ms-version"].ToString();
        answer["x-ms-version"] = DateOnly.TryParseExact(version, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _) ? version : Version;
        var id = asked["x-ms-client-request-id"].ToString();
        if (id.Length is > 0 and <= MaxClientRequestIdLength && id.All(c => c is > ' ' and <= '~'))
            answer["x-ms-client-request-id"] = id;
    }

    /// <summary>201 to a body that was put.</summary>
    public static void Created(HttpContext context, BlobBody body)
    {
        context.Response.StatusCode = StatusCodes.Status201Created;
        context.Response.Headers["x-ms-request-server-encrypted"] = "false";
        if (body.Md5 is not null)
            context.Response.Headers["Content-MD5"] = Convert.ToBase64String(body.Md5);
        if (body.Crc64 is not null)
            context.Response.Headers["x-ms-content-crc64"] = Convert.ToBase64String(body.Crc64);
    }

    /// <summary>What identifies a version of a file.</summary>
    public static void Identify(HttpContext context, BlobRecord blob)
    {
        context.Response.Headers.ETag = $"\"{BuiltInBlobs.ETagOf(blob)}\"";
        context.Response.Headers.LastModified = blob.ModifiedTime.UtcDateTime.ToString("R", CultureInfo.InvariantCulture);
    }

    /// <summary>What Get Blob and Get Blob Properties say of a file besides its bytes.</summary>
    public static void Describe(HttpContext context, BlobRecord blob)
    {
        Identify(context, blob);
        var headers = context.Response.Headers;
        headers.AcceptRanges = "bytes";
        headers["x-ms-blob-type"] = "BlockBlob";
        headers["x-ms-server-encrypted"] = "false";
        headers["x-ms-lease-status"] = "unlocked";
        headers["x-ms-lease-state"] = "available";
        headers["x-ms-creation-time"] = headers.LastModified;
        context.Response.ContentType = blob.ContentType;
        headers.ContentDisposition = "attachment"; // What a device wrote is nothing for a browser to open.
    }

    public static Task RefuseAsync(HttpContext context, BlobError error)
    {
        UploadMeter.OnRefused(error.Code);
        context.Response.StatusCode = error.HttpStatus;
        context.Response.Headers["x-ms-error-code"] = error.Code;
        if (error == BlobErrors.ServerBusy)
            context.Response.Headers.RetryAfter = "5";
        if (HttpMethods.IsHead(context.Request.Method))
            return Task.CompletedTask;

        context.Response.ContentType = "application/xml";
        var xml = $"<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{error.Code}</Code><Message>{error.Message}\nRequestId:{context.TraceIdentifier}</Message></Error>";
        return context.Response.WriteAsync(xml, Encoding.UTF8, context.RequestAborted);
    }

    /// <summary>The body that a request announces.</summary>
    /// <exception cref="BlobException">411 or 400: a header is missing, or not as it must be.</exception>
    public static BlobBody Body(HttpContext context)
    {
        var headers = context.Request.Headers;
        if (headers.ContainsKey("x-ms-structured-body") || headers.ContainsKey("x-ms-encryption-key") || headers.ContainsKey("x-ms-encryption-scope"))
            throw new BlobException(BlobErrors.UnsupportedHeader);
        if (context.Request.ContentLength is not { } length)
            throw new BlobException(BlobErrors.LengthRequired);
        return new BlobBody(context.Request.Body, length, Digest(headers["Content-MD5"], 16), Digest(headers["x-ms-content-crc64"], 8));
    }

    /// <summary>What a request says of the file that it makes.</summary>
    /// <inheritdoc cref="Body" path="/exception"/>
    public static BlobHeaders Headers(HttpContext context, bool isWhole)
    {
        var headers = context.Request.Headers;
        var type = headers["x-ms-blob-content-type"].ToString() is { Length: > 0 } given ? given : isWhole ? context.Request.ContentType : null;
        if (headers.Keys.Any(name => name.StartsWith("x-ms-meta-", StringComparison.OrdinalIgnoreCase)) || headers.ContainsKey("x-ms-lease-id") || headers.ContainsKey("x-ms-tags"))
            throw new BlobException(BlobErrors.UnsupportedHeader);
        if (headers.ContainsKey("If-Modified-Since") || headers.ContainsKey("If-Unmodified-Since"))
            throw new BlobException(BlobErrors.UnsupportedHeader);

        var (match, none) = (headers.IfMatch.ToString(), headers.IfNoneMatch.ToString());
        if (none is not ("" or "*" or "\"*\""))
            throw new BlobException(BlobErrors.UnsupportedHeader);
        return new BlobHeaders(
            MediaTypeHeaderValue.TryParse(type, out _) && type.Length <= 256 ? type : "application/octet-stream",
            Digest(headers["x-ms-blob-content-md5"], 16) ?? (isWhole ? Digest(headers["Content-MD5"], 16) : null), none.Length > 0, match.Length == 0 ? null : match.Trim('"'));
    }

    /// <summary>What of a file is asked for: from where, and how many bytes; null for all of it.</summary>
    /// <exception cref="BlobException">416: there is no such range.</exception>
    public static (long From, long Count)? Range(HttpContext context, long bytes)
    {
        var text = context.Request.Headers["x-ms-range"].ToString() is { Length: > 0 } own ? own : context.Request.Headers.Range.ToString();
        if (text.Length == 0)
            return null;

        // Another form of it, or several ranges, may be passed over [RFC 9110, 14.2].
        if (!RangeHeaderValue.TryParse(text, out var parsed) || parsed.Unit != "bytes" || parsed.Ranges.Count != 1)
            return null;
        var range = parsed.Ranges.Single();
        var from = range.From ?? Math.Max(0, bytes - range.To!.Value);
        var end = range.From is null ? bytes - 1 : Math.Min(range.To ?? long.MaxValue, bytes - 1);
        return from > end ? throw new BlobException(BlobErrors.InvalidRange) : (from, end - from + 1);
    }

    private static byte[]? Digest(string? base64, int bytes)
    {
        if (string.IsNullOrEmpty(base64))
            return null;

        var digest = new byte[bytes];
        return base64.Length <= 64 && Convert.TryFromBase64String(base64, digest, out var length) && length == bytes ? digest : throw new BlobException(BlobErrors.InvalidHeader);
    }
}
