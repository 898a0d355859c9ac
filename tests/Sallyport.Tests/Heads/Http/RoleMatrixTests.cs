using System.Net;
using Microsoft.AspNetCore.Routing;
using Sallyport.Heads;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;

namespace Sallyport.Tests.Heads.Http;

/// <summary>Every route, every role: who gets in is what the route declares, and nothing else.</summary>
public sealed class RoleMatrixTests : IAsyncLifetime
{
    private static readonly (string Policy, Rights Rights)[] Roles =
    [
        ("iothubowner", AzureRights.All),
        ("service", AzureRights.ServiceConnect),
        ("device", AzureRights.DeviceConnect),
        ("registryRead", AzureRights.RegistryRead),
        ("registryReadWrite", AzureRights.RegistryWrite),
    ];

    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task EveryRoute_ForEveryRole_OpensExactlyToItsRight()
    {
        var wrong = new List<string>();
        foreach (var (method, path, required) in RoutesToTry())
        {
            foreach (var (policy, rights) in Roles)
            {
                var answer = await _hub.KnockAsync(method, path, _hub.TokenOf(policy));
                var mayEnter = (rights & required.Rights) == required.Rights;
                var entered = answer.ErrorCode is not ("IotHubUnauthorizedAccess" or "IotHubUnauthorized");
                if (entered != mayEnter)
                    wrong.Add($"{method} {path} as {policy}: {(int)answer.Status} {answer.ErrorCode}");
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task EveryRoute_WithoutAGoodToken_IsClosed()
    {
        var wrong = new List<string>();
        var tokens = new Dictionary<string, string?>
        {
            ["none"] = null,
            ["expired"] = _hub.TokenOf(Policies.Owner, lifetime: TimeSpan.FromHours(-1)),
            ["of another host"] = _hub.TokenOf(Policies.Owner, host: "other.test"),
            ["of another resource"] = _hub.TokenOf(Policies.Owner, host: "hub.test/elsewhere"),
            ["of a policy that is not there"] = _hub.TokenOf(Policies.Owner).Replace("skn=iothubowner", "skn=nobody", StringComparison.Ordinal),
        };
        foreach (var (method, path, required) in RoutesToTry().Where(route => route.Required.Rights is not Rights.None))
        {
            foreach (var (what, token) in tokens)
            {
                var answer = await _hub.KnockAsync(method, path, token);
                if (answer.Status is not HttpStatusCode.Unauthorized)
                    wrong.Add($"{method} {path} with a token {what}: {(int)answer.Status}");
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public void OpenRoutes_AreTheseAndNoOthers() =>
        Assert.Equal(["/manage/v1/openapi.json"], RoutesToTry().Where(route => route.Required.Rights is Rights.None && !HasOwnCredential(route.Path)).Select(route => route.Path));

    [Fact]
    public async Task RoutesWithACredentialOfTheirOwn_AreThoseOfBlobs_AndAreClosedToEveryToken()
    {
        var routes = RoutesToTry().Where(route => HasOwnCredential(route.Path)).ToList();
        Assert.All(routes, route => Assert.Equal("/uploads/{**blob}", route.Path));
        Assert.NotEmpty(routes);
        foreach (var (method, _, _) in routes)
        {
            foreach (var token in Roles.Select(role => _hub.TokenOf(role.Policy)).Append(null))
                Assert.Equal(HttpStatusCode.Forbidden, (await _hub.KnockAsync(method, "/uploads/d1/a", token)).Status);
        }
    }

    [Fact]
    public void ManagementRights_AreHeldByTheOwnerOnly()
    {
        const Rights Management = Rights.ConnectionManage | Rights.RouteManage | Rights.AccessManage | Rights.AuditRead | Rights.LakeRead | Rights.ThreatRun | Rights.FileRead | Rights.FileDelete;

        Assert.All(Roles.Skip(1), role => Assert.Equal(Rights.None, role.Rights & Management));
    }

    [Fact]
    public void EveryRoute_IsDescribed() =>
        Assert.Empty(_hub.Routes.Where(route => route.Metadata.GetMetadata<RouteDescription>() is null).Select(route => route.DisplayName));

    private bool HasOwnCredential(string path) => _hub.Routes.Any(route => route.RoutePattern.RawText == path && route.Metadata.GetMetadata<OwnCredential>() is not null);

    // The names in the paths are nobody's, so that what is let in changes nothing.
    private List<(HttpMethod Method, string Path, RequiredRights Required)> RoutesToTry()
    {
        var routes =
            from route in _hub.Routes
            let required = route.Metadata.GetMetadata<RequiredRights>()
            from method in route.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods
            let path = route.RoutePattern.Parameters.Aggregate(route.RoutePattern.RawText!, (text, part) => text.Replace($"{{{part.Name}}}", "nobody", StringComparison.Ordinal))
            select (HttpMethod.Parse(method), path, required ?? throw new InvalidOperationException($"{route.DisplayName} declares no right"));
        var list = routes.ToList();
        Assert.True(list.Count > 15, "the routes were not found");
        return list;
    }
}
