using System.Net;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Heads.Http;

public sealed class ConsumerGroupRoutesTests : IAsyncLifetime
{
    private const string Path = "/manage/v1/consumer-groups";

    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Group_CreatedShownListedDeleted_IsThereAndThenGone()
    {
        var made = await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/Dashboards");
        var again = await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/dashboards", "{}");

        Assert.Equal(HttpStatusCode.OK, made.Status);
        Assert.Equal("""{"name":"Dashboards","createdTime":"2026-01-02T12:00:00Z"}""", made.Body);
        Assert.Equal(made.Body, again.Body);
        Assert.Equal(made.Body, (await _hub.SendAsync("service", HttpMethod.Get, $"{Path}/DASHBOARDS")).Body);
        Assert.Equal(["$Default", "Dashboards"], Names(await _hub.SendAsync("service", HttpMethod.Get, Path)));

        Assert.Equal(HttpStatusCode.NoContent, (await _hub.OwnerAsync(HttpMethod.Delete, $"{Path}/dashboards")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Delete, $"{Path}/dashboards")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Get, $"{Path}/dashboards")).Status);
        Assert.Equal(["$Default"], Names(await _hub.OwnerAsync(HttpMethod.Get, Path)));
    }

    [Theory]
    [InlineData("PUT", "a%20b", HttpStatusCode.BadRequest, "a consumer group's name has 1 to 50")]
    [InlineData("PUT", "$other", HttpStatusCode.BadRequest, "a consumer group's name has 1 to 50")]
    [InlineData("PUT", "gr%C3%B6%C3%9Fe", HttpStatusCode.BadRequest, "a consumer group's name has 1 to 50")]
    [InlineData("PUT", "123456789012345678901234567890123456789012345678901", HttpStatusCode.BadRequest, "a consumer group's name has 1 to 50")]
    [InlineData("DELETE", "$Default", HttpStatusCode.BadRequest, "$Default cannot be deleted")]
    [InlineData("DELETE", "%24default", HttpStatusCode.BadRequest, "$Default cannot be deleted")]
    [InlineData("DELETE", "a%20b", HttpStatusCode.NotFound, "no such consumer group")]
    [InlineData("GET", "nobodys", HttpStatusCode.NotFound, "no such consumer group")]
    public async Task Request_NotValid_IsRefusedInWords(string method, string name, HttpStatusCode expected, string words)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Parse(method), $"{Path}/{name}");

        Assert.Equal(expected, answer.Status);
        Assert.Contains(words, answer.Body);
        Assert.Equal(["$Default"], Names(await _hub.OwnerAsync(HttpMethod.Get, Path)));
    }

    [Fact]
    public async Task Groups_BeyondTheBound_AreRefused()
    {
        for (var i = 1; i < 20; i++)
            Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/g{i}")).Status);

        var refused = await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/g20");

        Assert.Equal((HttpStatusCode.Forbidden, "IotHubQuotaExceeded"), (refused.Status, refused.ErrorCode));
    }

    [Fact]
    public async Task Act_OfAReader_IsRefused()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("service", HttpMethod.Put, $"{Path}/new")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("service", HttpMethod.Delete, $"{Path}/$Default")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("registryRead", HttpMethod.Get, Path)).Status);
    }

    [Fact]
    public async Task Reader_LimitedToAGroup_SeesAndReadsThatOneOnly()
    {
        await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/Mine");
        await _hub.OwnerAsync(HttpMethod.Put, $"{Path}/theirs");
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/limited", """{"rights":"telemetry-read, connection-manage","consumerGroups":["mine"]}""");

        Assert.Equal(["Mine"], Names(await _hub.SendAsync("limited", HttpMethod.Get, Path)));
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("limited", HttpMethod.Get, $"{Path}/mine")).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("limited", HttpMethod.Put, "/manage/v1/checkpoints/mine/me", """{"positions":{"0":1}}""")).Status);
        foreach (var other in (string[])["theirs", "nobodys", "$Default"])
        {
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("limited", HttpMethod.Get, $"{Path}/{other}")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("limited", HttpMethod.Put, $"{Path}/{other}")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("limited", HttpMethod.Delete, $"{Path}/{other}")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("limited", HttpMethod.Get, $"/manage/v1/events?follow=false&consumerGroup={other}")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("limited", HttpMethod.Get, $"/manage/v1/checkpoints/{other}/me")).Status);
        }

        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("limited", HttpMethod.Delete, $"{Path}/mine")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.SendAsync("limited", HttpMethod.Get, "/manage/v1/checkpoints/mine/me")).Status);
    }

    private static IEnumerable<string?> Names(Answer answer) => JsonNode.Parse(answer.Body)!.AsArray().Select(group => (string?)group!["name"]);
}
