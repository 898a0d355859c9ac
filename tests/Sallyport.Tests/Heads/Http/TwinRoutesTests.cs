using System.Net;

namespace Sallyport.Tests.Heads.Http;

public sealed class TwinRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"deviceId":"d1"}""");
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1/modules/m1", """{"deviceId":"d1","moduleId":"m1"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Get_IsAsIoTHubShowsIt()
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Get, "/twins/d1?api-version=2021-04-12");

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        var twin = answer.Json.AsObject();
        Assert.Equal(
            ["deviceId", "etag", "deviceEtag", "status", "statusUpdateTime", "connectionState", "lastActivityTime", "cloudToDeviceMessageCount", "authenticationType", "x509Thumbprint", "modelId", "version", "tags", "properties", "capabilities"],
            twin.Select(member => member.Key));
        Assert.Equal(("sas", "enabled", "Disconnected", "0001-01-01T00:00:00Z"), ((string?)twin["authenticationType"], (string?)twin["status"], (string?)twin["connectionState"], (string?)twin["lastActivityTime"]));
    }

    [Fact]
    public async Task Patch_WithTheETagGiven_IsDoneOnce()
    {
        const string patch = """{"tags":{"site":"a"},"properties":{"desired":{"n":1}}}""";
        var first = await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d1", patch, ("If-Match", "\"AAAAAAAAAAE=\""));
        var again = await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d1", patch, ("If-Match", "\"AAAAAAAAAAE=\""));
        var any = await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d1", """{"tags":{"site":null}}""", ("If-Match", "\"*\""));

        Assert.Equal((HttpStatusCode.OK, "AAAAAAAAAAI="), (first.Status, (string?)first.Json["etag"]));
        Assert.Equal(1, (int?)first.Json["properties"]!["desired"]!["n"]);
        Assert.Equal((HttpStatusCode.PreconditionFailed, "PreconditionFailed"), (again.Status, again.ErrorCode));
        Assert.Equal("{}", any.Json["tags"]!.ToJsonString());
    }

    [Fact]
    public async Task Put_OfATwinAsItWasRead_ChangesWhatIsTheServicesOnly()
    {
        await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d1/modules/m1", """{"properties":{"desired":{"n":{"x":1},"o":2}}}""");
        var twin = (await _hub.OwnerAsync(HttpMethod.Get, "/twins/d1/modules/m1")).Json.AsObject();
        twin["properties"]!["desired"]!.AsObject().Remove("o");
        twin["properties"]!["reported"]!["r"] = 1;
        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/twins/d1/modules/m1", twin.ToJsonString(), ("If-Match", "\"*\""));

        Assert.Equal("m1", (string?)answer.Json["moduleId"]);
        Assert.Equal(["n", "$metadata", "$version"], answer.Json["properties"]!["desired"]!.AsObject().Select(member => member.Key));
        Assert.Equal(["$metadata", "$version"], answer.Json["properties"]!["reported"]!.AsObject().Select(member => member.Key));
    }

    [Theory]
    [InlineData("""{"tags":{"a.b":1}}""", "ArgumentInvalid", "tags: the key 'a.b'")]
    [InlineData("""{"properties":{"desired":{"a":{"b":1,"b":2}}}}""", "ArgumentInvalid", "properties.desired.a: the key 'b' is there twice")]
    [InlineData("{", "IotHubFormatError", "not the JSON of a twin")]
    [InlineData("", "IotHubFormatError", "not the JSON of a twin")]
    public async Task Patch_AgainstARule_SaysWhere(string body, string code, string says)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d1", body);

        Assert.Equal((HttpStatusCode.BadRequest, code), (answer.Status, answer.ErrorCode));
        Assert.Contains(says, (string?)answer.Json["Message"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/twins/d2", "DeviceNotFound")]
    [InlineData("/twins/d1/modules/m2", "ModuleNotFound")]
    public async Task UnknownIdentity_IsNotFound(string path, string code)
    {
        Assert.Equal((HttpStatusCode.NotFound, code), await OutcomeAsync(HttpMethod.Get));
        Assert.Equal((HttpStatusCode.NotFound, code), await OutcomeAsync(HttpMethod.Patch));
        Assert.Equal((HttpStatusCode.NotFound, code), await OutcomeAsync(HttpMethod.Put));

        async Task<(HttpStatusCode, string?)> OutcomeAsync(HttpMethod method)
        {
            var answer = await _hub.OwnerAsync(method, path, method == HttpMethod.Get ? null : "{}");
            return (answer.Status, answer.ErrorCode);
        }
    }

    [Fact]
    public async Task Rights_RegistryAlone_OpensNoTwin()
    {
        var token = _hub.TokenOf("registryReadWrite", HttpHeadHost.HostName);

        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/twins/d1", token, null)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Patch, "/twins/d1", token, "{}")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync(HttpMethod.Get, "/twins/d1", _hub.TokenOf("service", HttpHeadHost.HostName), null)).Status);
    }
}
