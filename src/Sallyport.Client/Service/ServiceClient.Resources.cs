using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

// The resources by name; each call is one request. They throw what SendAsync throws.
public sealed partial class ServiceClient
{
    private const int MaxPage = 1000;

    /// <summary>The device with its keys, if the policy may see them.</summary>
    public Task<JsonObject> GetDeviceAsync(string deviceId, CancellationToken cancel = default) => GetAsync(Device(deviceId), cancel);

    /// <summary>Devices in the order of their ids, with their keys if the policy may see them.</summary>
    /// <param name="top">At most so many, 1 or more; 1000 of them are a request.</param>
    public async Task<JsonArray> ListDevicesAsync(int top = MaxPage, CancellationToken cancel = default)
    {
        var devices = new JsonArray();
        await foreach (var device in EnumerateDevicesAsync(top, cancel).ConfigureAwait(false))
            devices.Add(device.DeepClone());
        return devices;
    }

    /// <summary>All devices in the order of their ids, a page a request, with their keys if the policy may see them.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public IAsyncEnumerable<JsonObject> EnumerateDevicesAsync(CancellationToken cancel = default) => EnumerateDevicesAsync(int.MaxValue, cancel);

    private async IAsyncEnumerable<JsonObject> EnumerateDevicesAsync(int top, [EnumeratorCancellation] CancellationToken cancel)
    {
        string? after = null;
        var left = top;
        do
        {
            var path = string.Create(CultureInfo.InvariantCulture, $"devices?top={Math.Min(left, MaxPage)}");
            var (answer, headers) = await ExchangeAsync(() => Page(path, after), _timeout, cancel).ConfigureAwait(false);
            foreach (var device in Expect<JsonArray>(answer, path))
            {
                left--;
                yield return device!.AsObject();
            }

            after = Header(headers, ContinuationHeader); // Where the list goes on that was too long for one answer.
        }
        while (after is not null && left > 0);
    }

    /// <summary>Creates the device; with <paramref name="ifMatch"/> replaces it.</summary>
    /// <param name="device">Fields as on the wire; <c>deviceId</c> is filled in. Without <c>authentication</c> the hub makes keys.</param>
    public Task<JsonObject> PutDeviceAsync(string deviceId, JsonObject? device = null, string? ifMatch = null, CancellationToken cancel = default)
    {
        var body = device?.DeepClone().AsObject() ?? [];
        body["deviceId"] = deviceId;
        return PutAsync(Device(deviceId), body, ifMatch, cancel);
    }

    public Task DeleteDeviceAsync(string deviceId, string ifMatch = "*", CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, Device(deviceId), null, ifMatch, cancel);

