using System.Net;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Heads.Http;

public sealed class QueryRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        foreach (var id in (string[])["d1", "d2", "e1"])
            await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", $$"""{"deviceId":"{{id}}"}""");
        await _hub.OwnerAsync(HttpMethod.Patch, "/twins/d2", """{"tags":{"site":"a"}}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Query_AnswersTwins_AndSaysSo()
    {
        var answer = await QueryAsync("SELECT * FROM devices WHERE tags.site = 'a'");

        Assert.Equal((HttpStatusCode.OK, "Twin", null), (answer.Status, answer.Header("x-ms-item-type"), answer.Header("x-ms-continuation")));
        Assert.Equal((await _hub.OwnerAsync(HttpMethod.Get, "/twins/d2")).Body, answer.Json.AsArray().Single()!.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
    }

    [Theory]
    [InlineData("SELECT deviceId FROM devices", "Raw")]
    [InlineData("SELECT COUNT() AS n FROM devices", "Raw")]
    [InlineData("SELECT * FROM devices.modules", "Twin")]
    [InlineData("SELECT * FROM devices.jobs", "DeviceJob")]
    public async Task ItemType_IsWhatTheRowsAre(string query, string type) => Assert.Equal(type, (await QueryAsync(query)).Header("x-ms-item-type"));

    [Fact]
    public async Task Pages_AreAskedForByHeader()
    {
        var first = await QueryAsync("SELECT deviceId FROM devices", ("x-ms-max-item-count", "2"));
        var second = await QueryAsync("SELECT deviceId FROM devices", ("x-ms-max-item-count", "2"), ("x-ms-continuation", first.Header("x-ms-continuation")!));

        Assert.Equal("""[{"deviceId":"d1"},{"deviceId":"d2"}]""", first.Body);
        Assert.Equal(("""[{"deviceId":"e1"}]""", null), (second.Body, second.Header("x-ms-continuation")));
    }

    [Theory]
    [InlineData("""{"query":"SELECT * FORM devices"}""", "ArgumentInvalid", "query, line 1, column 10: found 'FORM'; expected FROM")]
    [InlineData("{}", "ArgumentNull", "query: is missing")]
    [InlineData("""{"query":null}""", "ArgumentNull", "query: is missing")]
    [InlineData("""{"query":5}""", "IotHubFormatError", "$.query")]
    [InlineData("", "IotHubFormatError", "not the JSON")]
    public async Task Query_ThatIsNone_IsABadRequestThatSaysWhere(string body, string code, string says)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", body);

        Assert.Equal((HttpStatusCode.BadRequest, code, code), (answer.Status, answer.ErrorCode, answer.BodyErrorCode));
        Assert.Contains(says, (string?)answer.Json["Message"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-ms-continuation", "nonsense")]
    [InlineData("x-ms-max-item-count", "many")]
    [InlineData("x-ms-max-item-count", "0")]
    [InlineData("x-ms-max-item-count", "-1")]
    [InlineData("x-ms-max-item-count", "99999999999")]
    public async Task Header_ThatIsNone_IsABadRequestThatNamesIt(string name, string value)
    {
        var answer = await QueryAsync("SELECT * FROM devices", (name, value));

        Assert.Equal((HttpStatusCode.BadRequest, "ArgumentInvalid"), (answer.Status, answer.ErrorCode));
        Assert.Contains(name, (string?)answer.Json["Message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rights_ThatReadTwins_AreNeeded_ForAllDevices()
    {
        const string body = """{"query":"SELECT deviceId FROM devices"}""";
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("service", HttpMethod.Post, "/devices/query", body)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("registryReadWrite", HttpMethod.Post, "/devices/query", body)).Status);

        // A token of a device that is called "query" is not one for all devices.
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Post, "/devices/query", _hub.TokenOf("service", $"{HttpHeadHost.HostName}/devices/query"), body)).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync(HttpMethod.Post, "/devices/query", _hub.TokenOf("service", $"{HttpHeadHost.HostName}/devices"), body)).Status);
    }

    [Fact]
    public async Task Scope_OfWhoAsks_LimitsRows()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/some", """{"rights":"twin-read","devicePrefixes":["d"]}""");

        var answer = await _hub.SendAsync("some", HttpMethod.Post, "/devices/query", """{"query":"SELECT deviceId FROM devices"}""");

        Assert.Equal("""[{"deviceId":"d1"},{"deviceId":"d2"}]""", answer.Body);
    }

    private Task<Answer> QueryAsync(string query, params (string Name, string Value)[] headers) =>
        _hub.OwnerAsync(HttpMethod.Post, "/devices/query", new JsonObject { ["query"] = query }.ToJsonString(), headers);
}
