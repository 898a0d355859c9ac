using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Routing;
using Sallyport.Client.Service;
using Sallyport.Heads;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Executable.Bounds;

namespace Sallyport.Tests.Executable.Up;

/// <summary>
/// Every route of the composed hub, whoever mapped it, tried by an operator for each single right: who gets in is what the route declares,
/// and nothing else. A route that comes later is tried as well.
/// </summary>
public sealed class RoleMatrixTests : IAsyncLifetime
{
    private static readonly Rights[] Single = [.. Enum.GetValues<Rights>().Where(right => right is not Rights.None)];

    private TestHub _hub = null!;
    private HttpClient _http = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        // The stranger who asks for every route is answered to the end, however slow the machine.
        _hub = await TestHub.StartAsync(settings => settings with { Limits = settings.Limits with { Backoff = settings.Limits.Backoff with { Failures = 100_000 } } });
        var handler = new SocketsHttpHandler { MaxConnectionsPerServer = 4 };
        handler.SslOptions.CertificateChainPolicy = WireDevice.Trust(_hub.Endpoints);
        _http = new HttpClient(handler) { BaseAddress = new Uri($"https://localhost:{_hub.Endpoints.HttpsPort}") };
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _hub.DisposeAsync();
    }

    [Fact]
    public void EveryRoute_DeclaresARight_AndTheseNeedNone()
    {
        Assert.All(_hub.Host.Routes, route => Assert.NotNull(Assert.IsType<RouteEndpoint>(route).Metadata.GetMetadata<RequiredRights>()));
        Assert.Equal(
            ["/$iothub/websocket", "/$servicebus/websocket", "/health/live", "/health/ready", "/manage/v1/openapi.json", "/uploads/{**blob}"],
            Routes().Where(route => route.Required.Rights is Rights.None).Select(route => route.Route.RoutePattern.RawText!).Distinct().Order(StringComparer.Ordinal));
        Assert.True(Routes().Count(route => route.Route.RoutePattern.RawText!.StartsWith("/manage/v1/connections", StringComparison.Ordinal)) >= 7, "the routes outside the HTTP head were not found");
    }

    [Fact]
    public async Task EveryRoute_ForEverySingleRight_OpensExactlyToItsRight()
    {
        using var owner = _hub.Owner();
        var tokens = new Dictionary<Rights, string>();
        foreach (var right in Single)
            tokens.Add(right, await OperatorAsync(owner, right.ToString().ToLowerInvariant(), right));

        var wrong = new List<string>();
        foreach (var (method, route, required) in Routes())
        {
            var path = Filled(route, "nobody");
            foreach (var (right, token) in tokens)
            {
                var entered = await EntersAsync(method, path, token);
                if (entered != ((required.Rights & ~right) is Rights.None))
                    wrong.Add($"{method} {path} with {right}: {(entered ? "let in" : "refused")}");
            }

            if (!await EntersAsync(method, path, Token("iothubowner", _hub.Endpoints.OwnerConnectionString!.Split("SharedAccessKey=")[1])))
                wrong.Add($"{method} {path} as the owner: refused");
            if (await EntersAsync(method, path, null) != (required.Rights is Rights.None))
                wrong.Add($"{method} {path} without a credential");
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task EveryRoute_ForSomebodyLimitedToSomeDevices_OpensForThoseAlone()
    {
        using var owner = _hub.Owner();
        var token = await OperatorAsync(owner, "limited", AzureRights.All, "plant-");

        var wrong = new List<string>();
        foreach (var (method, route, _) in Routes().Where(route => route.Required.Rights is not Rights.None))
        {
            var namesDevice = route.RoutePattern.GetParameter("id") is not null;
            var keepsToScope = route.Metadata.GetMetadata<KeepsToScope>() is not null;
            if (await EntersAsync(method, Filled(route, "plant-nobody"), token) != (namesDevice || keepsToScope))
                wrong.Add($"{method} {route.RoutePattern.RawText} inside the scope");
            if (await EntersAsync(method, Filled(route, "mill-nobody"), token) != keepsToScope)
                wrong.Add($"{method} {route.RoutePattern.RawText} outside the scope");
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task EveryRoute_ForSomebodyLimitedToATag_IsClosedWhereNobodyHasIt()
    {
        using var owner = _hub.Owner();
        var made = await owner.SendAsync(
            HttpMethod.Put, "manage/v1/operators/tagged", new JsonObject { ["rights"] = RightsText.Format(AzureRights.All), ["deviceTags"] = new JsonArray("site=berlin") }, cancel: Cancel);
        var token = Token((string)made!["keyName"]!, (string)made["key"]!);

        var wrong = new List<string>();
        foreach (var (method, route, _) in Routes().Where(route => route.Required.Rights is not Rights.None))
        {
            if (await EntersAsync(method, Filled(route, "nobody"), token) != (route.Metadata.GetMetadata<KeepsToScope>() is not null))
                wrong.Add($"{method} {route.RoutePattern.RawText}");
        }

        Assert.Empty(wrong);
    }

    private async Task<string> OperatorAsync(ServiceClient owner, string name, Rights rights, params string[] prefixes)
    {
        var made = await owner.SendAsync(
            HttpMethod.Put, $"manage/v1/operators/{name}",
            new JsonObject { ["rights"] = RightsText.Format(rights), ["devicePrefixes"] = new JsonArray([.. prefixes.Select(prefix => JsonValue.Create(prefix))]) }, cancel: Cancel);
        return Token((string)made!["keyName"]!, (string)made["key"]!);
    }

    private static string Token(string name, string key) => SharedAccessSignature.Create("localhost", key, DateTimeOffset.UtcNow.AddHours(1), name);

    // Only the head of the answer: some do not end.
    private async Task<bool> EntersAsync(HttpMethod method, string path, string? token)
    {
        using var request = new HttpRequestMessage(method, path);
        if (token is not null)
            request.Headers.TryAddWithoutValidation("Authorization", token);
        using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancel);
        return response.StatusCode is not HttpStatusCode.Unauthorized;
    }

    private List<(HttpMethod Method, RouteEndpoint Route, RequiredRights Required)> Routes() =>
    [
        .. from route in _hub.Host.Routes.OfType<RouteEndpoint>()
           from method in route.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]
           select (HttpMethod.Parse(method), route, route.Metadata.GetMetadata<RequiredRights>()!),
    ];

    // The names in the paths are nobody's, so that what is let in changes nothing.
    private static string Filled(RouteEndpoint route, string name) =>
        route.RoutePattern.Parameters.Aggregate(route.RoutePattern.RawText!, (text, part) => text.Replace($"{{{part.Name}}}", name, StringComparison.Ordinal));
}
