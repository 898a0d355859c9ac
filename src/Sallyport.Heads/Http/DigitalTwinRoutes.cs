using System.Buffers;
using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Methods;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// Azure IoT Hub's digital twin REST, for plug-and-play devices: another view of the device's twin and of its methods, and nothing that is stored
/// besides them. Any <c>api-version</c>, or none, is taken.
/// </summary>
internal sealed class DigitalTwinRoutes(DeviceTwins twins, DirectMethods methods)
{
    private const string StatusHeader = "x-ms-command-statuscode";
    private const int DefaultResponseTimeout = 30;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/digitaltwins/{id}", GetAsync).Requires(Rights.TwinRead)
            .Describe("Shows the digital twin of a device.", answer: HttpJson.Wire.JsonObject);
        routes.MapPatch("/digitaltwins/{id}", ChangeAsync).Requires(Rights.TwinWrite)
            .Describe("Changes wanted properties of a device or of its components by a JSON Patch.", HttpJson.Wire.ListDigitalTwinOperation);
        routes.MapPost("/digitaltwins/{id}/commands/{command}", InvokeAsync).Requires(Rights.MethodInvoke)
            .Describe($"Calls a command of a device and gives its answer; the status is in {StatusHeader}.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
        routes.MapPost("/digitaltwins/{id}/components/{component}/commands/{command}", InvokeAsync).Requires(Rights.MethodInvoke)
            .Describe($"Calls a command of a component and gives its answer; the status is in {StatusHeader}.", HttpJson.Wire.JsonObject, HttpJson.Wire.JsonObject);
    }

    private Task GetAsync(HttpContext context)
    {
        var state = twins.Get(context.RouteIdentity());
        Tag(context, state);
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.Body.WriteAsync(DigitalTwinJson.Encode(state), context.RequestAborted).AsTask();
    }

    private async Task ChangeAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var patch = DigitalTwinPatch.Read(await context.ReadJsonAsync(HttpJson.Wire.ListDigitalTwinOperation));
        var condition = context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : EntityTagCondition.Any;

        Tag(context, await twins.ChangeAsync(context.Actor(), identity, patch, condition, context.RequestAborted));
        context.Response.Headers.Location = $"/digitaltwins/{Uri.EscapeDataString(identity.DeviceId)}";
        context.Response.StatusCode = StatusCodes.Status202Accepted;
    }

    private async Task InvokeAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        var payload = await ReadPayloadAsync(context);
        var call = new MethodCall(identity, MethodOf(context), payload.Length == 0 ? "null"u8.ToArray() : payload)
        {
            ConnectTimeout = Seconds(context, "connectTimeoutInSeconds", 0),
            ResponseTimeout = Seconds(context, "responseTimeoutInSeconds", DefaultResponseTimeout),
        };
        var result = await methods.InvokeAsync(context.Actor(), call, context.RequestAborted);

        context.Response.Headers[StatusHeader] = result.Status.ToString(CultureInfo.InvariantCulture);
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.Body.WriteAsync(result.Payload, context.RequestAborted);
    }

    // A command of a component is the method {component}*{command} ("IoT Plug and Play conventions", commands).
    private static string MethodOf(HttpContext context)
    {
        var (component, command) = (context.RouteId("component"), context.RouteId("command")!);
        if (command.Contains('*', StringComparison.Ordinal) || component?.Contains('*', StringComparison.Ordinal) == true)
            throw new HubException(HubErrors.ArgumentInvalid, "the name of a component or command has no *: it stands between the two in the name of the method");
        return component is null ? command : $"{component}*{command}";
    }

    private static async ValueTask<ReadOnlyMemory<byte>> ReadPayloadAsync(HttpContext context)
    {
        var body = new ArrayBufferWriter<byte>();
        while (await context.Request.Body.ReadAsync(body.GetMemory(4096), context.RequestAborted) is > 0 and var read)
            body.Advance(read);
        await context.ConfirmCallerAsync();
        return body.WrittenMemory;
    }

    private static TimeSpan Seconds(HttpContext context, string name, int otherwise)
    {
        if (context.Request.Query[name] is not { Count: > 0 } given)
            return TimeSpan.FromSeconds(otherwise);

        return given.Count == 1 && ushort.TryParse(given[0], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            ? TimeSpan.FromSeconds(seconds)
            : throw new HubException(HubErrors.ArgumentInvalid, $"{name}: a number of seconds is needed, once");
    }

    private static void Tag(HttpContext context, TwinState state) => context.Response.Headers.ETag = $"\"{EntityTag.Format(state.Twin.ETag)}\"";
}
