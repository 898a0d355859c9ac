using System.Globalization;
using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

// Digital twins of plug-and-play devices.
public sealed partial class ServiceClient
{
    /// <summary>The digital twin: a value per property, components with theirs, and in <c>$metadata</c> what is wanted and what the device said to that.</summary>
    public Task<JsonObject> GetDigitalTwinAsync(string deviceId, CancellationToken cancel = default) => GetAsync(DigitalTwin(deviceId), cancel);

    /// <summary>Changes what is wanted of properties, all operations or none.</summary>
    /// <param name="patch">A JSON Patch of <c>add</c>, <c>replace</c> and <c>remove</c>.</param>
    /// <param name="ifMatch">Only when the twin has this etag; <c>*</c> for any.</param>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public Task UpdateDigitalTwinAsync(string deviceId, JsonArray patch, string ifMatch = "*", CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Patch, DigitalTwin(deviceId), patch, ifMatch, cancel);

    /// <summary>Calls a command and gives <c>{status, payload}</c> as the device answered, whatever the status.</summary>
    /// <param name="component">Null: a command of the device itself.</param>
    /// <param name="payload">Any JSON; at most 128 KB.</param>
    /// <exception cref="ServiceException"><c>DeviceNotOnline</c>: nothing was sent; <c>GatewayTimeout</c>: no answer, and the device may have run it; or another refusal.</exception>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<JsonObject> InvokeCommandAsync(
        string deviceId, string? component, string command, JsonNode? payload = null, MethodTimeouts? timeouts = null, CancellationToken cancel = default)
    {
        timeouts ??= MethodTimeouts.Default;
        var of = component is null ? "" : $"/components/{Uri.EscapeDataString(component)}";
        var path = string.Create(
            CultureInfo.InvariantCulture,
            $"{DigitalTwin(deviceId)}{of}/commands/{Uri.EscapeDataString(command)}?connectTimeoutInSeconds={(int)timeouts.Connect.TotalSeconds}&responseTimeoutInSeconds={(int)timeouts.Response.TotalSeconds}");
        var bound = _timeout + timeouts.Connect + timeouts.Response;
        var (answer, headers) = await ExchangeAsync(() => Request(HttpMethod.Post, path, payload, null), bound, cancel).ConfigureAwait(false);
        return int.TryParse(Header(headers, "x-ms-command-statuscode"), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var status)
            ? new JsonObject { ["status"] = status, ["payload"] = answer }
            : throw new InvalidDataException($"the hub's answer to {path} has no status");
    }

    private static string DigitalTwin(string deviceId) => $"digitaltwins/{Uri.EscapeDataString(deviceId)}";
}
