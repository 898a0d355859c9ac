using System.Net;

namespace Sallyport.Tests.Heads.Http;

public sealed class CommandRoutesTests : IAsyncLifetime
{
    private const string Queue = "/manage/v1/devices/d1/commands";

    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        foreach (var path in new[] { "/devices/d1", "/devices/d1/modules/m1" })
            await _hub.OwnerAsync(HttpMethod.Put, path, "{}");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Command_SentListedReceivedAndCompleted()
    {
        var sent = await _hub.SendAsync("service", HttpMethod.Post, Queue, """{"body":"open","messageId":"m1","ack":"full","contentType":"text/plain","properties":{"k":"v","n":null}}""");
        Assert.Equal("""{"sequence":1,"messageId":"m1"}""", sent.Body);
        Assert.Equal(1, (int)(await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1")).Json["cloudToDeviceMessageCount"]!);
        var listed = await _hub.SendAsync("service", HttpMethod.Get, Queue);
        Assert.Equal(("enqueued", "full", 0), ((string)listed.Json[0]!["state"]!, (string)listed.Json[0]!["ack"]!, (int)listed.Json[0]!["deliveryCount"]!));

        var taken = await _hub.SendAsync("service", HttpMethod.Post, $"{Queue}/receive");
        Assert.Equal(("open", "text/plain", "v"), ((string)taken.Json["body"]!, (string)taken.Json["contentType"]!, (string)taken.Json["properties"]!["k"]!));
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Post, $"{Queue}/receive")).Status);
        var token = (string)taken.Json["lockToken"]!;
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Post, $"{Queue}/{token}/complete")).Status);
        Assert.Equal("DeviceMessageLockLost", (await _hub.SendAsync("service", HttpMethod.Post, $"{Queue}/{token}/complete")).ErrorCode);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "command receive", Target: "d1" });
    }

    [Fact]
    public async Task DeadCommand_IsListedAndReplayed()
    {
        await _hub.OwnerAsync(HttpMethod.Post, Queue, """{"bodyBase64":"/w=="}""");
        var token = (string)(await _hub.OwnerAsync(HttpMethod.Post, $"{Queue}/receive")).Json["lockToken"]!;
        await _hub.OwnerAsync(HttpMethod.Post, $"{Queue}/{token}/reject");

        var dead = (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/dead-commands")).Json[0]!;
        Assert.Equal(("deadLettered", "rejected", "/w=="), ((string)dead["state"]!, (string)dead["reason"]!, (string)dead["bodyBase64"]!));
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Post, $"/manage/v1/devices/d1/dead-commands/{dead["sequence"]}/replay")).Status);
        Assert.Equal("NotFound", (await _hub.OwnerAsync(HttpMethod.Delete, $"/manage/v1/devices/d1/dead-commands/{dead["sequence"]}")).ErrorCode);
        Assert.Equal("""{"totalMessagesPurged":1,"deviceId":"d1","moduleId":null}""", (await _hub.OwnerAsync(HttpMethod.Delete, "/devices/d1/commands")).Body);
    }

    [Theory]
    [InlineData("/manage/v1/devices/nobody/commands", "{}", "DeviceNotFound")]
    [InlineData("/manage/v1/devices/d1/modules/nobody/commands", "{}", "ModuleNotFound")]
    [InlineData(Queue, """{"body":"a","bodyBase64":"YQ=="}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"bodyBase64":"?"}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"ack":"always"}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"expiryTimeUtc":"tomorrow"}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"messageId":"ä"}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"properties":{"":"v"}}""", "ArgumentInvalid")]
    [InlineData(Queue, """{"properties":{"k":{}}}""", "IotHubFormatError")]
    [InlineData(Queue, """{"body":"a","body":"b"}""", "IotHubFormatError")]
    [InlineData(Queue + "/not-a-token/complete", null, "DeviceMessageLockLost")]
    public async Task BadRequest_IsRefusedByName(string path, string? body, string error) =>
        Assert.Equal(error, (await _hub.OwnerAsync(HttpMethod.Post, path, body)).ErrorCode);

    [Fact]
    public async Task Body_LargerThan64KiB_IsRefused() =>
        Assert.Equal("MessageTooLarge", (await _hub.OwnerAsync(HttpMethod.Post, Queue, $$"""{"body":"{{new string('x', 65_536)}}"}""")).ErrorCode);

    [Fact]
    public async Task Queue_ThatIsFull_Is403004()
    {
        for (var i = 0; i < 50; i++)
            Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Post, Queue, "{}")).Status);

        var more = await _hub.OwnerAsync(HttpMethod.Post, Queue, "{}");
        Assert.Equal((HttpStatusCode.Forbidden, "DeviceMaximumQueueDepthExceeded"), (more.Status, more.ErrorCode));
    }
}
