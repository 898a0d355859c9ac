using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// Direct methods, <c>POST /twins/{id}[/modules/{m}]/methods</c>: services call them, and modules of the device with their own credential.
/// Payloads pass byte for byte, both ways.
/// </summary>
internal sealed class MethodRoutes(DirectMethods methods)
{
    private const int DefaultResponseTimeout = 30;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/twins/{id}/methods", InvokeAsync).Requires(Rights.MethodInvoke, orModule: true)
            .Describe("Calls a method of a device and gives its answer, whatever its status.", HttpJson.Wire.MethodCallJson, HttpJson.Wire.MethodResultJson);
        routes.MapPost("/twins/{id}/modules/{moduleId}/methods", InvokeAsync).Requires(Rights.MethodInvoke, orModule: true)
            .Describe("Calls a method of a module and gives its answer, whatever its status.", HttpJson.Wire.MethodCallJson, HttpJson.Wire.MethodResultJson);
    }

    private async Task InvokeAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var asked = await context.ReadJsonAsync(HttpJson.Wire.MethodCallJson);
        var call = new MethodCall(identity, asked.MethodName ?? throw new HubException(HubErrors.ArgumentInvalid, "methodName: is missing"), asked.RawPayload())
        {
            ConnectTimeout = TimeSpan.FromSeconds(asked.ConnectTimeoutInSeconds ?? 0),
            ResponseTimeout = TimeSpan.FromSeconds(asked.ResponseTimeoutInSeconds ?? DefaultResponseTimeout),
        };
        var result = await methods.InvokeAsync(context.Actor(), call, context.RequestAborted);

        context.Response.ContentType = "application/json; charset=utf-8";
        await using var writer = new Utf8JsonWriter(context.Response.BodyWriter);
        writer.WriteStartObject();
        writer.WriteNumber("status"u8, result.Status);
        writer.WritePropertyName("payload"u8);
        writer.WriteRawValue(result.Payload.Span, skipInputValidation: true);
        writer.WriteEndObject();
        await writer.FlushAsync(context.RequestAborted);
    }
}

/// <param name="Payload">Any JSON; null when missing.</param>
/// <param name="ResponseTimeoutInSeconds">5 to 300; default 30.</param>
/// <param name="ConnectTimeoutInSeconds">0 to 300; default 0.</param>
internal sealed record MethodCallJson(string? MethodName, JsonElement? Payload, int? ResponseTimeoutInSeconds, int? ConnectTimeoutInSeconds)
{
    /// <summary>As it was sent, also where JSON would not care: spaces, escapes, digits.</summary>
    public byte[] RawPayload() => Payload is { } payload ? JsonMarshal.GetRawUtf8Value(payload).ToArray() : "null"u8.ToArray();
}

/// <param name="Status">Of the device's own choice.</param>
internal sealed record MethodResultJson(int Status, JsonElement? Payload);
