using System.Net;

namespace Sallyport.Tests.Heads.Http;

public sealed class QuarantineRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        foreach (var id in new[] { "d1", "d2", "d3" })
            Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", $$"""{"deviceId":"{{id}}"}""")).Status);
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Quarantine_PlacedByAProvisioningService_IsReleasedByTheOwnerOnly()
    {
        var before = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/devices/d1/quarantine");
        var placed = await _hub.SendAsync("registryReadWrite", HttpMethod.Put, "/manage/v1/devices/d1/quarantine", """{"reason":"seal broken"}""");
        var washed = await _hub.SendAsync("registryReadWrite", HttpMethod.Delete, "/manage/v1/devices/d1/quarantine");
        var released = await _hub.OwnerAsync(HttpMethod.Delete, "/manage/v1/devices/d1/quarantine?reason=looked%20at");

        Assert.Equal("""{"deviceId":"d1","inQuarantine":false,"since":null,"placedBy":null,"reason":null}""", before.Body);
        Assert.Equal("""{"deviceId":"d1","inQuarantine":true,"since":"2026-01-02T12:00:00Z","placedBy":"policy:registryReadWrite","reason":"seal broken"}""", placed.Body);
        Assert.Equal("IotHubUnauthorizedAccess", washed.ErrorCode);
        Assert.Equal(HttpStatusCode.NoContent, released.Status);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "device release", Target: "d1" } && entry.Reason.StartsWith("looked at", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Azures_ModelOfADevice_DoesNotChange()
    {
        var before = await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1");
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/devices/d1/quarantine", "{}");

        Assert.Equal(before.Body, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1")).Body);
    }

    [Fact]
    public async Task List_IsPaged()
    {
        foreach (var id in new[] { "d3", "d1", "d2" })
            await _hub.OwnerAsync(HttpMethod.Put, $"/manage/v1/devices/{id}/quarantine", "{}");

        var first = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/quarantine?top=2");
        var rest = await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/quarantine?top=2&after=d2");

        Assert.Equal(["d1", "d2"], first.Json.AsArray().Select(item => (string?)item!["deviceId"]));
        Assert.Equal(["d3"], rest.Json.AsArray().Select(item => (string?)item!["deviceId"]));
    }

    [Theory]
    [InlineData("PUT", "/manage/v1/devices/nobody/quarantine", "{}", HttpStatusCode.NotFound)]
    [InlineData("GET", "/manage/v1/devices/nobody/quarantine", null, HttpStatusCode.NotFound)]
    [InlineData("DELETE", "/manage/v1/devices/d1/quarantine", null, HttpStatusCode.NotFound)]
    [InlineData("PUT", "/manage/v1/devices/d1/quarantine", "[]", HttpStatusCode.BadRequest)]
    [InlineData("PUT", "/manage/v1/devices/d1/quarantine", """{"reason":1}""", HttpStatusCode.BadRequest)]
    [InlineData("PUT", "/manage/v1/devices/d1/quarantine", "{", HttpStatusCode.BadRequest)]
    [InlineData("PUT", "/manage/v1/devices/d%201/quarantine", "{}", HttpStatusCode.BadRequest)]
    [InlineData("GET", "/manage/v1/quarantine?top=0", null, HttpStatusCode.BadRequest)]
    [InlineData("GET", "/manage/v1/quarantine?top=1001", null, HttpStatusCode.BadRequest)]
    public async Task Request_ThatCannotBeDone_IsRefused(string method, string path, string? body, HttpStatusCode expected) =>
        Assert.Equal(expected, (await _hub.OwnerAsync(new HttpMethod(method), path, body)).Status);

    [Fact]
    public async Task Reason_LongerThanTheBound_IsRefused() =>
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/devices/d1/quarantine", $$"""{"reason":"{{new string('x', 513)}}"}""")).Status);

    [Fact]
    public async Task Bulk_WithAKeyOfAnother_NamesTheItem()
    {
        const string key = "MTIzNDU2Nzg5MDEyMzQ1Ng==";
        var item = (string id) => "{\"id\":\"" + id + "\",\"importMode\":\"create\",\"authentication\":{\"type\":\"sas\",\"symmetricKey\":{\"primaryKey\":\"" + key + "\"}}}";

        var answer = await _hub.OwnerAsync(HttpMethod.Post, "/devices", $"[{item("e1")},{item("e2")}]");

        Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
        var error = Assert.Single(answer.Json["errors"]!.AsArray())!;
        Assert.Equal(("e2", "Conflict"), ((string?)error["deviceId"], (string?)error["errorCode"]));
        Assert.DoesNotContain(key, answer.Body);
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/e1")).Status);
    }
}
