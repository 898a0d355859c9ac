using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// Files of devices for services: which there are, a URL that reads one, delete one. Ours: with Azure they ask the storage account. Under rights
/// of their own; each is in the audit trail.
/// </summary>
internal sealed class DeviceFileRoutes(IBlobStore blobs, FileUploads uploads, IAuditTrail audit, PrivilegedReads reads, HubNames names, TimeProvider time)
{
    private const int DefaultMinutes = 5;
    private const int MaxMinutes = 60;

    public void Map(IEndpointRouteBuilder routes)
    {
        const string Root = "/manage/v1/devices/{id}/files";
        routes.MapGet(Root, ListAsync).Requires(Rights.FileRead)
            .Describe("Lists files of a device in the order of their names: after (a name without the device's id), top 1 to 1000.", answer: HttpJson.Wire.ListDeviceFileJson);
        routes.MapGet("/manage/v1/devices/{id}/uploads", ListOpenAsync).Requires(Rights.FileRead)
            .Describe("Lists file uploads of a device that are under way.", answer: HttpJson.Wire.ListOpenUploadJson);
        routes.MapPost($"{Root}/read", ReadAsync).Requires(Rights.FileRead)
            .Describe("Makes a URL that reads one file, for whoever has it, for minutes 1 to 60.", HttpJson.Wire.FileReadRequestJson, HttpJson.Wire.FileReadJson);
        routes.MapDelete(Root, DeleteAsync).Requires(Rights.FileDelete).Describe("Deletes a file of a device: name, without the device's id.");
    }

    private async Task ListAsync(HttpContext context)
    {
        var device = context.RouteIdentity().DeviceId;
        reads.Note(context.Actor(), "file list", device);
        var after = context.Request.Query["after"].ToString();
        var files = await blobs.ListAsync(device, after.Length == 0 ? null : after, RegistryRoutes.TopOf(context), context.CalledHost(names), context.RequestAborted);
        await context.WriteJsonAsync([.. files.Select(file => DeviceFileJson.Of(device, file))], HttpJson.Wire.ListDeviceFileJson);
    }

    private Task ListOpenAsync(HttpContext context)
    {
        var device = context.RouteIdentity().DeviceId;
        reads.Note(context.Actor(), "upload list", device);
        return context.WriteJsonAsync(
            [.. uploads.ListOpen(device).Select(one => new OpenUploadJson(one.Id, BlobName.Full(device, one.BlobName), one.CreatedTime, one.Expires))], HttpJson.Wire.ListOpenUploadJson);
    }

    private async Task ReadAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.FileReadRequestJson);
        var device = context.RouteIdentity().DeviceId;
        var name = NameOf(device, request.BlobName);
        if (request.Minutes is < 1 or > MaxMinutes)
            throw new HubException(HubErrors.ArgumentInvalid, $"minutes: 1 to {MaxMinutes}");

        var expires = time.GetUtcNow().AddMinutes(request.Minutes ?? DefaultMinutes);
        await audit.RequireAsync(context.Actor().Done("file read", BlobName.Full(device, name)), context.RequestAborted);
        var uri = await blobs.ReadUriAsync(device, name, expires, context.CalledHost(names), context.RequestAborted) ?? throw NotThere(context, "file read", device, name);
        await context.WriteJsonAsync(new FileReadJson(uri.AbsoluteUri, expires), HttpJson.Wire.FileReadJson);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        var device = context.RouteIdentity().DeviceId;
        var name = NameOf(device, context.Request.Query["name"].ToString());
        await audit.RequireAsync(context.Actor().Done("file delete", BlobName.Full(device, name)), context.RequestAborted);
        if (!await blobs.DeleteAsync(device, name, CancellationToken.None))
            throw NotThere(context, "file delete", device, name);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    // With the device's id in front, as lists and notifications have it, or without.
    private static string NameOf(string deviceId, string? given)
    {
        var name = given is not null && given.StartsWith(deviceId + "/", StringComparison.Ordinal) ? given[(deviceId.Length + 1)..] : given;
        return string.IsNullOrEmpty(name) ? throw new HubException(HubErrors.ArgumentNull, "the file is not named") : name;
    }

    private HubException NotThere(HttpContext context, string action, string deviceId, string name)
    {
        audit.Note(context.Actor().Refused(action, BlobName.Full(deviceId, name), HubErrors.NotFound.Meaning));
        return new HubException(HubErrors.NotFound, "the device has no such file");
    }
}
