using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Uploads;

namespace Sallyport.Heads.Http;

/// <summary>
/// File upload as devices ask for it: where to write a file, and how it went. Over HTTPS whatever else they speak; for devices, not for modules, as
/// with Azure.
/// </summary>
internal sealed class UploadRoutes(FileUploads uploads, HubNames names, ActivityWriteBack activity)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/devices/{id}/files", BeginAsync).RequiresDevice()
            .Describe("Begins a file upload: gives the device a URL to which it may write one file.", HttpJson.Wire.UploadRequestJson, HttpJson.Wire.UploadJson);
        routes.MapPost("/devices/{id}/files/notifications", EndAsync).RequiresDevice()
            .Describe("Ends a file upload, done or failed; correlationId in the body.", HttpJson.Wire.UploadEndJson);
        routes.MapPost("/devices/{id}/files/notifications/{correlationId}", EndAsync).RequiresDevice()
            .Describe("Ends a file upload, done or failed.", HttpJson.Wire.UploadEndJson);
    }

    private async Task BeginAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.UploadRequestJson);
        var device = context.RouteIdentity();
        activity.Seen(device);
        var (upload, place) = await uploads.BeginAsync(device, context.Caller().GenerationId, request.BlobName, context.CalledHost(names), context.RequestAborted);
        await context.WriteJsonAsync(
            new UploadJson(upload.Id, place.HostName, place.ContainerName, place.BlobName, place.SasToken), HttpJson.Wire.UploadJson);
    }

    private async Task EndAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.UploadEndJson);
        var device = context.RouteIdentity();
        activity.Seen(device);
        await uploads.EndAsync(
            device, context.Caller().GenerationId, context.RouteId("correlationId") ?? request.CorrelationId, request.IsSuccess, context.CalledHost(names), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}

internal static class CalledHosts
{
    /// <summary>By which name and port the caller called the hub: URLs that it is given begin so. A name that is none of the hub's is not repeated.</summary>
    public static string CalledHost(this HttpContext context, HubNames names)
    {
        var called = context.Request.Host;
        var name = names.Contains(called.Host) ? called.Host : names.Primary;
        return called.Port is { } port and not 443 ? $"{name}:{port}" : name;
    }
}

internal sealed record UploadRequestJson(string? BlobName);

/// <summary>What a device writes its file with. Never printed.</summary>
internal sealed record UploadJson(string CorrelationId, string HostName, string ContainerName, string BlobName, string SasToken)
{
    public override string ToString() => BlobName;
}

/// <param name="StatusCode">Of the answer that the device had from the blob endpoint; -1 when it had none.</param>
internal sealed record UploadEndJson(string? CorrelationId, bool IsSuccess, int? StatusCode, string? StatusDescription);

/// <summary>A file of a device.</summary>
/// <param name="BlobName">With the device's id in front, as notifications have it.</param>
internal sealed record DeviceFileJson(string DeviceId, string BlobName, string BlobUri, long SizeBytes, string ContentType, string Etag, DateTimeOffset LastModifiedTime)
{
    public static DeviceFileJson Of(string deviceId, BlobFacts file) => new(
        deviceId, Hub.Uploads.BlobName.Full(deviceId, file.Name), file.Uri.AbsoluteUri, file.Bytes, file.ContentType, file.ETag, file.ModifiedTime);
}

/// <summary>An upload that is under way.</summary>
internal sealed record OpenUploadJson(string CorrelationId, string BlobName, DateTimeOffset CreatedTime, DateTimeOffset ExpiryTime);

internal sealed record FileReadRequestJson(string? BlobName, int? Minutes);

/// <summary>A URL that reads a file. Never printed.</summary>
internal sealed record FileReadJson(string Uri, DateTimeOffset ExpiryTime)
{
    public override string ToString() => ExpiryTime.ToString("O", CultureInfo.InvariantCulture);
}
