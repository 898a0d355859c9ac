using System.Buffers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;

namespace Sallyport.Heads.Http;

/// <summary>Azure IoT Hub's twin REST. Any <c>api-version</c>, or none, is taken.</summary>
internal sealed class TwinRoutes(DeviceTwins twins)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        foreach (var path in (string[])["/twins/{id}", "/twins/{id}/modules/{moduleId}"])
        {
            var whose = path.Contains("moduleId", StringComparison.Ordinal) ? "a module" : "a device";
            routes.MapGet(path, GetAsync).Requires(Rights.TwinRead)
                .Describe($"Shows the twin of {whose}.", answer: HttpJson.Wire.JsonObject);
            routes.MapPatch(path, context => ChangeAsync(context, replaces: false)).Requires(Rights.TwinWrite)
                .Describe($"Merges into tags and desired properties of {whose}; null deletes.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
            routes.MapPut(path, context => ChangeAsync(context, replaces: true)).Requires(Rights.TwinWrite)
                .Describe($"Replaces tags or desired properties of {whose}, those that are given.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
        }
    }

    private Task GetAsync(HttpContext context) => AnswerAsync(context, twins.Get(context.RouteIdentity()));

    private async Task ChangeAsync(HttpContext context, bool replaces)
    {
        var identity = context.RouteIdentity();
        var body = new ArrayBufferWriter<byte>();
        while (await context.Request.Body.ReadAsync(body.GetMemory(4096), context.RequestAborted) is > 0 and var read)
            body.Advance(read);
        await context.ConfirmCallerAsync();

        var condition = context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : EntityTagCondition.Any;
        var change = TwinChange.Read(body.WrittenSpan, replaces);
        await AnswerAsync(context, await twins.ChangeAsync(context.Actor(), identity, change, condition, context.RequestAborted));
    }

    // No ETag header: the .NET service SDK would put it, quotes and all, over the body's etag.
    private static Task AnswerAsync(HttpContext context, TwinState state)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.Body.WriteAsync(TwinJson.Encode(state), context.RequestAborted).AsTask();
    }
}
