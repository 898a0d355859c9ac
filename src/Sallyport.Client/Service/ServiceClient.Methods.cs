using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

/// <summary>How long a direct method may take.</summary>
/// <param name="Response">The device, to answer: 5 to 300 s.</param>
/// <param name="Connect">To wait for a device that is not connected or does not take methods: 0 to 300 s.</param>
public sealed record MethodTimeouts(TimeSpan Response, TimeSpan Connect)
{
    /// <summary>IoT Hub's: 30 s to answer, no waiting.</summary>
    public static MethodTimeouts Default { get; } = new(TimeSpan.FromSeconds(30), TimeSpan.Zero);
}

// Direct methods.
public sealed partial class ServiceClient
{
    /// <summary>Calls a method of a device or module and gives <c>{status, payload}</c> as the device answered, whatever the status.</summary>
    /// <param name="moduleId">Null: of the device itself.</param>
    /// <param name="payload">Any JSON; at most 128 KB.</param>
    /// <exception cref="ServiceException"><c>DeviceNotOnline</c>: nothing was sent; <c>GatewayTimeout</c>: no answer, and the device may have run it; or another refusal.</exception>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<JsonObject> InvokeMethodAsync(
        string deviceId, string? moduleId, string methodName, JsonNode? payload = null, MethodTimeouts? timeouts = null, CancellationToken cancel = default)
    {
        timeouts ??= MethodTimeouts.Default;
        var path = $"twins/{Uri.EscapeDataString(deviceId)}{(moduleId is null ? "" : $"/modules/{Uri.EscapeDataString(moduleId)}")}/methods";
        var body = new JsonObject
        {
            ["methodName"] = methodName,
            ["payload"] = payload?.DeepClone(),
            ["responseTimeoutInSeconds"] = (int)timeouts.Response.TotalSeconds,
            ["connectTimeoutInSeconds"] = (int)timeouts.Connect.TotalSeconds,
        };
        var bound = _timeout + timeouts.Connect + timeouts.Response;
        return Expect<JsonObject>((await ExchangeAsync(() => Request(HttpMethod.Post, path, body, null), bound, cancel).ConfigureAwait(false)).Answer, path);
    }
}
