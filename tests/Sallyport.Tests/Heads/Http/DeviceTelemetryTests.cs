using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Sallyport.Heads.Http;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Hub.Telemetry;

namespace Sallyport.Tests.Heads.Http;

public sealed class DeviceTelemetryTests : IAsyncDisposable
{
    private const string Path = "/devices/d1/messages/events?api-version=2021-04-12";

    private TelemetryServer? _server;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HttpClient Client => _server!.Client;

    // As azure-iot-device-http sends it (wire-node-sdk 3).
    [Fact]
    public async Task Message_AsTheNodeSdkSendsIt_IsStoredWithItsProperties()
    {
        _server = await TelemetryServer.StartAsync();
        using var request = Message("21.5");
        request.Headers.Add("iothub-to", "/devices/d1/messages/events");
        request.Headers.Add("IoTHub-MessageId", "m-1");
        request.Headers.Add("IoTHub-CorrelationId", "c-1");
        request.Headers.Add("IoTHub-UserId", "u-1");
        request.Headers.Add("IoTHub-Expiry", "2030-01-02T03:04:05.678Z");
        request.Headers.Add("iothub-contenttype", "application/json");
        request.Headers.Add("iothub-contentencoding", "utf-8");
        request.Headers.Add("iothub-interface-id", "urn:azureiot:Security:SecurityAgent:1");
        request.Headers.Add("dt-subject", "thermostat1");
        request.Headers.Add("iothub-app-Site", "north hall/1");
        request.Headers.TransferEncodingChunked = true;

        Assert.Equal(HttpStatusCode.NoContent, (await Client.SendAsync(request, Cancel)).StatusCode);

        using var stored = JsonDocument.Parse((await _server.EventsAsync()).Single());
        var (system, annotations) = (stored.RootElement.GetProperty("systemProperties"), stored.RootElement.GetProperty("annotations"));
        Assert.Equal("d1", stored.RootElement.GetProperty("deviceId").GetString());
        Assert.Equal(21.5, stored.RootElement.GetProperty("body").GetDouble());
        Assert.Equal("m-1", system.GetProperty("message-id").GetString());
        Assert.Equal("c-1", system.GetProperty("correlation-id").GetString());
        Assert.Equal("u-1", system.GetProperty("user-id").GetString());
        Assert.Equal("/devices/d1/messages/events", system.GetProperty("to").GetString());
        Assert.Equal("2030-01-02T03:04:05.678Z", system.GetProperty("absolute-expiry-time").GetString());
        Assert.Equal("application/json", system.GetProperty("content-type").GetString());
        Assert.Equal("thermostat1", annotations.GetProperty("dt-subject").GetString());
        Assert.Equal("urn:azureiot:Security:SecurityAgent:1", annotations.GetProperty("iothub-interface-id").GetString());
        Assert.Equal("""{"Site":"north hall/1"}""", stored.RootElement.GetProperty("properties").GetRawText());
    }

    [Fact]
    public async Task Message_BeyondTheQuota_Is429_WithRetryAfter()
    {
        _server = await TelemetryServer.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        Assert.Equal(HttpStatusCode.NoContent, (await Client.SendAsync(Message("1"), Cancel)).StatusCode);

        using var refused = await Client.SendAsync(Message("2"), Cancel);

        Assert.Equal((HttpStatusCode.TooManyRequests, "ThrottlingException"), (refused.StatusCode, refused.Headers.GetValues("iothub-errorcode").Single()));
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
        _server.Telemetry.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(HttpStatusCode.NoContent, (await Client.SendAsync(Message("4"), Cancel)).StatusCode);
    }

    [Fact]
    public async Task Message_OfAModule_NamesTheModule()
    {
        _server = await TelemetryServer.StartAsync();

        using var response = await Client.PostAsync("/devices/d1/modules/m1/messages/events", new StringContent("x"), Cancel);

        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.Contains("\"moduleId\":\"m1\"", (await _server.EventsAsync()).Single());
    }

    [Fact]
    public async Task Message_WithAnEmptyChunkedBody_IsStored()
    {
        _server = await TelemetryServer.StartAsync();

        var answer = await SendRawAsync(
            "POST /devices/d1/messages/events HTTP/1.1\r\nHost: hub.test\r\nAuthorization: good\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 204", answer);
        Assert.EndsWith("\"body\":\"\",\"bodyEncoding\":\"utf-8\"}", (await _server.EventsAsync()).Single());
    }

