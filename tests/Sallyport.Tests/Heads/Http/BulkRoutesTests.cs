using System.Net;
using System.Text.Json.Nodes;

namespace Sallyport.Tests.Heads.Http;

public sealed class BulkRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Bulk_ThatIsDoneWhole_SaysSo()
    {
        var answer = await BulkAsync("""[{"id":"d1","importMode":"create"},{"id":"d2","importMode":"Create","status":"disabled"},{"id":"d1","moduleId":"m1"}]""");

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal("""{"isSuccessful":true,"errors":[],"warnings":[]}""", answer.Body);
        Assert.Equal("disabled", (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d2")).Json["status"]!.GetValue<string>());
    }

    [Fact]
    public async Task Bulk_WithRefusedItems_NamesThemAndDoesTheOthers()
    {
        await BulkAsync("""[{"id":"d1"}]""");

        var answer = await BulkAsync("""[{"id":"d1","importMode":"create"},{"id":"d2","importMode":"create"},{"id":"no id","importMode":"create"},{"id":"d3","importMode":"Delete"}]""");

        Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
        Assert.Equal("BulkRegistryOperationFailure", answer.Header("IotHubErrorCode"));
        Assert.False(answer.Json["isSuccessful"]!.GetValue<bool>());
        Assert.Equal(
            [("no id", "ArgumentInvalid"), ("d1", "DeviceAlreadyExists"), ("d3", "DeviceNotFound")],
            answer.Json["errors"]!.AsArray().Select(error => (error!["deviceId"]!.GetValue<string>(), error["errorCode"]!.GetValue<string>())));
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d2")).Status);
    }

    [Theory]
    [InlineData(".", null)]
    [InlineData("..", null)]
    [InlineData("d1", "..")]
    public async Task Bulk_CreatingAnIdThatNoPathCanName_IsRefusedWithTheReason(string id, string? module)
    {
        await BulkAsync("""[{"id":"d1"}]""");

        var answer = await BulkAsync($$"""[{"id":"{{id}}","moduleId":{{JsonValue.Create(module)?.ToJsonString() ?? "null"}}}]""");

        Assert.Equal("ArgumentInvalid", answer.Json["errors"]![0]!["errorCode"]!.GetValue<string>());
        Assert.Contains("may not be '.' or '..'", answer.Body.Replace("\\u0027", "'", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("UpdateIfMatchETag", "AAAAAAAAAAA=", "PreconditionFailed")]
    [InlineData("deleteIfMatchETag", "", "PreconditionFailed")]
    [InlineData("createOrUpdateIfMatchETag", null, "PreconditionFailed")]
    [InlineData("updateTwinEveryTime", null, "ArgumentInvalid")]
    [InlineData("conquer", null, "ArgumentInvalid")]
    public async Task Bulk_OfAMode_IsRefusedByItsRule(string mode, string? etag, string code)
    {
        await BulkAsync("""[{"id":"d1"}]""");

        var answer = await BulkAsync($$"""[{"id":"d1","importMode":"{{mode}}","eTag":{{JsonValue.Create(etag)?.ToJsonString() ?? "null"}}}]""");

        Assert.Equal(code, answer.Json["errors"]![0]!["errorCode"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("UpdateIfMatchETag", HttpStatusCode.OK)]
    [InlineData("DeleteIfMatchETag", HttpStatusCode.NotFound)]
    public async Task Bulk_WithTheCurrentEtag_IsDone(string mode, HttpStatusCode afterwards)
    {
        await BulkAsync("""[{"id":"d1"}]""");
        var etag = (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1")).Json["etag"]!.GetValue<string>();

        var answer = await BulkAsync($$"""[{"id":"d1","importMode":"{{mode}}","eTag":"{{etag}}"}]""");

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal(afterwards, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1")).Status);
    }

    [Fact]
    public async Task Bulk_WithTwinContent_MergesIntoTheTwin()
    {
        var made = await BulkAsync("""[{"id":"d1","importMode":"create","tags":{"a":1,"b":2},"properties":{"desired":{"n":1}}},{"id":"d2","importMode":"create","tags":{},"properties":{"desired":{}}}]""");
        var changed = await BulkAsync("""[{"id":"d1","importMode":"updateTwin","tags":{"a":null}},{"id":"d2","importMode":"UpdateTwin","properties":{"desired":{"n":2}}}]""");

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (made.Status, changed.Status));
        Assert.Equal("""{"b":2}""", (await TwinAsync("d1"))["tags"]!.ToJsonString());
        Assert.Equal(1, (int)(await TwinAsync("d1"))["properties"]!["desired"]!["n"]!);
        Assert.Equal(2, (int)(await TwinAsync("d2"))["properties"]!["desired"]!["n"]!);
    }

    [Theory]
    [InlineData("""{"id":"nobody","importMode":"updateTwin","tags":{"a":1}}""", "DeviceNotFound")]
    [InlineData("""{"id":"d1","importMode":"create","tags":{"a":1}}""", "DeviceAlreadyExists")]
    [InlineData("""{"id":"d1","importMode":"updateTwinIfMatchETag","twinETag":"AAAAAAAAAAk=","tags":{"a":1}}""", "PreconditionFailed")]
    [InlineData("""{"id":"d1","importMode":"updateTwin","tags":{"a.b":1}}""", "ArgumentInvalid")]
    [InlineData("""{"id":"d1","importMode":"updateTwin","properties":1}""", "ArgumentInvalid")]
    public async Task Bulk_WhoseTwinCannotBeChanged_IsRefusedByItself(string item, string code)
    {
        await BulkAsync("""[{"id":"d1"},{"id":"d2"}]""");

        var answer = await BulkAsync($"[{item}," + """{"id":"d2","importMode":"updateTwin","tags":{"done":true}}]""");

        Assert.Equal(code, Assert.Single(answer.Json["errors"]!.AsArray())!["errorCode"]!.GetValue<string>());
        Assert.Equal("{}", (await TwinAsync("d1"))["tags"]!.ToJsonString());
        Assert.Equal("""{"done":true}""", (await TwinAsync("d2"))["tags"]!.ToJsonString());
    }

    [Fact]
    public async Task Bulk_WithTwinContent_NeedsTheRightOfTwins()
    {
        var answer = await _hub.SendAsync("registryReadWrite", HttpMethod.Post, "/devices", """[{"id":"d1","importMode":"create","tags":{"a":1}},{"id":"d2","importMode":"create"}]""");

        Assert.Equal("IotHubUnauthorizedAccess", Assert.Single(answer.Json["errors"]!.AsArray())!["errorCode"]!.GetValue<string>());
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d2")).Status);
    }

    [Theory]
    [InlineData("[]", "ArgumentInvalid")]
    [InlineData("[null]", "ArgumentInvalid")]
    [InlineData("""[{"id":"d1"},{"id":"d1"}]""", "DeviceDefinedMultipleTimes")]
    [InlineData("{}", "IotHubFormatError")]
    public async Task Bulk_ThatIsNoList_IsRefusedWhole(string body, string code) => Assert.Equal(code, (await BulkAsync(body)).BodyErrorCode);

    [Fact]
    public async Task Bulk_OfMoreThanAHundred_IsRefusedWhole()
    {
        var items = new JsonArray([.. Enumerable.Range(0, 101).Select(i => (JsonNode)new JsonObject { ["id"] = $"d{i}" })]);

        Assert.Equal("ArgumentInvalid", (await BulkAsync(items.ToJsonString())).BodyErrorCode);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Get, "/devices/d0")).Status);
    }

    [Theory]
    [InlineData("primary", true, false)]
    [InlineData("Secondary", false, true)]
    [InlineData("both", true, true)]
    public async Task RenewKeys_ChangesTheKeysThatAreNamed(string which, bool primary, bool secondary)
    {
        await BulkAsync("""[{"id":"d1"}]""");
        var before = await KeysAsync("d1");

        var answer = await _hub.OwnerAsync(HttpMethod.Post, "/devices/keys/regenerate", $$"""{"policyKey":"{{which}}","devices":[{"id":"d1"}]}""");

        var after = await KeysAsync("d1");
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal((primary, secondary), (before.Primary != after.Primary, before.Secondary != after.Secondary));
        Assert.Equal(after.Primary, answer.Json["rotatedKeys"]![0]!["primaryKey"]!.GetValue<string>());
    }

    [Fact]
    public async Task RenewKeys_OfSomeWhoAreNotThere_IsMultiStatus()
    {
        await BulkAsync("""[{"id":"d1"}]""");

        var some = await _hub.OwnerAsync(HttpMethod.Post, "/devices/keys/regenerate", """{"policyKey":"swap","devices":[{"id":"d1"},{"id":"d2"}]}""");
        var none = await _hub.OwnerAsync(HttpMethod.Post, "/devices/keys/regenerate", """{"policyKey":"swap","devices":[{"id":"d2"}]}""");
        var bad = await _hub.OwnerAsync(HttpMethod.Post, "/devices/keys/regenerate", """{"policyKey":"3","devices":[{"id":"d1"}]}""");

        Assert.Equal(HttpStatusCode.MultiStatus, some.Status);
        Assert.Equal("DeviceNotFound", Assert.Single(some.Json["errors"]!.AsArray())!["errorCode"]!.GetValue<string>());
        Assert.Equal(HttpStatusCode.BadRequest, none.Status);
        Assert.Equal("ArgumentInvalid", bad.BodyErrorCode);
    }

    [Fact]
    public async Task RenewKeys_WithATokenForADeviceNamedKeys_IsRefused()
    {
        await BulkAsync("""[{"id":"keys"},{"id":"d1"}]""");
        const string body = """{"policyKey":"both","devices":[{"id":"d1"}]}""";

        var forOne = await _hub.SendAsync(HttpMethod.Post, "/devices/keys/regenerate", _hub.TokenOf("registryReadWrite", $"{HttpHeadHost.HostName}/devices/keys"), body);
        var forAll = await _hub.SendAsync(HttpMethod.Post, "/devices/keys/regenerate", _hub.TokenOf("registryReadWrite", $"{HttpHeadHost.HostName}/devices"), body);

        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.OK), (forOne.Status, forAll.Status));
    }

    private async Task<JsonNode> TwinAsync(string id) => (await _hub.OwnerAsync(HttpMethod.Get, $"/twins/{id}")).Json;

    private Task<Answer> BulkAsync(string body) => _hub.OwnerAsync(HttpMethod.Post, "/devices?api-version=2021-04-12", body);

    private async Task<(string Primary, string Secondary)> KeysAsync(string id)
    {
        var keys = (await _hub.OwnerAsync(HttpMethod.Get, $"/devices/{id}")).Json["authentication"]!["symmetricKey"]!;
        return (keys["primaryKey"]!.GetValue<string>(), keys["secondaryKey"]!.GetValue<string>());
    }
}
