using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Heads.Http;

public sealed class ManageRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Act_WhoseKeyIsRenewedWhileItsBodyComes_IsRefused()
    {
        var answer = await _hub.SendSlowlyAsync(
            "PUT", "/manage/v1/policies/again", _hub.TokenOf(Policies.Owner), """{"rights":"telemetry-read"}""",
            () => _hub.OwnerAsync(HttpMethod.Post, $"/manage/v1/policies/{Policies.Owner}/renew-key", """{"key":"primary"}"""));

        Assert.StartsWith("HTTP/1.1 401", answer);
        Assert.DoesNotContain(_hub.Policies.List(), policy => policy.Name == "again");
    }

    [Fact]
    public async Task Telemetry_OfADeviceDisabledWhileItsBodyComes_IsRefused()
    {
        var created = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}");
        var key = created.Json["authentication"]!["symmetricKey"]!["primaryKey"]!.GetValue<string>();
        var token = SharedAccessSignature.Create($"{HttpHeadHost.HostName}/devices/d1", key, _hub.Time.GetUtcNow().AddHours(1));

        var answer = await _hub.SendSlowlyAsync(
            "POST", "/devices/d1/messages/events", token, "hello",
            () => _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"status":"disabled"}""", ("If-Match", "*")));

        Assert.StartsWith("HTTP/1.1 404", answer);
    }

    [Fact]
    public async Task Policies_AreListedWithTheirKeys()
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies");

        Assert.Equal(
            ["device", "iothubowner", "registryRead", "registryReadWrite", "service"],
            answer.Json.AsArray().Select(policy => policy!["keyName"]!.GetValue<string>()));
        Assert.All(answer.Json.AsArray(), policy => Assert.NotNull(policy!["primaryKey"]));
    }

    [Fact]
    public async Task Policies_OfMoreRightsThanTheCallers_AreListedWithoutKeys()
    {
        await CreateAsync("manager", "access-manage, DeviceConnect");

        var answer = await _hub.SendAsync("manager", HttpMethod.Get, "/manage/v1/policies");

        Assert.Equal(
            ["device", "manager"],
            answer.Json.AsArray().Where(policy => policy!["primaryKey"] is not null).Select(policy => policy!["keyName"]!.GetValue<string>()));
        Assert.Equal("IotHubUnauthorizedAccess", (await _hub.SendAsync("manager", HttpMethod.Get, "/manage/v1/policies/iothubowner")).ErrorCode);
    }

    [Fact]
    public async Task Policy_GoesThroughItsLife()
    {
        var created = await CreateAsync("reader", "RegistryRead");
        var shown = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies/reader");
        var renewed = await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/policies/reader/renew-key", """{"key":"primary"}""");
        var deleted = await _hub.OwnerAsync(HttpMethod.Delete, "/manage/v1/policies/reader");
        var gone = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies/reader");

        Assert.Equal(HttpStatusCode.OK, created.Status);
        Assert.Equal("RegistryRead", shown.Json["rights"]!.GetValue<string>());
        Assert.NotEqual(shown.Json["primaryKey"]!.GetValue<string>(), renewed.Json["primaryKey"]!.GetValue<string>());
        Assert.Equal(shown.Json["secondaryKey"]!.GetValue<string>(), renewed.Json["secondaryKey"]!.GetValue<string>());
        Assert.Equal(HttpStatusCode.NoContent, deleted.Status);
        Assert.Equal(HttpStatusCode.NotFound, gone.Status);
    }

    [Fact]
    public async Task Policy_WhoseKeyWasRenewed_OpensNothingWithTheOldToken()
    {
        var old = _hub.TokenOf("service");
        Assert.NotEqual(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/devices", _hub.TokenOf("registryRead"), null)).Status);
        await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/policies/service/renew-key", """{"key":"primary"}""");

        Assert.Equal("IotHubUnauthorized", (await _hub.SendAsync(HttpMethod.Get, "/devices", old, null)).ErrorCode);
        Assert.Equal("IotHubUnauthorizedAccess", (await _hub.SendAsync(HttpMethod.Get, "/devices", _hub.TokenOf("service"), null)).ErrorCode);
    }

    [Theory]
    [InlineData("""{"rights":"everything"}""", "ArgumentInvalid")]
    [InlineData("{}", "ArgumentInvalid")]
    [InlineData("""{"rights":"RegistryRead","primaryKey":"short"}""", "ArgumentInvalid")]
    [InlineData("""{"keyName":"other","rights":"RegistryRead"}""", "ArgumentInvalid")]
    public async Task Policy_ThatIsNotValid_IsRefused(string body, string code) =>
        Assert.Equal(code, (await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/p", body)).BodyErrorCode);

    [Theory]
    [InlineData("""{"key":"third"}""")]
    [InlineData("""{"key":"1"}""")]
    [InlineData("{}")]
    public async Task RenewKey_OfNoKey_IsRefused(string body) =>
        Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/policies/service/renew-key", body)).BodyErrorCode);

    [Fact]
    public async Task Status_SaysWhatRunsAndHowFarTheLogIs()
    {
        _hub.Time.Advance(TimeSpan.FromMinutes(2));

        var status = (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/status")).Json;

        Assert.Equal(120, status["uptimeSeconds"]!.GetValue<long>());
        Assert.StartsWith("0.1", status["version"]!.GetValue<string>());
        Assert.StartsWith("http://127.0.0.1:", Assert.Single(status["listeners"]!.AsArray())!.GetValue<string>());
        Assert.Equal(4 * 4, status["log"]!.AsArray().Count);
    }

    [Fact]
    public async Task Config_IsWhatTheExecutableSays() => Assert.Equal(
        """{"Hub":{"Hosts":["hub.test"]}}""", (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/config")).Body);

    [Fact]
    public async Task OpenApi_NamesEveryRouteItsRightAndItsBodies()
    {
        var answer = await _hub.SendAsync(HttpMethod.Get, "/manage/v1/openapi.json", token: null, body: null);

        var paths = answer.Json["paths"]!.AsObject();
        Assert.Equal("3.1.0", answer.Json["openapi"]!.GetValue<string>());
        Assert.All(_hub.Routes, route => Assert.NotNull(paths[route.RoutePattern.RawText!]));
        var put = paths["/manage/v1/policies/{name}"]!["put"]!;
        Assert.Equal(RightsText.Format(Rights.AccessManage), put["x-rights"]!.GetValue<string>());
        Assert.Equal("name", put["parameters"]![0]!["name"]!.GetValue<string>());
        Assert.NotNull(put["requestBody"]!["content"]!["application/json"]!["schema"]!["properties"]!["rights"]);
        Assert.NotNull(put["responses"]!["default"]!["content"]!["application/json"]!["schema"]!["properties"]!["Message"]);
    }

    private Task<Answer> CreateAsync(string name, string rights) =>
        _hub.OwnerAsync(HttpMethod.Put, $"/manage/v1/policies/{name}", $$"""{"rights":"{{rights}}"}""");
}
