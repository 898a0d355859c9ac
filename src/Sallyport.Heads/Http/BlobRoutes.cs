using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>
/// The built-in blob endpoint: as much of Azure Storage's blob REST as devices' SDKs write with and services read with. What opens it is the
/// signature in the URL, one for one file; there is no other credential, and nothing that lists.
/// </summary>
internal sealed class BlobRoutes(BuiltInBlobs blobs, BlobSignature signature, IAuditTrail audit, ILogger<BlobRoutes> log)
{
    private static readonly string[] Methods = ["PUT", "GET", "HEAD", "DELETE", "POST"];

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapMethods($"/{BuiltInBlobs.ContainerName}/{{**blob}}", Methods, AnswerAsync).Requires(Rights.None, servedTo: Zone.All).WithMetadata(OwnCredential.Instance, BodyLimit.Instance)
            .Describe("The blob endpoint, for URLs that were handed out: Put Blob, Put Block, Put Block List, Get Blob, Get Blob Properties. Its errors are XML.");
    }

    private async Task AnswerAsync(HttpContext context)
    {
        BlobAnswers.Prepare(context);
        try
        {
            await HandleAsync(context);
        }
        catch (BlobException refusal)
        {
            await RefuseAsync(context, refusal.Error);
        }
        catch (BadHttpRequestException bad)
        {
            await RefuseAsync(context, bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? BlobErrors.BodyTooLarge : BlobErrors.InvalidHeader);
        }
        catch (IOException failed) when (!context.RequestAborted.IsCancellationRequested)
        {
            log.LogError(new EventId(4104, "BlobFailed"), failed, "{Method} of a blob failed; request id {RequestId}", context.Request.Method, context.TraceIdentifier);
            await RefuseAsync(context, BlobErrors.InternalError);
        }
    }

    private async Task HandleAsync(HttpContext context)
    {
        var target = BlobTarget.Parse(context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "");
        if (target is null || signature.Check(target.Fields, target.Name) is not { } grant)
        {
            Refused(context, "", BlobErrors.AuthenticationFailed);
            throw new BlobException(BlobErrors.AuthenticationFailed);
        }

        var method = context.Request.Method;
        if (HttpMethods.IsPut(method))
        {
            OpenUpload upload;
            try
            {
                upload = blobs.Admit(grant, target.Path);
            }
            catch (BlobException refusal)
            {
                Refused(context, $"upload {grant.UploadId}", refusal.Error);
                throw;
            }

            await AdmittedAsync(context);
            await PutAsync(context, target, upload);
            return;
        }

        await AdmittedAsync(context);
        if (grant.BlobName is null)
            throw new BlobException(BlobErrors.PermissionMismatch);
        if (!HttpMethods.IsGet(method) && !HttpMethods.IsHead(method))
            throw new BlobException(HttpMethods.IsDelete(method) ? BlobErrors.PermissionMismatch : BlobErrors.UnsupportedVerb);
        if (target.Fields.ContainsKey("comp"))
            throw new BlobException(BlobErrors.InvalidQuery);
        await GetAsync(context, grant.BlobName);
    }

    private async Task PutAsync(HttpContext context, BlobTarget target, OpenUpload upload)
    {
        switch (target.Fields.GetValueOrDefault("comp"))
        {
            case null:
                await PutBlobAsync(context, upload);
                break;
            case "block":
                await PutBlockAsync(context, target, upload);
                break;
            case "blocklist":
                await PutBlockListAsync(context, upload);
                break;
            default:
                throw new BlobException(BlobErrors.InvalidQuery);
        }
    }

    private async Task PutBlobAsync(HttpContext context, OpenUpload upload)
    {
        if (context.Request.Headers["x-ms-blob-type"] != "BlockBlob")
            throw new BlobException(BlobErrors.InvalidHeader);

        var body = BlobAnswers.Body(context);
        var blob = await blobs.PutAsync(upload, body, BlobAnswers.Headers(context, isWhole: true), context.RequestAborted);
        BlobAnswers.Created(context, body);
        BlobAnswers.Identify(context, blob);
    }

    private async Task PutBlockAsync(HttpContext context, BlobTarget target, OpenUpload upload)
    {
        var id = BlockListXml.BlockId(target.Fields.GetValueOrDefault("blockid"));
        var body = BlobAnswers.Body(context);
        if (body.Length == 0)
            throw new BlobException(BlobErrors.InvalidHeader);

        await blobs.PutBlockAsync(upload, id, body, context.RequestAborted);
        BlobAnswers.Created(context, body);
    }

    private async Task PutBlockListAsync(HttpContext context, OpenUpload upload)
    {
        var body = BlobAnswers.Body(context);
        if (body.Length > BlockListXml.MaxBytes)
            throw new BlobException(BlobErrors.BodyTooLarge);

        var blob = await blobs.CommitAsync(upload, await BlockListXml.ReadAsync(body.Content), BlobAnswers.Headers(context, isWhole: false), context.RequestAborted);
        BlobAnswers.Created(context, body with { Md5 = null, Crc64 = null });
        BlobAnswers.Identify(context, blob);
    }

    private async Task GetAsync(HttpContext context, string name)
    {
        var blob = blobs.Find(name) ?? throw new BlobException(BlobErrors.BlobNotFound);
        if (!IsAsked(context.Request.Headers, BuiltInBlobs.ETagOf(blob), out var isUnchanged))
            throw new BlobException(BlobErrors.ConditionNotMet);
        if (isUnchanged)
        {
            BlobAnswers.Identify(context, blob);
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        var range = BlobAnswers.Range(context, blob.Bytes);
        var (from, count) = range ?? (0, blob.Bytes);
        BlobAnswers.Describe(context, blob);
        if (range is not null)
        {
            context.Response.StatusCode = StatusCodes.Status206PartialContent;
            context.Response.Headers.ContentRange = string.Create(CultureInfo.InvariantCulture, $"bytes {from}-{from + count - 1}/{blob.Bytes}");
        }
        else if (blob.ContentMd5 is not null)
        {
            context.Response.Headers["Content-MD5"] = Convert.ToBase64String(blob.ContentMd5);
        }

        context.Response.ContentLength = count;
        if (HttpMethods.IsHead(context.Request.Method))
            return;
        await blobs.CopyToAsync(blob, from, count, context.Response.Body, context.RequestAborted);
    }

    private static bool IsAsked(IHeaderDictionary headers, string etag, out bool isUnchanged)
    {
        var (match, none) = (headers.IfMatch.ToString(), headers.IfNoneMatch.ToString());
        isUnchanged = none.Length > 0 && (none.Trim('"') == "*" || none.Trim('"') == etag);
        return match.Length == 0 || match.Trim('"') == "*" || match.Trim('"') == etag;
    }

    private static async ValueTask AdmittedAsync(HttpContext context)
    {
        context.Features.Get<PreAuthenticationLease>()?.Dispose();
        await HandshakeThreads.Leave();
    }

    // As an Authorization header that is refused: a failure of the address. Without correlation id repeated ones are counted, not written.
    private void Refused(HttpContext context, string target, BlobError error)
    {
        var peer = context.Peer();
        audit.Note(new AuditEntry("anonymous", "", "blob request", target, "refused", error.Code, "", peer.Address is null ? "local" : $"{peer.Protocol} {peer.Address}"));
        if (context.Features.Get<PreAuthenticationLease>()?.Answered() == true)
            context.Response.Headers.Connection = "close";
    }

    private static async Task RefuseAsync(HttpContext context, BlobError error)
    {
        if (context.Response.HasStarted)
        {
            // Half of a file is out: only cutting the connection tells that it is not whole.
            context.Abort();
            return;
        }

        context.Response.Headers.ContentLength = null;
        context.Response.Headers.ContentDisposition = default;
        await BlobAnswers.RefuseAsync(context, error);
    }

    private sealed class BodyLimit : IRequestSizeLimitMetadata
    {
        public static readonly BodyLimit Instance = new();

        // The hub's own bound is looked at before a body is read; this is Azure's on one.
        public long? MaxRequestBodySize => 5000L << 20;
    }
}
