using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Heads;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Tests.Hub.Audit;

namespace Sallyport.Tests.Heads.Http;

public sealed partial class RouteAccessTests : IAsyncDisposable
{
    private readonly StubAuthentication _authentication = new(Rights.RegistryRead);
    private readonly HttpClient _client = new();
    private WebApplication? _server;

    [Fact]
    public async Task Start_RouteWithoutRight_FailsAndNamesIt()
    {
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(server => server.MapGet("/forgotten", () => "open")));

        Assert.Contains("/forgotten", failure.Message);
    }

    [Fact]
    public async Task Request_WithoutToken_IsRefusedAsIoTHubDoes()
    {
        await StartAsync(server => server.MapGet("/devices/{id}", () => "in").Requires(Rights.RegistryRead));

        var (response, body) = await SendAsync(HttpMethod.Get, "/devices/d1", authorization: null);

        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.Equal("IotHubUnauthorized", response.Headers.GetValues("iothub-errorcode").Single());
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        using var error = JsonDocument.Parse(body);
        Assert.Equal("ErrorCode:IotHubUnauthorized;Unauthorized", error.RootElement.GetProperty("Message").GetString());
        var tracking = ExceptionMessage().Match(error.RootElement.GetProperty("ExceptionMessage").GetString()!);
        Assert.Equal(response.Headers.GetValues("x-ms-request-id").Single(), tracking.Groups[1].Value);
        Assert.DoesNotContain("secret", body);
    }

    [Theory]
    [InlineData("/devices/d1", "good", HttpStatusCode.OK)]
    [InlineData("/devices/d1", null, HttpStatusCode.Unauthorized)]
    [InlineData("/nowhere", "good", HttpStatusCode.NotFound)]
    [InlineData("/fails", "good", HttpStatusCode.InternalServerError)]
    public async Task Answer_OfAnyKind_TellsABrowserToDoNothingWithIt(string path, string? authorization, HttpStatusCode status)
    {
        await StartAsync(server =>
        {
            server.MapGet("/devices/{id}", () => "in").Requires(Rights.RegistryRead);
            server.MapGet("/fails", string () => throw new InvalidOperationException()).Requires(Rights.RegistryRead);
        });

        using var request = Request(HttpMethod.Get, path, authorization);
        request.Headers.Host = "hub.test";
        using var response = await _client.SendAsync(request, TestContext.Current.CancellationToken);

        Assert.Equal(status, response.StatusCode);
        string Header(string name) => response.Headers.TryGetValues(name, out var values) ? string.Join(", ", values) : "";
        Assert.Equal(
            ("max-age=31536000", "nosniff", "no-store", "default-src 'none'; frame-ancestors 'none'", "no-referrer", ""),
            (Header("Strict-Transport-Security"), Header("X-Content-Type-Options"), Header("Cache-Control"), Header("Content-Security-Policy"), Header("Referrer-Policy"), Header("Server")));
    }

    [Fact]
    public async Task Answer_ToLocalhost_LeavesABrowsersOtherSitesThereAlone()
    {
        await StartAsync(server => server.MapGet("/devices/{id}", () => "in").Requires(Rights.RegistryRead));

        using var request = Request(HttpMethod.Get, "/devices/d1");
        request.Headers.Host = "sallyport.localhost";
        using var response = await _client.SendAsync(request, TestContext.Current.CancellationToken);

        Assert.False(response.Headers.Contains("Strict-Transport-Security"));
    }

    [Fact]
    public async Task Request_WithoutTheRight_IsRefused()
    {
        await StartAsync(server => server.MapPut("/devices/{id}", () => "in").Requires(Rights.RegistryWrite));

        var (response, body) = await SendAsync(HttpMethod.Put, "/devices/d1");

        Assert.Equal("IotHubUnauthorizedAccess", response.Headers.GetValues("iothub-errorcode").Single());
        Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
        Assert.DoesNotContain("secret", body);
    }

    [Fact]
    public async Task Request_InAnyCaseWithSlashBeforeQuery_AsksForTheRoutesOwnSpelling()
    {
        await StartAsync(server => server.MapGet("/devices/{id}/modules/{moduleId}", () => "in").Requires(Rights.RegistryRead));

        var (response, _) = await SendAsync(HttpMethod.Get, "/DEVICES/d%23%3F1/Modules/%24edge/?api-version=2099-01-01");

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(["127.0.0.1 devices/d#?1/modules/$edge RegistryRead"], _authentication.Asked);
    }

    [Fact]
    public async Task Request_OfADeviceRoute_AsksForThatIdentity()
    {
        await StartAsync(server => server.MapPost("/devices/{id}/modules/{moduleId}/messages/events", () => "in").RequiresDevice());

        var (admitted, _) = await SendAsync(HttpMethod.Post, "/devices/d1/modules/m1/messages/events");
        var (refused, _) = await SendAsync(HttpMethod.Post, "/devices/d1/modules/m1/messages/events", "bad");

        Assert.Equal(HttpStatusCode.OK, admitted.StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal("127.0.0.1 d1/m1", _authentication.Asked[0]);
    }

    [Fact]
    public async Task Request_WithTwoAuthorizationHeaders_IsRefused()
    {
        await StartAsync(server => server.MapGet("/devices", () => "in").Requires(Rights.RegistryRead));

        var answer = await SendRawAsync("GET /devices HTTP/1.1\r\nHost: hub.test\r\nAuthorization: bad\r\nAuthorization: good\r\nConnection: close\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 401", answer);
        Assert.Empty(_authentication.Asked);
    }

    [Fact]
    public async Task Request_OfNoRoute_IsNotFound()
    {
        await StartAsync(server => server.MapGet("/devices", () => "in").Requires(Rights.RegistryRead));

        var (response, body) = await SendAsync(HttpMethod.Get, "/etc/passwd");

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Contains("ErrorCode:NotFound;", body);
    }

    [Fact]
    public async Task Request_OfAnUnknownMethod_IsNotAllowedAndNamesTheOthers()
    {
        await StartAsync(server => server.MapGet("/devices", () => "in").Requires(Rights.RegistryRead));

        var (response, body) = await SendAsync(HttpMethod.Patch, "/devices");

        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(["GET"], response.Content.Headers.Allow);
        Assert.Contains("ErrorCode:MethodNotAllowed;", body);
    }

    [Fact]
    public async Task Handler_ThatThrows_AnswersServerErrorWithoutItsWords()
    {
        await StartAsync(server => server.MapGet("/devices", (HttpContext _) => throw new InvalidOperationException("inner secret")).Requires(Rights.RegistryRead));

        var (response, body) = await SendAsync(HttpMethod.Get, "/devices");

        Assert.Equal(HttpStatusCode.InternalServerError, response.StatusCode);
        Assert.Contains("ErrorCode:ServerError;", body);
        Assert.Contains(response.Headers.GetValues("x-ms-request-id").Single(), body);
        Assert.DoesNotContain("secret", body);
    }

    [Fact]
    public async Task Handler_ThatRefuses_AnswersItsErrorAndKeepsNothingItSet()
    {
        await StartAsync(server => server.MapGet("/devices", (HttpContext context) =>
        {
            context.Response.Headers["x-half"] = "done";
            throw new HubException(HubErrors.PreconditionFailed, "read again");
        }).Requires(Rights.RegistryRead));

        var (response, body) = await SendAsync(HttpMethod.Get, "/devices");

        Assert.Equal(HttpStatusCode.PreconditionFailed, response.StatusCode);
        Assert.Contains("ErrorCode:PreconditionFailed;read again", body);
        Assert.False(response.Headers.Contains("x-half"));
    }

    [Fact]
    public async Task Body_LargerThanTheBound_IsRefused()
    {
        await StartAsync(server => server.MapPost("/devices", async (HttpContext context) => await context.Request.Body.CopyToAsync(Stream.Null)).Requires(Rights.RegistryRead));

        var request = Request(HttpMethod.Post, "/devices");
        request.Content = new ByteArrayContent(new byte[RouteAccessMiddleware.MaxBodyBytes + 1]);
        using var response = await _client.SendAsync(request);

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Equal("MessageTooLarge", response.Headers.GetValues("iothub-errorcode").Single());
    }

    [Fact]
    public async Task Headers_LargerThanTheBound_AreRefused()
    {
        await StartAsync(server => server.MapGet("/devices", () => "in").Requires(Rights.RegistryRead));

        var answer = await SendRawAsync($"GET /devices HTTP/1.1\r\nHost: hub.test\r\nX: {new string('x', 20_000)}\r\n\r\n");

        Assert.StartsWith("HTTP/1.1 431", answer);
    }

    [Fact]
    public async Task RequestId_OfTheClient_IsEchoedOnlyWhenItIsHarmless()
    {
        await StartAsync(server => server.MapGet("/devices", () => "in").Requires(Rights.RegistryRead));

        var harmless = Request(HttpMethod.Get, "/devices");
        harmless.Headers.Add("Request-Id", "a-1");
        var odd = Request(HttpMethod.Get, "/devices");
        odd.Headers.TryAddWithoutValidation("Request-Id", "<script>");
        using var echoed = await _client.SendAsync(harmless);
        using var dropped = await _client.SendAsync(odd);

        Assert.Equal("a-1", echoed.Headers.GetValues("Request-Id").Single());
        Assert.False(dropped.Headers.Contains("Request-Id"));
        Assert.NotEqual("a-1", echoed.Headers.GetValues("x-ms-request-id").Single());
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        if (_server is not null)
            await _server.DisposeAsync();
    }

    [GeneratedRegex(@"^Tracking ID:([0-9a-f]{32})-G:0-TimeStamp:\d\d/\d\d/\d{4} \d\d:\d\d:\d\d$")]
    private static partial Regex ExceptionMessage();

    private async Task StartAsync(Action<WebApplication> map)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddHttpBounds();
        builder.Services.AddSingleton<TimeProvider>(new FakeTimeProvider());
        builder.Services.AddSingleton(new Attempts(_ => true, TimeProvider.System));
        builder.Services.AddSingleton<IAuditTrail>(new AuditList());
        builder.Services.AddSingleton<IServiceAuthentication>(_authentication);
        builder.Services.AddSingleton<IDeviceAuthentication>(_authentication);
        _server = builder.Build();
        _server.UseRouteAccess();
        map(_server);
        await _server.StartAsync();
        _client.BaseAddress = new Uri(_server.Urls.Single());
    }

    private static HttpRequestMessage Request(HttpMethod method, string path, string? authorization = "good")
    {
        var request = new HttpRequestMessage(method, path);
        if (authorization is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue(authorization);
        return request;
    }

    private async Task<(HttpResponseMessage Response, string Body)> SendAsync(HttpMethod method, string path, string? authorization = "good")
    {
        using var request = Request(method, path, authorization);
        var response = await _client.SendAsync(request);
        return (response, await response.Content.ReadAsStringAsync());
    }

    private async Task<string> SendRawAsync(string request)
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, _client.BaseAddress!.Port);
        await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(request));
        using var reader = new StreamReader(tcp.GetStream());
        return await reader.ReadToEndAsync();
    }
}