    /// <summary>Creates, changes and deletes up to 100 devices and modules, and merges into their twins.</summary>
    /// <param name="items">As in IoT Hub's bulk request: <c>id</c>, <c>moduleId</c>, <c>importMode</c>, ….</param>
    /// <returns><c>isSuccessful</c> and <c>errors</c>: the items that were refused; the others are done.</returns>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<JsonObject> ChangeDevicesAsync(JsonArray items, CancellationToken cancel = default)
    {
        using var request = Request(HttpMethod.Post, "devices", items, null);
        using var response = await HeadersAsync(request, cancel).ConfigureAwait(false);
        if (!response.Headers.TryGetValues(ErrorCodeHeader, out var codes) || codes.First() != "BulkRegistryOperationFailure")
            await ThrowOnErrorAsync(response, cancel).ConfigureAwait(false);
        return Expect<JsonObject>(JsonNode.Parse(await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false)), "devices");
    }

    public Task<JsonObject> GetModuleAsync(string deviceId, string moduleId, CancellationToken cancel = default) => GetAsync(Module(deviceId, moduleId), cancel);

    public Task<JsonArray> ListModulesAsync(string deviceId, CancellationToken cancel = default) => ListAsync($"{Device(deviceId)}/modules", cancel);

    /// <inheritdoc cref="PutDeviceAsync"/>
    public Task<JsonObject> PutModuleAsync(string deviceId, string moduleId, JsonObject? module = null, string? ifMatch = null, CancellationToken cancel = default)
    {
        var body = module?.DeepClone().AsObject() ?? [];
        body["deviceId"] = deviceId;
        body["moduleId"] = moduleId;
        return PutAsync(Module(deviceId, moduleId), body, ifMatch, cancel);
    }

    public Task DeleteModuleAsync(string deviceId, string moduleId, string ifMatch = "*", CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, Module(deviceId, moduleId), null, ifMatch, cancel);

    /// <summary>The twin: tags, desired and reported properties, and what the registry says of the identity.</summary>
    /// <param name="moduleId">Null: the twin of the device itself.</param>
    public Task<JsonObject> GetTwinAsync(string deviceId, string? moduleId = null, CancellationToken cancel = default) => GetAsync(Twin(deviceId, moduleId), cancel);

    /// <summary>Merges into tags and desired properties; null deletes.</summary>
    /// <param name="patch"><c>{"tags":{…},"properties":{"desired":{…}}}</c>, either or both.</param>
    /// <param name="ifMatch">Only when the twin has this etag; <c>*</c> for any.</param>
    /// <returns>The twin after it.</returns>
    public async Task<JsonObject> UpdateTwinAsync(string deviceId, string? moduleId, JsonObject patch, string ifMatch = "*", CancellationToken cancel = default) =>
        Expect<JsonObject>(await SendAsync(HttpMethod.Patch, Twin(deviceId, moduleId), patch, ifMatch, cancel).ConfigureAwait(false), "twins");

    /// <summary>Puts what is given in the place of the tags or desired properties there are; a part that is not given stays.</summary>
    /// <inheritdoc cref="UpdateTwinAsync"/>
    public Task<JsonObject> ReplaceTwinAsync(string deviceId, string? moduleId, JsonObject twin, string ifMatch = "*", CancellationToken cancel = default) =>
        PutAsync(Twin(deviceId, moduleId), twin, ifMatch, cancel);

    /// <summary>Answers a query in IoT Hub's query language, a page a request.</summary>
    /// <param name="query">For example <c>SELECT * FROM devices WHERE tags.site = 'north'</c>.</param>
    /// <param name="pageRows">Rows of a page at most, 1 to 1000; null leaves it to the hub (100).</param>
    /// <returns>Row after row, of all pages: what is written meanwhile neither doubles nor hides a row that stays.</returns>
    /// <exception cref="ServiceException">The hub answered with an error: of a query that is none it says where, and what was expected.</exception>
    /// <inheritdoc cref="SendAsync" path="/exception[@cref='T:System.TimeoutException']"/>
    public IAsyncEnumerable<JsonObject> QueryAsync(string query, int? pageRows = null, CancellationToken cancel = default) =>
        RowsAsync(HttpMethod.Post, "devices/query", new JsonObject { ["query"] = query }, pageRows, cancel);

    // Asks for page after page as the rows are taken.
    private async IAsyncEnumerable<JsonObject> RowsAsync(HttpMethod method, string path, JsonNode? body, int? pageRows, [EnumeratorCancellation] CancellationToken cancel)
    {
        string? continuation = null;
        do
        {
            var after = continuation;
            var (answer, headers) = await ExchangeAsync(
                () =>
                {
                    var request = Request(method, path, body, null);
                    if (pageRows is { } rows)
                        request.Headers.TryAddWithoutValidation("x-ms-max-item-count", rows.ToString(CultureInfo.InvariantCulture));
                    if (after is not null)
                        request.Headers.TryAddWithoutValidation(ContinuationHeader, after);
                    return request;
                },
                _timeout, cancel).ConfigureAwait(false);
            continuation = Header(headers, ContinuationHeader);
            foreach (var row in Expect<JsonArray>(answer, path))
                yield return row!.AsObject();
        }
        while (continuation is not null);
    }

    public Task<JsonArray> ListPoliciesAsync(CancellationToken cancel = default) => ListAsync("manage/v1/policies", cancel);

    public Task<JsonObject> GetPolicyAsync(string name, CancellationToken cancel = default) => GetAsync(Policy(name), cancel);

    public Task<JsonObject> PutPolicyAsync(string name, JsonObject policy, string? ifMatch = null, CancellationToken cancel = default) =>
        PutAsync(Policy(name), policy, ifMatch, cancel);

    public Task DeletePolicyAsync(string name, CancellationToken cancel = default) => SendAsync(HttpMethod.Delete, Policy(name), cancel: cancel);

    public Task<JsonArray> ListConsumerGroupsAsync(CancellationToken cancel = default) => ListAsync("manage/v1/consumer-groups", cancel);

    public Task<JsonObject> GetConsumerGroupAsync(string name, CancellationToken cancel = default) => GetAsync(ConsumerGroup(name), cancel);

    /// <summary>Makes a consumer group; one that is there already stays as it is, and is given.</summary>
    public Task<JsonObject> CreateConsumerGroupAsync(string name, CancellationToken cancel = default) => PutAsync(ConsumerGroup(name), [], null, cancel);

    /// <summary>Deletes a consumer group with its checkpoints; its readers are ended.</summary>
    public Task DeleteConsumerGroupAsync(string name, CancellationToken cancel = default) => SendAsync(HttpMethod.Delete, ConsumerGroup(name), cancel: cancel);

    public Task<JsonArray> ListConnectionsAsync(CancellationToken cancel = default) => ListAsync("manage/v1/connections", cancel);

    public Task<JsonObject> GetConnectionAsync(string name, CancellationToken cancel = default) => GetAsync(Connection(name), cancel);

    /// <param name="connection"><c>{kind, connectionString, table, from}</c>, see <c>docs/connections-sql.md</c>.</param>
    public Task<JsonObject> PutConnectionAsync(string name, JsonObject connection, CancellationToken cancel = default) =>
        PutAsync(Connection(name), connection, null, cancel);

    public Task DeleteConnectionAsync(string name, CancellationToken cancel = default) => SendAsync(HttpMethod.Delete, Connection(name), cancel: cancel);

    public Task<JsonObject> PauseConnectionAsync(string name, CancellationToken cancel = default) => PostAsync($"{Connection(name)}/pause", cancel);

    public Task<JsonObject> ResumeConnectionAsync(string name, CancellationToken cancel = default) => PostAsync($"{Connection(name)}/resume", cancel);

    /// <summary>Connects to the target once and says whether rows could be written.</summary>
    public Task<JsonObject> TestConnectionAsync(string name, CancellationToken cancel = default) => PostAsync($"{Connection(name)}/test", cancel);

    private HttpRequestMessage Page(string path, string? after)
    {
        var request = Request(HttpMethod.Get, path, null, null);
        if (after is not null)
            request.Headers.TryAddWithoutValidation(ContinuationHeader, after);
        return request;
    }

    private static string Device(string deviceId) => $"devices/{Uri.EscapeDataString(deviceId)}";

    private static string Module(string deviceId, string moduleId) => $"{Device(deviceId)}/modules/{Uri.EscapeDataString(moduleId)}";

    private static string Twin(string deviceId, string? moduleId) =>
        moduleId is null ? $"twins/{Uri.EscapeDataString(deviceId)}" : $"twins/{Uri.EscapeDataString(deviceId)}/modules/{Uri.EscapeDataString(moduleId)}";

    private static string Policy(string name) => $"manage/v1/policies/{Uri.EscapeDataString(name)}";

    private static string ConsumerGroup(string name) => $"manage/v1/consumer-groups/{Uri.EscapeDataString(name)}";

    private static string Connection(string name) => $"manage/v1/connections/{Uri.EscapeDataString(name)}";

    private async Task<JsonObject> GetAsync(string path, CancellationToken cancel) => Expect<JsonObject>(await SendAsync(HttpMethod.Get, path, cancel: cancel).ConfigureAwait(false), path);

    private async Task<JsonArray> ListAsync(string path, CancellationToken cancel) => Expect<JsonArray>(await SendAsync(HttpMethod.Get, path, cancel: cancel).ConfigureAwait(false), path);

    private async Task<JsonObject> PutAsync(string path, JsonObject body, string? ifMatch, CancellationToken cancel) =>
        Expect<JsonObject>(await SendAsync(HttpMethod.Put, path, body, ifMatch, cancel).ConfigureAwait(false), path);

    private async Task<JsonObject> PostAsync(string path, CancellationToken cancel) =>
        Expect<JsonObject>(await SendAsync(HttpMethod.Post, path, cancel: cancel).ConfigureAwait(false), path);

    private static T Expect<T>(JsonNode? answer, string path)
        where T : JsonNode =>
        answer as T ?? throw new InvalidDataException($"the hub's answer to {path} is not a JSON {(typeof(T) == typeof(JsonArray) ? "array" : "object")}");
}
