using System.Buffers;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Azure IoT Hub's REST of automatic configurations and edge deployments. Any <c>api-version</c>, or none, is taken.</summary>
internal sealed class ConfigurationRoutes(AutomaticConfigurations configurations)
{
    // {name}, not {id}: that names a device, and limits the caller to it.
    private const string One = "/configurations/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/configurations", ListAsync).Requires(Rights.ConfigurationManage).KeepsToScope()
            .Describe("Lists automatic configurations and edge deployments, the oldest first; top 1 to 128.", answer: HttpJson.Wire.ListJsonObject);
        routes.MapGet(One, GetAsync).Requires(Rights.ConfigurationManage).KeepsToScope()
            .Describe("Shows an automatic configuration or edge deployment, with what its metrics come to.", answer: HttpJson.Wire.JsonObject);
        routes.MapPut(One, PutAsync).Requires(Rights.ConfigurationManage | Rights.TwinRead | Rights.TwinWrite).KeepsToScope()
            .Describe("Creates an automatic configuration or edge deployment; with If-Match changes its labels, target condition, priority and metrics.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
        routes.MapDelete(One, DeleteAsync).Requires(Rights.ConfigurationManage | Rights.TwinRead | Rights.TwinWrite).KeepsToScope()
            .Describe("Deletes an automatic configuration or edge deployment, and what it has set in twins.");
        routes.MapPost("/configurations/testQueries", TestAsync).Requires(Rights.ConfigurationManage).KeepsToScope()
            .Describe("Says what is wrong with a target condition and with queries of metrics.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
        routes.MapPost("/devices/{id}/applyConfigurationContent", ApplyAsync).Requires(Rights.ConfigurationManage | Rights.TwinRead | Rights.TwinWrite)
            .Describe("Sets what a configuration's content says on one device, or on the modules of one edge device, at once.", HttpJson.Wire.JsonObject);
    }

    private async Task ListAsync(HttpContext context)
    {
        var states = await configurations.ListAsync(context.Actor(), TopOf(context), context.RequestAborted);
        await AnswerAsync(context, ConfigurationState.Encode(states));
    }

    private async Task GetAsync(HttpContext context) =>
        await AnswerAsync(context, ConfigurationState.Encode(await configurations.GetAsync(context.Actor(), context.RouteId("name")!, context.RequestAborted)));

    private async Task PutAsync(HttpContext context)
    {
        var body = await BodyAsync(context);
        EntityTagCondition? condition = context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : null;
        var state = await configurations.PutAsync(context.Actor(), context.RouteId("name")!, ConfigurationDraft.Read(body), condition, context.RequestAborted);
        await AnswerAsync(context, ConfigurationState.Encode(state));
    }

    private async Task DeleteAsync(HttpContext context)
    {
        var condition = context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : EntityTagCondition.Any;
        await configurations.DeleteAsync(context.Actor(), context.RouteId("name")!, condition, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task TestAsync(HttpContext context) => await AnswerAsync(context, configurations.Test(await BodyAsync(context)));

    private async Task ApplyAsync(HttpContext context)
    {
        var body = await BodyAsync(context);
        await configurations.ApplyAsync(context.Actor(), context.RouteIdentity(), body, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async ValueTask<ReadOnlyMemory<byte>> BodyAsync(HttpContext context)
    {
        var body = new ArrayBufferWriter<byte>();
        while (await context.Request.Body.ReadAsync(body.GetMemory(4096), context.RequestAborted) is > 0 and var read)
            body.Advance(read);
        await context.ConfirmCallerAsync();
        return body.WrittenMemory;
    }

    private static int TopOf(HttpContext context)
    {
        if (!context.Request.Query.TryGetValue("top", out var text))
            return ConfigurationOptions.MostConfigurations;

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var top) && top is >= 1 and <= ConfigurationOptions.MostConfigurations
            ? top
            : throw new HubException(HubErrors.ArgumentInvalid, $"top: 1 to {ConfigurationOptions.MostConfigurations}");
    }

    // No ETag header: the .NET service SDK would put it, quotes and all, over the body's etag.
    private static Task AnswerAsync(HttpContext context, byte[] json)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.Body.WriteAsync(json, context.RequestAborted).AsTask();
    }
}
