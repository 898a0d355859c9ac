using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Queries;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Azure IoT Hub's query REST. Any <c>api-version</c>, or none, is taken.</summary>
internal sealed class QueryRoutes(TwinQueries queries)
{
    internal const string ContinuationHeader = "x-ms-continuation";
    private const string MaxItemCountHeader = "x-ms-max-item-count";

    /// <summary>SDKs read it case-sensitively, and the .NET one cannot do without it.</summary>
    internal const string ItemTypeHeader = "x-ms-item-type";

    public void Map(IEndpointRouteBuilder routes) =>
        routes.MapPost("/devices/query", RunAsync).Requires(Rights.TwinRead, resource: "devices").KeepsToScope()
            .Describe("Answers a query in IoT Hub's query language, a page a request.", HttpJson.Wire.QueryRequestJson, HttpJson.Wire.ListJsonObject);

    private async Task RunAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.QueryRequestJson);
        var query = request.Query ?? throw new HubException(HubErrors.ArgumentNull, "query: is missing");
        var continuation = context.Request.Headers[ContinuationHeader].ToString();
        var page = await queries.RunAsync(
            context.Held(), context.Caller().Principal!.Scope, query, MaxRowsOf(context), continuation.Length == 0 ? null : continuation, context.RequestAborted);

        context.Response.Headers[ItemTypeHeader] = page.Type.ToString();
        if (page.Continuation is not null)
            context.Response.Headers[ContinuationHeader] = page.Continuation;
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.Body.WriteAsync(page.Json, context.RequestAborted);
    }

    internal static int? MaxRowsOf(HttpContext context)
    {
        var text = context.Request.Headers[MaxItemCountHeader].ToString();
        return text.Length == 0 ? null
            : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var rows) ? rows
            : throw new HubException(HubErrors.ArgumentInvalid, $"{MaxItemCountHeader}: a number from 1");
    }
}

internal sealed class QueryRequestJson
{
    public string? Query { get; init; }
}
