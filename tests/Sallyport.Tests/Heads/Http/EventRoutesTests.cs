using System.Net;
using System.Text;
using System.Text.Json;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Tests.Hub.Telemetry;

namespace Sallyport.Tests.Heads.Http;

public sealed class EventRoutesTests : IAsyncDisposable
{
    private TelemetryServer? _server;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HttpClient Client => _server!.Client;

    private TelemetryLog Telemetry => _server!.Telemetry;

    [Fact]
    public async Task Events_OfTheLog_ComeAsLines()
    {
        _server = await TelemetryServer.StartAsync();
        await Telemetry.SendAsync(Telemetry.DeviceOf(1), """{"t":1}""", """{"t":2}""");

        using var response = await Client.GetAsync("/manage/v1/events?follow=false&from=earliest&api-version=2021-04-12", Cancel);
        var lines = (await response.Content.ReadAsStringAsync(Cancel)).TrimEnd('\n').Split('\n');

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("application/x-ndjson", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal(2, lines.Length);
        using var second = JsonDocument.Parse(lines[1]);
        Assert.Equal(1, second.RootElement.GetProperty("sequenceNumber").GetInt64());
        Assert.Equal(2, second.RootElement.GetProperty("body").GetProperty("t").GetInt32());
    }

    [Fact]
    public async Task Events_Followed_ComeWhenTheyAreOnDisk()
    {
        _server = await TelemetryServer.StartAsync();
        using var lines = await FollowAsync("/manage/v1/events");

        await Telemetry.SendAsync(Telemetry.DeviceOf(2), "\"first\"");
        Assert.Contains("\"body\":\"first\"", await lines.ReadLineAsync(Cancel));
        await Telemetry.SendAsync(Telemetry.DeviceOf(3), "\"second\"");
        Assert.Contains("\"body\":\"second\"", await lines.ReadLineAsync(Cancel));
    }

    [Fact]
    public async Task Events_NoMoreThanAskedFor()
    {
        _server = await TelemetryServer.StartAsync();
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "1", "2", "3");

        var text = await Client.GetStringAsync("/manage/v1/events?from=earliest&maxEvents=2", Cancel);

        Assert.Equal(2, text.Count(c => c == '\n'));
    }

    [Fact]
    public async Task Events_OfAPartitionAndDevice_LeaveOthersOut()
    {
        _server = await TelemetryServer.StartAsync();
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "0");
        await Telemetry.SendAsync(Telemetry.DeviceOf(1), "1");

