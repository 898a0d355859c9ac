using System.Globalization;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// An error as Azure IoT Hub's REST says it: status, the header <c>iothub-errorcode</c>, and a body out of which SDKs parse the name
/// (Node: between the first <c>:</c> and the first <c>;</c> of Message; .NET: the same, and header and body must agree).
/// </summary>
public static class HubErrorResponse
{
    public const string ErrorCodeHeader = "iothub-errorcode";

    /// <summary>Writes the whole response. It must not have started.</summary>
    /// <param name="message">For the one who asked; goes behind the name.</param>
    public static Task WriteAsync(HttpContext context, HubError error, string message) =>
        WriteAsync(context, error, message, error.HttpStatus);

    internal static Task WriteAsync(HttpContext context, HubError error, string message, int status)
    {
        context.Response.StatusCode = status;
        context.Response.Headers[ErrorCodeHeader] = error.Name;
        if (status == StatusCodes.Status401Unauthorized)
            context.Response.Headers.WWWAuthenticate = "SharedAccessSignature";

        var time = context.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow();
        return context.WriteJsonAsync(
            new ErrorJson($"ErrorCode:{error.Name};{message}", ExceptionMessage(context.TraceIdentifier, time)), HttpJson.Wire.ErrorJson);
    }

    // The shape of Azure's; support asks for the tracking id, which is also in the log and the audit trail.
    private static string ExceptionMessage(string trackingId, DateTimeOffset time) =>
        $"Tracking ID:{trackingId}-G:0-TimeStamp:{time.ToString("MM/dd/yyyy HH:mm:ss", CultureInfo.InvariantCulture)}";
}

internal sealed record ErrorJson(
    [property: JsonPropertyName("Message")] string Message,
    [property: JsonPropertyName("ExceptionMessage")] string ExceptionMessage);
