using System.Net;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Routing;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Every route that a hub serves over HTTPS, whoever mapped it, as its owner may ask for it, with whatever body.</summary>
internal sealed class ServiceRoutes : IDisposable
{
    private static readonly string[] Streams = ["/manage/v1/events", "/manage/v1/changes", "/manage/v1/quarantine/events"];

    /// <summary>A body that the route takes, or would if it was about something that is there; of routes that are not named, members that many have.</summary>
    private static readonly Dictionary<string, string> Bodies = new(StringComparer.Ordinal)
    {
        ["PUT /devices/{id}"] = """{"deviceId":"d2","status":"enabled","statusReason":"x","authentication":{"type":"sas","symmetricKey":{"primaryKey":null,"secondaryKey":null}},"capabilities":{"iotEdge":false},"deviceScope":"","parentScopes":[]}""",
        ["PUT /devices/{id}/modules/{moduleId}"] = """{"deviceId":"d2","moduleId":"m1","managedBy":"x","authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"0000000000000000000000000000000000000000"}}}""",
        ["POST /devices"] = """[{"id":"d3","importMode":"createOrUpdate","status":"enabled","tags":{"a":1},"properties":{"desired":{"b":[1,{"c":null}]}}},{"id":"d3","moduleId":"m","importMode":"delete"}]""",
        ["POST /devices/keys/regenerate"] = """{"policyKey":"primary","devices":[{"id":"d2","moduleId":null}]}""",
        ["POST /devices/query"] = """{"query":"SELECT * FROM devices WHERE tags.a = 1"}""",
        ["PATCH /twins/{id}"] = """{"tags":{"a":{"b":1}},"properties":{"desired":{"c":[1,2.5,"x",null,true]}},"etag":"x"}""",
        ["PUT /twins/{id}"] = """{"tags":{"a":{"b":1}},"properties":{"desired":{"c":[1,2.5,"x",null,true]}}}""",
        ["POST /twins/{id}/methods"] = """{"methodName":"m","payload":{"a":[1]},"responseTimeoutInSeconds":5,"connectTimeoutInSeconds":0}""",
        ["PATCH /digitaltwins/{id}"] = """[{"op":"add","path":"/a","value":{"b":1}},{"op":"replace","path":"/a/b","value":2},{"op":"remove","path":"/c"}]""",
        ["POST /manage/v1/devices/{id}/commands"] = """{"body":"x","messageId":"m","ack":"full","expiryTimeUtc":"2099-01-01T00:00:00Z","properties":{"a":"b"}}""",
        ["PUT /manage/v1/policies/{name}"] = """{"rights":"TwinRead","permissions":["TwinRead"],"devicePrefixes":["a"],"deviceTags":["a=b"],"consumerGroups":["$Default"]}""",
        ["PUT /manage/v1/operators/{name}"] = """{"rights":"TwinRead","expiresAt":"2099-01-01T00:00:00Z","devicePrefixes":["a"]}""",
        ["PUT /manage/v1/ip-filter"] = """[{"name":"a","network":"192.0.2.0/24","action":"allow"}]""",
        ["PUT /manage/v1/checkpoints/{consumerGroup}/{name}"] = """{"positions":{"0":17,"1":4}}""",
        ["PUT /manage/v1/devices/{id}/quarantine"] = """{"reason":"x"}""",
        ["POST /manage/v1/tokens/explain"] = """{"token":"SharedAccessSignature sr=localhost&sig=x&se=1"}""",
    };

    private const string AnyBody = """{"id":"x","name":"x","deviceId":"d2","status":"enabled","type":"x","rights":"TwinRead","payload":{"a":1},"query":"deviceId = 'x'","priority":1,"labels":{"a":"b"},"content":{"deviceContent":{"properties.desired.a":1}}}""";

    private readonly TestHub _hub;
    private readonly HttpClient _http;
    private readonly string _token;

    public ServiceRoutes(TestHub hub)
    {
        _hub = hub;
        var handler = new SocketsHttpHandler { MaxConnectionsPerServer = 4 };
        handler.SslOptions.CertificateChainPolicy = WireDevice.Trust(hub.Endpoints);
        _http = new HttpClient(handler) { BaseAddress = new Uri($"https://localhost:{hub.Endpoints.HttpsPort}") };
        _token = SharedAccessSignature.Create("localhost", hub.Endpoints.OwnerConnectionString!.Split("SharedAccessKey=")[1], DateTimeOffset.UtcNow.AddDays(2), "iothubowner");
    }

