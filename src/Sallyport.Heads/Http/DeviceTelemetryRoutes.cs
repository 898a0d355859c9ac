using System.Buffers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>
/// Telemetry over HTTPS: a message (raw body, properties in headers) or a batch
/// (<c>application/vnd.microsoft.iothub.json</c>), answered 204 once it is on disk. A session lasts one request and never takes over a connection.
/// </summary>
internal sealed class DeviceTelemetryRoutes(Ingest ingest, Quotas quotas, IEventLog log, ActivityWriteBack activity)
{
    /// <summary>Base64 and JSON around 256 KB of messages; what they may be decoded is <see cref="Ingest.MaxMessageBytes"/>.</summary>
    public const int MaxRequestBytes = 512 * 1024;

    private const string BatchContentType = "application/vnd.microsoft.iothub.json";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/devices/{id}/messages/events", PostAsync).RequiresDevice().WithMetadata(BodyLimit.Instance)
            .Describe("Takes a device's message, or a batch of them, in.");
        routes.MapPost("/devices/{id}/modules/{moduleId}/messages/events", PostAsync).RequiresDevice().WithMetadata(BodyLimit.Instance)
            .Describe("Takes a module's message, or a batch of them, in.");
    }

    private async Task PostAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var batch = new RecordBatch();
        DeviceSession session;

        var body = await context.Request.BodyReader.ReadAtLeastAsync(MaxRequestBytes + 1, context.RequestAborted);
        try
        {
            await context.ConfirmCallerAsync();
            var caller = context.Caller();
            session = new DeviceSession(identity, caller.Principal!, caller.GenerationId, modelId: null, ingest, quotas.Of(identity), DevicePromises.None);
            if (IsBatch(context.Request))
                DeviceTelemetryBatch.Encode(session, body.Buffer, batch);
            else
                EncodeOne(session, context.Request, body.Buffer, batch);
        }
        finally
        {
            context.Request.BodyReader.AdvanceTo(body.Buffer.End);
        }

        var wait = session.Quota.TryTakeTelemetry(batch.Count, batch.Bytes);
        if (wait > TimeSpan.Zero)
            throw Quotas.Refusal("messages", wait);

        await CommitAwait.AppendAsync(session, batch, log, context.RequestAborted);
        activity.Seen(identity);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static void EncodeOne(DeviceSession session, HttpRequest request, ReadOnlySequence<byte> body, RecordBatch batch)
    {
        var properties = new MessageProperties();
        HttpMessageProperties.Read(request.Headers, properties);
        HttpMessageProperties.Check(session.SendTelemetry(properties, body, batch));
    }

    private static bool IsBatch(HttpRequest request) =>
        MediaTypeHeaderValue.TryParse(request.ContentType, out var type) && type.MediaType.Equals(BatchContentType, StringComparison.OrdinalIgnoreCase);

    private sealed class BodyLimit : IRequestSizeLimitMetadata
    {
        public static readonly BodyLimit Instance = new();

        public long? MaxRequestBodySize => MaxRequestBytes;
    }
}