    [Fact]
    public async Task Message_WithSpoofedProperties_LosesThem()
    {
        _server = await TelemetryServer.StartAsync();
        using var request = Message("x");
        request.Headers.Add("iothub-connection-device-id", "victim");
        request.Headers.Add("iothub-app-iothub-connection-device-id", "victim");
        request.Headers.Add("iothub-app-X-Opt-Offset", "0");
        request.Headers.Add("iothub-enqueuedtime", "2000-01-01T00:00:00Z");
        request.Headers.Add("x-opt-sequence-number", "1");

        Assert.Equal(HttpStatusCode.NoContent, (await Client.SendAsync(request, Cancel)).StatusCode);

        var stored = (await _server.EventsAsync()).Single();
        Assert.Contains("\"deviceId\":\"d1\"", stored);
        Assert.Contains("\"properties\":{}", stored);
        Assert.DoesNotContain("victim", stored);
    }

    [Theory]
    [InlineData(256 * 1024, HttpStatusCode.NoContent)]
    [InlineData((256 * 1024) + 1, HttpStatusCode.RequestEntityTooLarge)]
    [InlineData(257 * 1024, HttpStatusCode.RequestEntityTooLarge)]
    [InlineData(DeviceTelemetryRoutes.MaxRequestBytes + 1, HttpStatusCode.RequestEntityTooLarge)]
    public async Task Message_LargerThan256K_IsRefused(int bytes, HttpStatusCode expected)
    {
        _server = await TelemetryServer.StartAsync();

        using var response = await Client.PostAsync(Path, new ByteArrayContent(new byte[bytes]), Cancel);

        Assert.Equal(expected, response.StatusCode);
        if (expected != HttpStatusCode.NoContent)
            Assert.Equal("MessageTooLarge", response.Headers.GetValues("iothub-errorcode").Single());
    }

    [Theory]
    [InlineData("IoTHub-MessageId: has space")]
    [InlineData("iothub-expiry: tomorrow")]
    [InlineData("iothub-app-k: gr\u00fcn")]
    [InlineData("iothub-app-: nameless")]
    [InlineData("iothub-app-k: 1\r\niothub-app-k: 2")]
    [InlineData("iothub-messageid: 1\r\nIoTHub-MessageId: 2")]
    public async Task Header_NotAllowed_IsRefused(string headers)
    {
        _server = await TelemetryServer.StartAsync();

        var answer = await SendRawAsync(
            $"POST /devices/d1/messages/events HTTP/1.1\r\nHost: hub.test\r\nAuthorization: good\r\n{headers}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");

        Assert.StartsWith("HTTP/1.1 400", answer);
        Assert.Empty(await _server.EventsAsync());
    }

    [Fact]
    public async Task Batch_AsTheSdksSendIt_IsStoredInOrder()
    {
        _server = await TelemetryServer.StartAsync();

        // Node and .NET: base64, and the prefix on application properties; C: plain text when it says so; a null property (.NET).
        var status = await BatchAsync(
            """
            [{"body":"aGVsbG8=","properties":{"iothub-messageid":"m-1","iothub-app-k":"v","dt-subject":"s","iothub-app-nothing":null}},
             {"body":"plain \u00fc text","base64Encoded":false,"properties":{"iothub-app-k 1":"v/1"}},
             {"base64Encoded":true,"body":"","later":{"a":[1]}}]
            """);

        Assert.Equal(HttpStatusCode.NoContent, status);
        var lines = await _server.EventsAsync();
        Assert.Contains("\"message-id\":\"m-1\"", lines[0]);
        Assert.Contains("\"dt-subject\":\"s\"", lines[0]);
        Assert.Contains("\"properties\":{\"k\":\"v\",\"nothing\":null},\"body\":\"hello\"", lines[0]);
        Assert.Contains("\"properties\":{\"k 1\":\"v/1\"},\"body\":\"plain ü text\"", lines[1]);
        Assert.Contains("\"body\":\"\"", lines[2]);
        Assert.Equal(3, lines.Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("[{}]")]
    [InlineData("[{\"body\":1}]")]
    [InlineData("[{\"body\":null}]")]
    [InlineData("[{\"body\":\"!!!\"}]")]
    [InlineData("[{\"body\":\"YQ==\",\"body\":\"YQ==\"}]")]
    [InlineData("[{\"body\":\"YQ==\",\"base64Encoded\":\"false\"}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":[]}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"iothub-app-k\":1}}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"iothub-app-k\":{\"a\":1}}}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"iothub-app-k\":\"1\",\"iothub-app-k\":\"2\"}}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"iothub-messageid\":\"1\",\"iothub-messageid\":\"2\"}}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"\":\"1\"}}]")]
    [InlineData("[{\"body\":\"\\ud800\",\"base64Encoded\":false}]")]
    [InlineData("[{\"body\":\"YQ==\",\"properties\":{\"iothub-app-\\udc00\":\"1\"}}]")]
    [InlineData("[{\"body\":\"YQ==\"}")]
    [InlineData("[{\"body\":\"YQ==\"}] more")]
    [InlineData("[{\"body\":\"YQ==\"},{\"body\":\"YQ==\"},]")]
    [InlineData("[{\"body\":\"YQ==\",\"deep\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}]")]
    public async Task Batch_NotOne_IsRefusedWhole(string json)
    {
        _server = await TelemetryServer.StartAsync();

        Assert.Equal(HttpStatusCode.BadRequest, await BatchAsync(json));
        Assert.Equal(HttpStatusCode.BadRequest, await BatchAsync(json.StartsWith("[{", StringComparison.Ordinal) ? "[{\"body\":\"YQ==\"}," + json[1..] : json));
        Assert.Empty(await _server.EventsAsync());
    }