    /// <summary>Method and pattern. Without those that change what the test stands on: the owner's policy is named by no path, the key of the secrets is.</summary>
    public IReadOnlyList<(string Method, string Pattern)> All =>
    [
        .. (from route in _hub.Host.Routes.OfType<RouteEndpoint>()
            from method in route.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]
            where route.RoutePattern.RawText is not ("/$iothub/websocket" or "/$servicebus/websocket" or "/manage/v1/secrets/rotate")
            select (method, route.RoutePattern.RawText!)).Distinct().OrderBy(route => route.Item2, StringComparer.Ordinal).ThenBy(route => route.method, StringComparer.Ordinal),
    ];

    public static string BodyOf((string Method, string Pattern) route) =>
        Bodies.GetValueOrDefault($"{route.Method} {route.Pattern}")
        ?? Bodies.GetValueOrDefault($"{route.Method} {route.Pattern.Replace("/modules/{moduleId}", "", StringComparison.Ordinal)}")
        ?? AnyBody;

    /// <summary>Whether the route is known to read a JSON body, and what of it.</summary>
    public static bool ReadsJson((string Method, string Pattern) route) => Bodies.ContainsKey($"{route.Method} {route.Pattern}");

    /// <param name="fill">A value of a parameter of the path, not escaped.</param>
    public static string Path(string pattern, Func<string, string> fill)
    {
        var path = new StringBuilder();
        foreach (var part in pattern.Split('/').Skip(1))
            path.Append('/').Append(part.StartsWith('{') ? Uri.EscapeDataString(fill(part.Trim('{', '}'))) : part);
        return path.ToString();
    }

    /// <summary>Asks, and holds whatever is answered to the form of an answer: no fault of the hub's, errors as IoT Hub writes them.</summary>
    /// <returns>The status and the error's name, empty when there is none.</returns>
    public async Task<(HttpStatusCode Status, string Error, string Body)> AskAsync(
        string method, string path, byte[]? body, string contentType = "application/json", string? ifMatch = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Parse(method), path);
        request.Headers.TryAddWithoutValidation("Authorization", _token);
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        if (body is not null)
        {
            request.Content = new ByteArrayContent(body);
            request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        }

        using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
        var what = $"{method} {path} with {(body is null ? "nothing" : Encoding.Latin1.GetString(body.AsSpan(0, Math.Min(body.Length, 300))))}";
        if (Streams.Any(stream => path.StartsWith(stream, StringComparison.OrdinalIgnoreCase)) && response.IsSuccessStatusCode)
            return (response.StatusCode, "", "");

        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True((int)response.StatusCode is < 500 or 504, $"{(int)response.StatusCode} of {what}: {text}");
        if (response.IsSuccessStatusCode || response.StatusCode is HttpStatusCode.NotModified)
            return (response.StatusCode, "", text);

        return (response.StatusCode, ErrorOf(response, text, what), text);
    }

    public void Dispose() => _http.Dispose();

    private static string ErrorOf(HttpResponseMessage response, string text, string what)
    {
        if (text.Length == 0 && response.StatusCode is HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotFound)
            return ""; // No route of ours.
        if (response.Content.Headers.ContentType?.MediaType is "application/xml" || response.Headers.Contains("x-ms-error-code"))
            return "xml"; // Of a blob, as Azure Storage writes them.

        JsonNode? parsed = null;
        Exception? failure = null;
        try
        {
            parsed = JsonNode.Parse(text);
        }
        catch (JsonException none)
        {
            failure = none;
        }

        Assert.True(failure is null, $"{(int)response.StatusCode}, no JSON, of {what}: {text}");
        if (parsed is JsonObject bulk && (bulk.ContainsKey("isSuccessful") || bulk.ContainsKey("errors")))
            return response.Headers.TryGetValues("IotHubErrorCode", out var bulkCodes) ? bulkCodes.Single() : "bulk";

        var message = (string?)parsed?["Message"];
        Assert.True(message is not null && message.StartsWith("ErrorCode:", StringComparison.Ordinal) && message.Contains(';', StringComparison.Ordinal), $"no error of IoT Hub's form of {what}: {text}");
        Assert.StartsWith("Tracking ID:", (string?)parsed!["ExceptionMessage"]);
        var name = message[10..message.IndexOf(';', StringComparison.Ordinal)];
        Assert.Equal(name, response.Headers.TryGetValues("iothub-errorcode", out var codes) ? codes.Single() : "no header");
        return name;
    }
}
