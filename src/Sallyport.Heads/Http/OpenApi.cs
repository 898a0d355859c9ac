using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Sallyport.Hub.Access;

namespace Sallyport.Heads.Http;

/// <summary>What the OpenAPI document says of a route.</summary>
/// <param name="Summary">One sentence.</param>
/// <param name="Request">Of the body; null when there is none.</param>
/// <param name="Answer">Of a successful answer; null when it has no JSON body.</param>
public sealed record RouteDescription(string Summary, JsonTypeInfo? Request, JsonTypeInfo? Answer);

/// <summary>
/// The OpenAPI 3.1 document, made of the routes that are mapped, the rights they declare and the types they read and write: it cannot
/// say anything else than what is served.
/// </summary>
internal sealed class OpenApi(EndpointDataSource routes)
{
    private readonly Lazy<byte[]> _document = new(() => System.Text.Encoding.UTF8.GetBytes(Write(routes).ToJsonString()));

    public void Map(IEndpointRouteBuilder builder) =>
        builder.MapGet("/manage/v1/openapi.json", AnswerAsync).Requires(Rights.None, servedTo: Zone.Services)
            .Describe("This document.", answer: HttpJson.Wire.JsonObject);

    private Task AnswerAsync(HttpContext context)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.Body.WriteAsync(_document.Value, context.RequestAborted).AsTask();
    }

    private static JsonObject Write(EndpointDataSource routes)
    {
        var paths = new JsonObject();
        foreach (var route in routes.Endpoints.OfType<RouteEndpoint>().OrderBy(route => route.RoutePattern.RawText, StringComparer.Ordinal))
        {
            var path = route.RoutePattern.RawText!;
            paths.TryAdd(path, new JsonObject());
            foreach (var method in route.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"])
                paths[path]![method.ToLowerInvariant()] = Operation(route);
        }

        return new JsonObject
        {
            ["openapi"] = "3.1.0",
            ["info"] = new JsonObject { ["title"] = "Sallyport", ["version"] = "v1" },
            ["paths"] = paths,
            ["components"] = new JsonObject
            {
                ["securitySchemes"] = new JsonObject
                {
                    ["token"] = new JsonObject
                    {
                        ["type"] = "apiKey",
                        ["in"] = "header",
                        ["name"] = "Authorization",
                        ["description"] = "SharedAccessSignature of a policy, or of the device itself",
                    },
                },
            },
        };
    }

    private static JsonObject Operation(RouteEndpoint route)
    {
        var described = route.Metadata.GetMetadata<RouteDescription>();
        var required = route.Metadata.GetMetadata<RequiredRights>()!;
        var answer = new JsonObject { ["description"] = "done" };
        if (described?.Answer is not null)
            answer["content"] = Content(described.Answer);

        var operation = new JsonObject
        {
            ["x-rights"] = RightsText.Format(required.Rights),
            ["security"] = required.Rights is Rights.None ? new JsonArray() : new JsonArray(new JsonObject { ["token"] = new JsonArray() }),
            ["parameters"] = new JsonArray([.. route.RoutePattern.Parameters.Select(Parameter)]),
            ["responses"] = new JsonObject
            {
                [described is { Answer: null, Request: null } ? "204" : "200"] = answer,
                ["default"] = new JsonObject { ["description"] = "refused", ["content"] = Content(HttpJson.Wire.ErrorJson) },
            },
        };
        if (described is not null)
            operation["summary"] = described.Summary;
        if (described?.Request is not null)
            operation["requestBody"] = new JsonObject { ["required"] = true, ["content"] = Content(described.Request) };
        return operation;
    }

    private static JsonNode Parameter(RoutePatternParameterPart part) => new JsonObject
    {
        ["name"] = part.Name,
        ["in"] = "path",
        ["required"] = true,
        ["schema"] = new JsonObject { ["type"] = "string" },
    };

    private static JsonObject Content(JsonTypeInfo type) => new()
    {
        ["application/json"] = new JsonObject { ["schema"] = type.GetJsonSchemaAsNode() },
    };
}

public static class RouteDescriptions
{
    /// <summary>Describes a route for the OpenAPI document.</summary>
    public static T Describe<T>(this T route, string summary, JsonTypeInfo? request = null, JsonTypeInfo? answer = null)
        where T : IEndpointConventionBuilder
    {
        route.Add(endpoint => endpoint.Metadata.Add(new RouteDescription(summary, request, answer)));
        return route;
    }
}
