using System.Net;

namespace Sallyport.Tests.Heads.Http;

public sealed class ConfigurationRoutesTests : IAsyncLifetime
{
    private const string Body = """{"id":"a","content":{"deviceContent":{"properties.desired.a":1}},"targetCondition":"*","priority":1}""";

    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Configuration_FromCreationToDeletion()
    {
        var made = await _hub.OwnerAsync(HttpMethod.Put, "/configurations/a?api-version=2021-04-12", Body);
        Assert.Equal((HttpStatusCode.OK, null), (made.Status, made.Header("ETag")));
        Assert.Equal(
            ["id", "schemaVersion", "labels", "content", "targetCondition", "createdTimeUtc", "lastUpdatedTimeUtc", "priority", "systemMetrics", "metrics", "etag"], made.Json.AsObject().Select(member => member.Key));
        Assert.Equal(made.Body, (await _hub.OwnerAsync(HttpMethod.Get, "/configurations/a")).Body);
        Assert.Equal($"[{made.Body}]", (await _hub.OwnerAsync(HttpMethod.Get, "/configurations/?top=5")).Body);
        Assert.Equal("PreconditionFailed", (await _hub.OwnerAsync(HttpMethod.Put, "/configurations/a", Body, ("If-Match", "\"AAAAAAAAAAk=\""))).ErrorCode);
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Put, "/configurations/a", Body, ("If-Match", $"\"{made.Json["etag"]}\""))).Status);
        Assert.Equal("PreconditionFailed", (await _hub.OwnerAsync(HttpMethod.Delete, "/configurations/a", null, ("If-Match", $"\"{made.Json["etag"]}\""))).ErrorCode);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.OwnerAsync(HttpMethod.Delete, "/configurations/a")).Status);
        Assert.Equal((HttpStatusCode.NotFound, "ConfigurationNotFound"), ((await _hub.OwnerAsync(HttpMethod.Get, "/configurations/a")).Status, (await _hub.OwnerAsync(HttpMethod.Delete, "/configurations/a")).ErrorCode));
    }

    [Theory]
    [InlineData("/configurations/b", Body, "ArgumentInvalid")]
    [InlineData("/configurations/a", "{", "IotHubFormatError")]
    [InlineData("/configurations/a", "{}", "ArgumentNull")]
    [InlineData("/configurations/a%20b", "{}", "ArgumentInvalid")]
    public async Task Put_OfWhatIsNone_IsRefused(string path, string body, string error) => Assert.Equal(error, (await _hub.OwnerAsync(HttpMethod.Put, path, body)).ErrorCode);

    [Fact]
    public async Task List_TopIsNone_IsRefused()
    {
        foreach (var top in (string[])["0", "129", "x", "-1"])
            Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Get, $"/configurations?top={top}")).ErrorCode);
    }

    [Fact]
    public async Task Body_LargerThanTheBound_IsRefused() =>
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await _hub.OwnerAsync(HttpMethod.Put, "/configurations/a", "{\"labels\":\"" + new string('x', 300_000) + "\"}")).Status);

    [Fact]
    public async Task Id_WithEveryLegalCharacter_IsOneOfThePath()
    {
        const string id = "a0-:+%_#*?!(),=@;'";
        var made = await _hub.OwnerAsync(HttpMethod.Put, $"/configurations/{Uri.EscapeDataString(id)}", Body.Replace("\"a\"", $"\"{id}\"", StringComparison.Ordinal));
        Assert.Equal(id, (string?)made.Json["id"]);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.OwnerAsync(HttpMethod.Delete, $"/configurations/{Uri.EscapeDataString(id)}")).Status);
    }

    [Fact]
    public async Task Limited_MakesConfigurationsOfItsDevices_AndAppliesContentToThese()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/plants", """{"rights":"configuration-manage, twin-read, twin-write","devicePrefixes":["plant-"]}""");
        foreach (var id in (string[])["plant-1", "mill-1"])
            await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", $$"""{"deviceId":"{{id}}"}""");
        await _hub.OwnerAsync(HttpMethod.Put, "/configurations/all", Body.Replace("\"a\"", "\"all\"", StringComparison.Ordinal));
        const string content = """{"deviceContent":{"properties.desired.now":1}}""";

        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("plants", HttpMethod.Put, "/configurations/a", Body)).Status);
        Assert.Equal(["a"], (await _hub.SendAsync("plants", HttpMethod.Get, "/configurations")).Json.AsArray().Select(one => (string?)one!["id"]));
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.SendAsync("plants", HttpMethod.Get, "/configurations/all")).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("plants", HttpMethod.Post, "/devices/plant-1/applyConfigurationContent", content)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("plants", HttpMethod.Post, "/devices/mill-1/applyConfigurationContent", content)).Status);
        Assert.Equal(1, (int)(await _hub.OwnerAsync(HttpMethod.Get, "/twins/plant-1")).Json["properties"]!["desired"]!["now"]!);
    }

    [Fact]
    public async Task TestQueries_AnswersErrors()
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Post, "/configurations/testQueries", """{"targetCondition":"tags.a = 1","customMetricQueries":{"m":"x"}}""");
        Assert.Equal((HttpStatusCode.OK, null), (answer.Status, (string?)answer.Json["targetConditionError"]));
        Assert.Equal(["m"], answer.Json["customMetricQueryErrors"]!.AsObject().Select(member => member.Key));
    }
}
