using System.Net;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Heads.Http;

/// <summary>What callers of methods are refused, and how; that devices are reached is tested with devices.</summary>
public sealed class MethodRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _host = null!;

    public async ValueTask InitializeAsync()
    {
        _host = await HttpHeadHost.StartAsync();
        await _host.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"deviceId":"d1"}""");
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    public static TheoryData<string, string, HttpStatusCode, string> Refused => new()
    {
        { "/twins/d1/methods", """{"methodName":"x"}""", HttpStatusCode.NotFound, HubErrors.DeviceNotOnline.Name },
        { "/twins/d1/methods", """{"methodName":"x","payload":null,"responseTimeoutInSeconds":null,"connectTimeoutInSeconds":null}""", HttpStatusCode.NotFound, HubErrors.DeviceNotOnline.Name },
        { "/twins/d9/methods", """{"methodName":"x"}""", HttpStatusCode.NotFound, HubErrors.DeviceNotFound.Name },
        { "/twins/d1/modules/m9/methods", """{"methodName":"x"}""", HttpStatusCode.NotFound, HubErrors.ModuleNotFound.Name },
        { "/twins/d1/methods", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/twins/d1/methods", """{"methodName":"a/b"}""", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/twins/d1/methods", """{"methodName":"x","responseTimeoutInSeconds":4}""", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/twins/d1/methods", """{"methodName":"x","connectTimeoutInSeconds":301}""", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/twins/d1/methods", """{"methodName":"x","connectTimeoutInSeconds":"0"}""", HttpStatusCode.BadRequest, HubErrors.FormatError.Name },
        { "/twins/d1/methods", """{"methodName":"x","methodName":"y"}""", HttpStatusCode.BadRequest, HubErrors.FormatError.Name },
        { "/twins/d1/methods", "", HttpStatusCode.BadRequest, HubErrors.FormatError.Name },
        { "/twins/d1/methods", $$"""{"methodName":"x","payload":"{{new string('x', MethodRules.MaxPayloadBytes)}}"}""", HttpStatusCode.RequestEntityTooLarge, HubErrors.MessageTooLarge.Name },
        { "/twins/d1/methods", $$"""{"methodName":"x","payload":{{new string('[', 70)}}{{new string(']', 70)}}}""", HttpStatusCode.BadRequest, HubErrors.FormatError.Name },
    };

    [Theory]
    [MemberData(nameof(Refused), DisableDiscoveryEnumeration = true)]
    public async Task Call_ThatCannotBe_IsRefused(string path, string body, HttpStatusCode status, string code)
    {
        var answer = await _host.OwnerAsync(HttpMethod.Post, path, body);

        Assert.Equal((status, code), (answer.Status, answer.ErrorCode));
    }

    [Theory]
    [InlineData("d1/m1", "/twins/d1/methods", HttpStatusCode.NotFound, "DeviceNotOnline")]
    [InlineData("d1/m1", "/twins/d1/modules/m1/methods", HttpStatusCode.NotFound, "DeviceNotOnline")]
    [InlineData("d1/m1", "/twins/d1/modules/m9/methods", HttpStatusCode.NotFound, "ModuleNotFound")]
    [InlineData("d1/m1", "/twins/d2/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorizedAccess")]
    [InlineData("d1/m1", "/twins/nobody/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorizedAccess")]
    [InlineData("d1", "/twins/d1/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorized")]
    [InlineData("d1/m1/m1", "/twins/d1/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorized")]
    [InlineData("d2/m1", "/twins/d2/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorized")]
    [InlineData("", "/twins/d1/methods", HttpStatusCode.Unauthorized, "IotHubUnauthorized")]
    public async Task Call_OfAModule_ReachesItsOwnDeviceAlone(string asking, string path, HttpStatusCode status, string code)
    {
        await _host.OwnerAsync(HttpMethod.Put, "/devices/d2", """{"deviceId":"d2"}""");
        var made = await _host.OwnerAsync(HttpMethod.Put, "/devices/d1/modules/m1", """{"deviceId":"d1","moduleId":"m1"}""");
        var token = SharedAccessSignature.Create(
            $"{HttpHeadHost.HostName}/devices/d1/modules/m1", (string)made.Json["authentication"]!["symmetricKey"]!["primaryKey"]!, _host.Time.GetUtcNow().AddHours(1));

        var answer = await _host.SendAsync(HttpMethod.Post, path, token, """{"methodName":"x"}""", ("x-ms-edge-moduleId", asking));

        Assert.Equal((status, code), (answer.Status, answer.ErrorCode));
    }

    [Fact]
    public async Task Call_OfAService_WithTheHeaderOfAModule_IsAskedForTheModulesCredential()
    {
        var answer = await _host.SendAsync("service", HttpMethod.Post, "/twins/d1/methods", """{"methodName":"x"}""", ("x-ms-edge-moduleId", "d1/m1"));

        Assert.Equal(HttpStatusCode.Unauthorized, answer.Status);
    }

    [Fact]
    public async Task Call_WithoutTheRight_IsRefused()
    {
        var answer = await _host.SendAsync("registryReadWrite", HttpMethod.Post, "/twins/d1/methods", """{"methodName":"x"}""");

        Assert.Equal(HttpStatusCode.Unauthorized, answer.Status);
    }
}