    [Fact]
    public async Task Batch_BeyondItsBounds_IsTooLarge()
    {
        _server = await TelemetryServer.StartAsync();
        var half = Convert.ToBase64String(new byte[128 * 1024]);

        Assert.Equal(HttpStatusCode.NoContent, await BatchAsync($$"""[{"body":"{{half}}"},{"body":"{{half}}"}]"""));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await BatchAsync($$"""[{"body":"{{half}}"},{"body":"{{half}}"},{"body":"YQ=="}]"""));
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await BatchAsync($"[{string.Join(',', Enumerable.Repeat("{\"body\":\"\"}", DeviceTelemetryBatch.MaxMessages + 1))}]"));
        Assert.Equal(2, (await _server.EventsAsync()).Length);
    }

    [Fact]
    public async Task Message_WithoutCredential_IsRefused()
    {
        _server = await TelemetryServer.StartAsync();
        Client.DefaultRequestHeaders.Authorization = new("bad");

        using var response = await Client.PostAsync(Path, new StringContent("x"), Cancel);

        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("IotHubUnauthorized", response.Headers.GetValues("iothub-errorcode").Single());
    }

    [Theory]
    [InlineData(AppendOutcome.DiskFull, HttpStatusCode.Forbidden)]
    [InlineData(AppendOutcome.HeldBack, HttpStatusCode.Forbidden)]
    [InlineData(AppendOutcome.Failed, HttpStatusCode.ServiceUnavailable)]
    public async Task Message_ThatTheLogDoesNotTake_IsAnsweredSo(AppendOutcome outcome, HttpStatusCode expected)
    {
        _server = await TelemetryServer.StartAsync(log: _ => new ScriptedLog { Answer = outcome });

        using var response = await Client.PostAsync(Path, new StringContent("x"), Cancel);

        Assert.Equal(expected, response.StatusCode);
    }

    [Fact]
    public async Task Message_OverHttp_ConnectsNobody()
    {
        _server = await TelemetryServer.StartAsync();

        using var response = await Client.PostAsync(Path, new StringContent("x"), Cancel);

        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.False(_server.Connected.IsConnected(Identity.Of("d1")));
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
    }

    private static HttpRequestMessage Message(string body) => new(HttpMethod.Post, Path) { Content = new StringContent(body) };

    private async Task<HttpStatusCode> BatchAsync(string json)
    {
        var content = new ByteArrayContent(Encoding.UTF8.GetBytes(json));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/vnd.microsoft.iothub.json");
        using var response = await Client.PostAsync(Path, content, Cancel);
        return response.StatusCode;
    }

    private async Task<string> SendRawAsync(string request)
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, Client.BaseAddress!.Port, Cancel);
        await tcp.GetStream().WriteAsync(Encoding.UTF8.GetBytes(request), Cancel);
        using var reader = new StreamReader(tcp.GetStream());
        return await reader.ReadToEndAsync(Cancel);
    }
}