        Assert.Single(await _server.EventsAsync("&partition=1"));
        Assert.Empty(await _server.EventsAsync($"&partition=1&deviceId={Telemetry.DeviceOf(0)}"));
        Assert.Single(await _server.EventsAsync($"&deviceId={Telemetry.DeviceOf(0)}"));
        Assert.Equal(2, (await _server.EventsAsync("&deviceId=*&consumerGroup=$default")).Length);
    }

    [Fact]
    public async Task Events_FromBeforeTheOldest_TellTheGapFirst()
    {
        _server = await TelemetryServer.StartAsync(log: log => new TrimmedLog(log, first: 2));
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "1", "2", "3");

        var text = await Client.GetStringAsync("/manage/v1/events?follow=false&partition=0&from=sequence:0", Cancel);

        Assert.StartsWith("""{"control":"skipped","partition":0,"count":2}""" + "\n", text);
        Assert.Equal(2, text.Count(c => c == '\n'));
    }

    [Theory]
    [InlineData("partition=4", "partition: 0 to 3")]
    [InlineData("partition=-1", "partition: 0 to 3")]
    [InlineData("partition=0&partition=1", "partition: may be given once")]
    [InlineData("from=noon", "from: earliest, latest, offset:N")]
    [InlineData("deviceId=a%20b", "deviceId: a device id")]
    [InlineData("checkpoint=../x", "checkpoint: 1 to 128")]
    [InlineData("positions=0", "positions: partition:sequence")]
    [InlineData("positions=4:1", "positions: partition:sequence")]
    [InlineData("positions=0:1,0:2", "positions: partition:sequence")]
    [InlineData("positions=0:-1", "positions: partition:sequence")]
    [InlineData("follow=yes", "follow: true or false")]
    [InlineData("maxEvents=0", "maxEvents: a number from 1 on")]
    [InlineData("device=d1", "the parameters are consumerGroup, partition")]
    public async Task Parameter_NotValid_IsRefusedByName(string query, string expected)
    {
        _server = await TelemetryServer.StartAsync();

        using var response = await Client.GetAsync($"/manage/v1/events?{query}", Cancel);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Contains($"ErrorCode:ArgumentInvalid;{expected}", await response.Content.ReadAsStringAsync(Cancel));
    }

    [Fact]
    public async Task ConsumerGroup_NotThere_IsNotFound()
    {
        _server = await TelemetryServer.StartAsync();

        using var response = await Client.GetAsync("/manage/v1/events?consumerGroup=dashboards", Cancel);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Contains("no such consumer group", await response.Content.ReadAsStringAsync(Cancel));
    }

    [Fact]
    public async Task Reader_WithoutTheRight_IsRefused()
    {
        _server = await TelemetryServer.StartAsync(Rights.RegistryRead);

        using var events = await Client.GetAsync("/manage/v1/events?follow=false", Cancel);
        using var checkpoint = await Client.GetAsync("/manage/v1/checkpoints/$Default/a", Cancel);

        Assert.Equal(HttpStatusCode.Unauthorized, events.StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, checkpoint.StatusCode);
    }

    [Fact]
    public async Task Readers_BeyondTheBound_AreRefusedUntilOneGoes()
    {
        _server = await TelemetryServer.StartAsync(options: new EventReadOptions { MaxReaders = 1 });
        var held = await FollowAsync("/manage/v1/events");

        using var refused = await Client.GetAsync("/manage/v1/events?follow=false", Cancel);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Contains("which is the bound", await refused.Content.ReadAsStringAsync(Cancel));

        held.Dispose();
        while ((await Client.GetAsync("/manage/v1/events?follow=false", Cancel)).StatusCode != HttpStatusCode.OK)
            await Task.Yield();
    }

    [Fact]
    public async Task Stream_WhenTheHubStops_SaysSoAndEnds()
    {
        _server = await TelemetryServer.StartAsync();
        using var lines = await FollowAsync("/manage/v1/events");

        var stop = _server.StopAsync();

        Assert.Equal("""{"control":"end","reason":"the hub is stopping"}""", await lines.ReadLineAsync(Cancel));
        Assert.Null(await lines.ReadLineAsync(Cancel));
        await stop;
    }

    [Fact]
    public async Task Stream_WhenItsPolicyIsWithdrawn_SaysSoAndEnds()
    {
        using var policy = new CancellationTokenSource();
        _server = await TelemetryServer.StartAsync(withdrawn: policy.Token);
        using var lines = await FollowAsync("/manage/v1/events");

        await policy.CancelAsync();

        Assert.Equal("""{"control":"end","reason":"the policy was deleted or got a new key"}""", await lines.ReadLineAsync(Cancel));
        Assert.Null(await lines.ReadLineAsync(Cancel));
    }

    [Fact]
    public async Task Stream_WhenItsConsumerGroupIsDeleted_SaysSoAndEnds_AndOthersGoOn()
    {
        _server = await TelemetryServer.StartAsync(Rights.TelemetryRead | Rights.ConnectionManage);
        foreach (var group in (string[])["Dashboards", "others"])
            Assert.Equal(HttpStatusCode.OK, (await Client.PutAsync($"/manage/v1/consumer-groups/{group}", null, Cancel)).StatusCode);
        using var lines = await FollowAsync("/manage/v1/events?consumerGroup=dashboards");
        using var others = await FollowAsync("/manage/v1/events?consumerGroup=others");
        await Telemetry.SendAsync(Telemetry.DeviceOf(1), "1");
        Assert.Contains("\"body\":1", await lines.ReadLineAsync(Cancel));
        Assert.Contains("\"body\":1", await others.ReadLineAsync(Cancel));

        Assert.Equal(HttpStatusCode.NoContent, (await Client.DeleteAsync("/manage/v1/consumer-groups/DASHBOARDS", Cancel)).StatusCode);

        Assert.Equal("""{"control":"end","reason":"the consumer group was deleted"}""", await lines.ReadLineAsync(Cancel));
        Assert.Null(await lines.ReadLineAsync(Cancel));
        Assert.Equal(HttpStatusCode.NotFound, (await Client.GetAsync("/manage/v1/events?consumerGroup=Dashboards", Cancel)).StatusCode);
        await Telemetry.SendAsync(Telemetry.DeviceOf(1), "2");
        Assert.Contains("\"body\":2", await others.ReadLineAsync(Cancel));
    }

    [Fact]
    public async Task Checkpoints_OfTwoGroups_AreApart_AndGoWithTheirs()
    {
        _server = await TelemetryServer.StartAsync(Rights.TelemetryRead | Rights.ConnectionManage);
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "1", "2", "3");
        await Client.PutAsync("/manage/v1/consumer-groups/Nightly", null, Cancel);
        Assert.Equal(HttpStatusCode.NoContent, await PutAsync("nightly/me", """{"positions":{"0":2}}"""));
        Assert.Equal(HttpStatusCode.NoContent, await PutAsync("$Default/me", """{"positions":{"0":1}}"""));

        Assert.Single(await _server.EventsAsync("&consumerGroup=NIGHTLY&checkpoint=me"));
        Assert.Equal(2, (await _server.EventsAsync("&checkpoint=me")).Length);

        await Client.DeleteAsync("/manage/v1/consumer-groups/nightly", Cancel);
        Assert.Equal(HttpStatusCode.NotFound, await PutAsync("nightly/me", """{"positions":{"0":2}}"""));
        await Client.PutAsync("/manage/v1/consumer-groups/nightly", null, Cancel);
        Assert.Equal(3, (await _server.EventsAsync("&consumerGroup=nightly&checkpoint=me")).Length);
        Assert.Equal(2, (await _server.EventsAsync("&checkpoint=me")).Length);
    }

    [Fact]
    public async Task Stream_WhenTheTokenExpires_SaysSoAndEnds()
    {
        _server = await TelemetryServer.StartAsync();
        Client.DefaultRequestHeaders.Authorization = new("hour");
        using var lines = await FollowAsync("/manage/v1/events");

        Telemetry.Time.Advance(TimeSpan.FromHours(1));

        string? line;
        do
            line = await lines.ReadLineAsync(Cancel);
        while (line == """{"control":"heartbeat"}""");
        Assert.Equal("""{"control":"end","reason":"the token expired"}""", line);
        Assert.Null(await lines.ReadLineAsync(Cancel));
    }

    [Fact]
    public async Task Checkpoint_Saved_IsWhereReadingGoesOn()
    {
        _server = await TelemetryServer.StartAsync();
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "1", "2", "3");
        await Telemetry.SendAsync(Telemetry.DeviceOf(1), "4", "5");

        Assert.Equal(HttpStatusCode.NoContent, await PutAsync("$Default/nightly", """{"positions":{"0":2}}"""));

        Assert.Equal(3, (await _server.EventsAsync("&checkpoint=nightly")).Length);
        Assert.Equal(5, (await _server.EventsAsync("&checkpoint=unknown")).Length);
        Assert.Equal(HttpStatusCode.NoContent, await PutAsync("$default/nightly", """{"positions":{"1":1}}"""));
        Assert.Equal("""{"positions":{"0":2,"1":1}}""", await Client.GetStringAsync("/manage/v1/checkpoints/$DEFAULT/nightly", Cancel));
    }

    [Fact]
    public async Task Positions_Asked_AreToldFirstAndTakenBack()
    {
        _server = await TelemetryServer.StartAsync();
        await Telemetry.SendAsync(Telemetry.DeviceOf(0), "1", "2", "3");
        await Telemetry.SendAsync(Telemetry.DeviceOf(2), "4");
        await PutAsync("$Default/nightly", "{\"positions\":{\"0\":0,\"2\":0}}");

        var latest = await Client.GetStringAsync("/manage/v1/events?follow=false&positions=", Cancel);
        var goesOn = await Client.GetStringAsync("/manage/v1/events?follow=false&checkpoint=nightly&positions=0:2", Cancel);

        Assert.Equal("{\"control\":\"start\",\"positions\":{\"0\":3,\"1\":0,\"2\":1,\"3\":0}}\n", latest);
        var lines = goesOn.TrimEnd('\n').Split('\n');
        Assert.Equal("{\"control\":\"start\",\"positions\":{\"0\":2,\"1\":0,\"2\":0,\"3\":0}}", lines[0]);
        Assert.Equal(2, lines.Length - 1);
    }

    [Fact]
    public async Task Checkpoint_Deleted_IsGone()
    {
        _server = await TelemetryServer.StartAsync();
        await PutAsync("$Default/a", """{"positions":{"0":2}}""");

        Assert.Equal(HttpStatusCode.NoContent, (await Client.DeleteAsync("/manage/v1/checkpoints/$Default/a", Cancel)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await Client.DeleteAsync("/manage/v1/checkpoints/$Default/a", Cancel)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await Client.GetAsync("/manage/v1/checkpoints/$Default/a", Cancel)).StatusCode);
    }

    [Theory]
    [InlineData("$Default/a", """{"positions":{"4":1}}""", HttpStatusCode.BadRequest)]
    [InlineData("$Default/a", """{"positions":{"0":-1}}""", HttpStatusCode.BadRequest)]
    [InlineData("$Default/a", """{"positions":{}}""", HttpStatusCode.BadRequest)]
    [InlineData("$Default/a", """{"positions":{"zero":1}}""", HttpStatusCode.BadRequest)]
    [InlineData("$Default/a", "{}", HttpStatusCode.BadRequest)]
    [InlineData("$Default/a%20b", """{"positions":{"0":1}}""", HttpStatusCode.BadRequest)]
    [InlineData("other/a", """{"positions":{"0":1}}""", HttpStatusCode.NotFound)]
    public async Task Checkpoint_NotValid_IsRefused(string path, string body, HttpStatusCode expected)
    {
        _server = await TelemetryServer.StartAsync();

        Assert.Equal(expected, await PutAsync(path, body));
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
    }

    private async Task<HttpStatusCode> PutAsync(string path, string body)
    {
        using var response = await Client.PutAsync($"/manage/v1/checkpoints/{path}", new StringContent(body, Encoding.UTF8, "application/json"), Cancel);
        return response.StatusCode;
    }

    private async Task<StreamReader> FollowAsync(string path)
    {
        var response = await Client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, Cancel);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return new StreamReader(await response.Content.ReadAsStreamAsync(Cancel));
    }
}
