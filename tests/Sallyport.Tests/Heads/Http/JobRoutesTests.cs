using System.Net;
using Sallyport.Hub.Jobs;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Heads.Http;

/// <summary>The REST of scheduled jobs, as IoT Hub's clients call it.</summary>
public sealed class JobRoutesTests : IAsyncLifetime
{
    private const string Twin = """{"jobId":"j1","type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}},"queryCondition":"*","maxExecutionTimeInSeconds":60}""";

    private HttpHeadHost _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        foreach (var id in (string[])["d1", "d2"])
            await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", $$"""{"deviceId":"{{id}}"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Job_IsMade_Shown_AndDone_AsIoTHubSaysIt()
    {
        var made = await _hub.SendAsync("service", HttpMethod.Put, "/jobs/v2/j1?api-version=2021-04-12", Twin);
        Assert.Equal(
            (HttpStatusCode.OK, """{"jobId":"j1","queryCondition":"*","createdTime":"2026-01-02T12:00:00.0000000Z","startTime":"2026-01-02T12:00:00.0000000Z","maxExecutionTimeInSeconds":60,"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}},"status":"queued","deviceJobStatistics":{"deviceCount":0,"failedCount":0,"succeededCount":0,"runningCount":0,"pendingCount":0}}"""),
            (made.Status, made.Body));

        await _hub.Jobs.RunDueAsync(Cancel);

        var shown = (await _hub.SendAsync("service", HttpMethod.Get, "/jobs/v2/j1")).Json;
        Assert.Equal(("completed", 2, "2026-01-02T12:00:00.0000000Z"), ((string?)shown["status"], (int)shown["deviceJobStatistics"]!["succeededCount"]!, (string?)shown["endTime"]));
        Assert.Equal(1, (int)(await _hub.OwnerAsync(HttpMethod.Get, "/twins/d2")).Json["tags"]!["a"]!);
        var rows = await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", """{"query":"SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'd1'"}""");
        Assert.Equal("DeviceJob", rows.Header("x-ms-item-type"));
        Assert.Equal(
            """[{"deviceId":"d1","jobId":"j1","jobType":"scheduleUpdateTwin","status":"completed","startTimeUtc":"2026-01-02T12:00:00.0000000Z","endTimeUtc":"2026-01-02T12:00:00.0000000Z","createdDateTimeUtc":"2026-01-02T12:00:00.0000000Z","lastUpdatedDateTimeUtc":"2026-01-02T12:00:00.0000000Z","outcome":{"deviceMethodResponse":null}}]""",
            rows.Body);
    }

    [Fact]
    public async Task Method_IsShownAsItWasGiven()
    {
        var made = await _hub.OwnerAsync(
            HttpMethod.Put, "/jobs/v2/m1",
            """{"jobId":"m1","type":"ScheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"reboot","payload":{ "a":1.50 },"responseTimeoutInSeconds":10,"connectTimeoutInSeconds":30},"queryCondition":"deviceId = 'd1'","startTime":"2026-01-02T13:00:00Z"}""");

        Assert.Equal(HttpStatusCode.OK, made.Status);
        Assert.Contains("\"cloudToDeviceMethod\":{\"methodName\":\"reboot\",\"payload\":{\"a\":1.50},\"responseTimeoutInSeconds\":10,\"connectTimeoutInSeconds\":30}", made.Body);
        Assert.Equal(("scheduled", 3600, "2026-01-02T13:00:00.0000000Z"), ((string?)made.Json["status"], (int)made.Json["maxExecutionTimeInSeconds"]!, (string?)made.Json["startTime"]));
    }

    [Theory]
    [InlineData("no_such_id", Twin, "ArgumentInvalid", "jobId: 1 to 64 ASCII letters, digits and dashes")]
    [InlineData("%20", Twin, "ArgumentInvalid", "jobId: 1 to 64")]
    [InlineData("j2", Twin, "ArgumentInvalid", "jobId: is not the one of the path")]
    [InlineData("j1", "", "IotHubFormatError", "not the JSON")]
    [InlineData("j1", "[]", "IotHubFormatError", "not the JSON")]
    [InlineData("j1", "{}", "ArgumentInvalid", "type: scheduleUpdateTwin or scheduleDeviceMethod")]
    [InlineData("j1", """{"type":"export"}""", "ArgumentInvalid", "type: scheduleUpdateTwin or scheduleDeviceMethod")]
    [InlineData("j1", """{"type":"0"}""", "ArgumentInvalid", "type: scheduleUpdateTwin or scheduleDeviceMethod")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":1}}}""", "ArgumentNull", "queryCondition: is missing; '*' is for all devices")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"tags.a == 1","updateTwin":{"tags":{"a":1}}}""", "ArgumentInvalid", "queryCondition: query, line 1, column 9: found '='; expected a path")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*"}""", "ArgumentNull", "updateTwin: an object is needed")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{}}""", "ArgumentInvalid", "updateTwin: neither tags nor properties.desired are given")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"properties":{"reported":{"a":1}}}}""", "ArgumentInvalid", "neither tags nor properties.desired")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"etag":"AAAAAAAAAAE=","tags":{"a":1}}}""", "ArgumentInvalid", "updateTwin.etag: '*' or nothing")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a.b":1}}}""", "ArgumentInvalid", "tags")]
    [InlineData("j1", """{"type":"scheduleUpdateTwin","queryCondition":"*","updateTwin":{"tags":{"a":1}},"cloudToDeviceMethod":{"methodName":"m"}}""", "ArgumentInvalid", "the other one must not be given")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{}}""", "ArgumentNull", "cloudToDeviceMethod.methodName: is missing")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"a/b"}}""", "ArgumentInvalid", "methodName: 1 to 128")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m","responseTimeoutInSeconds":4}}""", "ArgumentInvalid", "responseTimeoutInSeconds: 5 to 300")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m","responseTimeoutInSeconds":"x"}}""", "ArgumentInvalid", "responseTimeoutInSeconds: a whole number")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"maxExecutionTimeInSeconds":0}""", "ArgumentInvalid", "maxExecutionTimeInSeconds: 1 to 2592000")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"startTime":"tomorrow"}""", "ArgumentInvalid", "startTime: a time such as")]
    [InlineData("j1", """{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"startTime":"2029-01-01T00:00:00Z"}""", "ArgumentInvalid", "startTime: at most 366 days from now")]
    public async Task Request_ThatIsWrong_IsRefused_AndTheMessageNamesIt(string id, string body, string code, string says)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Put, $"/jobs/v2/{id}", body);

        Assert.Equal((HttpStatusCode.BadRequest, code, code), (answer.Status, answer.ErrorCode, answer.BodyErrorCode));
        Assert.Contains(says, (string?)answer.Json["Message"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Payload_LargerThanItMayBe_Is413()
    {
        var payload = new string('x', 128 * 1024);
        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/jobs/v2/j1", $$"""{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m","payload":"{{payload}}"} }""");

        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, "MessageTooLarge"), (answer.Status, answer.ErrorCode));
    }

    [Fact]
    public async Task Id_OfTheLongest_IsTaken_AndIsCaseSensitive()
    {
        var id = new string('a', JobDraft.MaxIdLength - 1) + "Z";
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Put, $"/jobs/v2/{id}", Twin.Replace("j1", id, StringComparison.Ordinal))).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Get, $"/jobs/v2/{id.ToLowerInvariant()}")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Put, $"/jobs/v2/{id}b", Twin.Replace("j1", id + "b", StringComparison.Ordinal))).Status);
    }

    [Fact]
    public async Task ImportJob_IsUnknownHere_AsAzLooksForIt()
    {
        await _hub.Metadata.WriteAsync(tx =>
        {
            _hub.Metadata.RegistryJobs.Put(tx, new RegistryJobRecord
            {
                Id = "imp", Kind = RegistryJobKind.Import, Status = RegistryJobStatus.Completed, Settings = "{}", Creator = "policy:p", CreatorRights = 0, CreatedTime = _hub.Time.GetUtcNow(),
            });
            return true;
        });

        Assert.Equal("""{"jobId":"imp","type":"unknown","status":"unknown"}""", (await _hub.OwnerAsync(HttpMethod.Get, "/jobs/v2/imp")).Body);
        Assert.Equal("JobNotFound", (await _hub.OwnerAsync(HttpMethod.Get, "/jobs/v2/nobody")).ErrorCode);
    }

    [Fact]
    public async Task List_PagesByHeader_AndFilters()
    {
        for (var i = 0; i < 3; i++)
            await _hub.OwnerAsync(HttpMethod.Put, $"/jobs/v2/j{i}", Twin.Replace("j1", $"j{i}", StringComparison.Ordinal));

        var first = await _hub.OwnerAsync(HttpMethod.Get, "/jobs/v2/query?api-version=2021-04-12&jobType=scheduleUpdateTwin&jobStatus=queued", null, ("x-ms-max-item-count", "2"));
        var second = await _hub.OwnerAsync(
            HttpMethod.Get, "/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=queued", null, ("x-ms-max-item-count", "2"), ("x-ms-continuation", first.Header("x-ms-continuation")!));

        Assert.Equal(["j2", "j1"], first.Json.AsArray().Select(job => (string)job!["jobId"]!));
        Assert.Equal("JobResponse", first.Header("x-ms-item-type"));
        Assert.Equal((1, null), (second.Json.AsArray().Count, second.Header("x-ms-continuation")));
        foreach (var none in (string[])["jobStatus=completed", "jobStatus=Enqueued", "jobType=Export"])
            Assert.Empty((await _hub.OwnerAsync(HttpMethod.Get, $"/jobs/v2/query?{none}")).Json.AsArray());
    }

    [Theory]
    [InlineData("?jobType=reboot", "jobType: one of scheduleUpdateTwin, scheduleDeviceMethod")]
    [InlineData("?jobStatus=1", "jobStatus: one of scheduled, queued, running, completed, failed, cancelled")]
    public async Task List_OfWhatIsNone_IsRefused(string query, string says)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Get, $"/jobs/v2/query{query}");

        Assert.Equal("ArgumentInvalid", answer.ErrorCode);
        Assert.Contains(says, (string?)answer.Json["Message"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-ms-continuation", "-1")]
    [InlineData("x-ms-continuation", "j1")]
    [InlineData("x-ms-max-item-count", "0")]
    [InlineData("x-ms-max-item-count", "x")]
    public async Task List_WithHeadersThatAreNone_IsRefused(string header, string value) =>
        Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Get, "/jobs/v2/query", null, (header, value))).ErrorCode);

    [Fact]
    public async Task Rows_OfJobs_ArePagedByTheHeader_AndARightIsNeeded()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/jobs/v2/j1", Twin);
        await _hub.Jobs.RunDueAsync(Cancel);
        const string query = """{"query":"SELECT * FROM devices.jobs"}""";

        var first = await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", query, ("x-ms-max-item-count", "1"));
        var second = await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", query, ("x-ms-max-item-count", "1"), ("x-ms-continuation", first.Header("x-ms-continuation")!));
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/reader", """{"rights":"twin-read"}""");

        Assert.Equal(("d1", "d2"), ((string?)first.Json[0]!["deviceId"], (string?)second.Json[0]!["deviceId"]));
        Assert.Null(second.Header("x-ms-continuation"));
        Assert.Equal("IotHubUnauthorizedAccess", (await _hub.SendAsync("reader", HttpMethod.Post, "/devices/query", query)).ErrorCode);
        Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", query, ("x-ms-continuation", "AgAAAAAAAAAA"))).ErrorCode);
        Assert.Contains("found 'colour'", (await _hub.OwnerAsync(HttpMethod.Post, "/devices/query", """{"query":"SELECT * FROM devices.jobs WHERE colour = 1"}""")).Body);
    }

    [Fact]
    public async Task Create_ByAPolicyThatDoesNotHoldWhatTheJobDoes_IsRefused_AndInTheTrail()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/planner", """{"rights":"job-manage"}""");

        var answer = await _hub.SendAsync("planner", HttpMethod.Put, "/jobs/v2/j1", Twin);

        Assert.Equal("IotHubUnauthorizedAccess", answer.ErrorCode);
        Assert.Contains("do not hold: twin-write", (string?)answer.Json["Message"]);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "job create", Target: "j1", Result: "refused", Principal: "policy:planner" });
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.SendAsync("planner", HttpMethod.Get, "/jobs/v2/j1")).Status);
    }

    [Fact]
    public async Task SomebodyLimitedToSomeDevices_MakesJobsForThose_AndSeesNoOthers()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/north", """{"rights":"job-manage, twin-write, twin-read","devicePrefixes":["d2"]}""");
        await _hub.OwnerAsync(HttpMethod.Put, "/jobs/v2/all", Twin.Replace("j1", "all", StringComparison.Ordinal));
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("north", HttpMethod.Put, "/jobs/v2/own", Twin.Replace("j1", "own", StringComparison.Ordinal))).Status);
        await _hub.Jobs.RunDueAsync(Cancel);

        Assert.Equal(1, (int)(await _hub.SendAsync("north", HttpMethod.Get, "/jobs/v2/own")).Json["deviceJobStatistics"]!["deviceCount"]!);
        Assert.Equal("JobNotFound", (await _hub.SendAsync("north", HttpMethod.Get, "/jobs/v2/all")).ErrorCode);
        Assert.Equal("JobNotFound", (await _hub.SendAsync("north", HttpMethod.Post, "/jobs/v2/all/cancel")).ErrorCode);
        Assert.Equal(["own"], (await _hub.SendAsync("north", HttpMethod.Get, "/jobs/v2/query")).Json.AsArray().Select(job => (string)job!["jobId"]!));
    }
}
