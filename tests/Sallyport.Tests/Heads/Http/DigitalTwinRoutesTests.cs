using System.Net;
using Sallyport.Hub.Methods;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Heads.Http;

/// <summary>What callers of digital twins get and are refused; that devices are reached is tested with devices.</summary>
public sealed class DigitalTwinRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"deviceId":"d1"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Get_HasTheTwinsETag()
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Get, "/digitaltwins/d1?api-version=2020-09-30");

        Assert.Equal((HttpStatusCode.OK, "\"AAAAAAAAAAE=\""), (answer.Status, answer.Header("ETag")));
        Assert.Equal("""{"$dtId":"d1","$metadata":{"$model":""}}""", answer.Body);
    }

    [Fact]
    public async Task Patch_WithTheETagGiven_IsDoneOnce_AndSaysWhereItIs()
    {
        const string Patch = """[{"op":"add","path":"/interval","value":5}]""";
        var first = await _hub.OwnerAsync(HttpMethod.Patch, "/digitaltwins/d1", Patch, ("If-Match", "\"AAAAAAAAAAE=\""));
        var again = await _hub.OwnerAsync(HttpMethod.Patch, "/digitaltwins/d1", Patch, ("If-Match", "\"AAAAAAAAAAE=\""));
        var any = await _hub.OwnerAsync(HttpMethod.Patch, "/digitaltwins/d1", Patch, ("If-Match", "*"));

        Assert.Equal((HttpStatusCode.Accepted, "", "\"AAAAAAAAAAI=\"", "/digitaltwins/d1"), (first.Status, first.Body, first.Header("ETag"), first.Header("Location")));
        Assert.Equal((HttpStatusCode.PreconditionFailed, "PreconditionFailed"), (again.Status, again.ErrorCode));
        Assert.Equal(HttpStatusCode.Accepted, any.Status);
        Assert.Equal(5, (int?)(await _hub.OwnerAsync(HttpMethod.Get, "/digitaltwins/d1")).Json["$metadata"]!["interval"]!["desiredValue"]);
    }

    [Theory]
    [InlineData("{}", "IotHubFormatError")]
    [InlineData("", "IotHubFormatError")]
    [InlineData("""[{"op":"add","op":"add","path":"/a","value":1}]""", "IotHubFormatError")]
    [InlineData("""[{"op":"add","path":"/a","value":{"b":1,"b":2}}]""", "IotHubFormatError")]
    [InlineData("""[{"op":"add","path":"/a","value":"\ud800"}]""", "IotHubFormatError")]
    [InlineData("""[{"op":"add","path":"/\ud800","value":1}]""", "IotHubFormatError")]
    [InlineData("""[{"op":"add","path":"/a","value":99999999999999999999}]""", "ArgumentInvalid")]
    [InlineData("""[{"op":"move","path":"/a","from":"/b"}]""", "ArgumentInvalid")]
    [InlineData("[null]", "ArgumentInvalid")]
    public async Task Patch_ThatIsNone_IsRefused(string body, string code)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Patch, "/digitaltwins/d1", body);

        Assert.Equal((HttpStatusCode.BadRequest, code), (answer.Status, answer.ErrorCode));
    }

    [Fact]
    public async Task UnknownDevice_IsNotFound()
    {
        Assert.Equal("DeviceNotFound", (await _hub.OwnerAsync(HttpMethod.Get, "/digitaltwins/d2")).ErrorCode);
        Assert.Equal("DeviceNotFound", (await _hub.OwnerAsync(HttpMethod.Patch, "/digitaltwins/d2", "[]")).ErrorCode);
    }

    public static TheoryData<string, string?, HttpStatusCode, string> Refused => new()
    {
        { "/digitaltwins/d1/commands/x", "{}", HttpStatusCode.NotFound, HubErrors.DeviceNotOnline.Name },
        { "/digitaltwins/d1/commands/x", null, HttpStatusCode.NotFound, HubErrors.DeviceNotOnline.Name },
        { "/digitaltwins/d1/components/c/commands/x?connectTimeoutInSeconds=0&responseTimeoutInSeconds=5", "1", HttpStatusCode.NotFound, HubErrors.DeviceNotOnline.Name },
        { "/digitaltwins/d9/commands/x", "{}", HttpStatusCode.NotFound, HubErrors.DeviceNotFound.Name },
        { "/digitaltwins/d1/commands/c*x", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/digitaltwins/d1/components/c*c/commands/x", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/digitaltwins/d1/commands/x?responseTimeoutInSeconds=4", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/digitaltwins/d1/commands/x?connectTimeoutInSeconds=soon", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/digitaltwins/d1/commands/x?connectTimeoutInSeconds=1&connectTimeoutInSeconds=2", "{}", HttpStatusCode.BadRequest, HubErrors.ArgumentInvalid.Name },
        { "/digitaltwins/d1/commands/x", "{", HttpStatusCode.BadRequest, HubErrors.FormatError.Name },
        { "/digitaltwins/d1/commands/x", $"\"{new string('x', MethodRules.MaxPayloadBytes)}\"", HttpStatusCode.RequestEntityTooLarge, HubErrors.MessageTooLarge.Name },
    };

    [Theory]
    [MemberData(nameof(Refused), DisableDiscoveryEnumeration = true)]
    public async Task Command_ThatCannotBe_IsRefused(string path, string? body, HttpStatusCode status, string code)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Post, path, body);

        Assert.Equal((status, code), (answer.Status, answer.ErrorCode));
    }

    [Fact]
    public async Task Command_IsInTheTrail_WithTheMethodThatItIs()
    {
        await _hub.OwnerAsync(HttpMethod.Post, "/digitaltwins/d1/components/thermostat1/commands/report", "{}");

        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "method invoke", Target: "d1 thermostat1*report" });
    }
}
