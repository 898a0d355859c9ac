using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Identities;

namespace Sallyport.Tests.Heads.Http;

public sealed class RegistryRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Put_AsTheNodeSdkSendsIt_CreatesADeviceWithKeys()
    {
        var answer = await _hub.OwnerAsync(
            HttpMethod.Put, "/devices/d1?api-version=2021-04-12",
            """{"deviceId":"d1","authentication":{"type":"sas","symmetricKey":{"primaryKey":"","secondaryKey":""}}}""");

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        var device = answer.Json;
        Assert.Equal(44, device["authentication"]!["symmetricKey"]!["primaryKey"]!.GetValue<string>().Length);
        Assert.True(EntityTag.TryParse(device["etag"]!.GetValue<string>(), out _));
        Assert.Matches("^[0-9]{18}$", device["generationId"]!.GetValue<string>());
        foreach (var name in new[] { "etag", "generationId", "authentication" })
            device.AsObject().Remove(name);
        Assert.Equal(
            """
            {"deviceId":"d1","connectionState":"Disconnected","status":"enabled","connectionStateUpdatedTime":"0001-01-01T00:00:00Z","statusUpdatedTime":"0001-01-01T00:00:00Z","lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,"capabilities":{"iotEdge":false},"parentScopes":[]}
            """.Trim(),
            device.ToJsonString());
    }

    [Theory]
    [InlineData("""{"deviceId":"d1","status":"enabled","authentication":{"symmetricKey":{},"type":"sas"},"capabilities":{"iotEdge":false}}""")]
    [InlineData("""{"deviceId":"d1","authentication":{"type":"sas"}}""")]
    [InlineData("""{"DeviceId":"d1"}""")]
    [InlineData("""{"deviceId":"d1","generationId":null,"etag":null,"connectionState":"Disconnected","status":"enabled","statusReason":null,"connectionStateUpdatedTime":"0001-01-01T00:00:00","statusUpdatedTime":"0001-01-01T00:00:00","lastActivityTime":"0001-01-01T00:00:00","cloudToDeviceMessageCount":0,"authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"},"capabilities":{"iotEdge":false},"deviceScope":null,"parentScopes":[]}""")]
    public async Task Put_AsOtherSdksSendIt_CreatesADeviceWithKeys(string body)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", body);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal(44, answer.Json["authentication"]!["symmetricKey"]!["secondaryKey"]!.GetValue<string>().Length);
    }

    [Fact]
    public async Task Put_OfAnExistingDevice_IsAConflictUnlessIfMatchIsSent()
    {
        await CreateAsync("d1");

        var again = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}");
        var forced = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"status":"disabled","statusReason":"in repair"}""", ("If-Match", "\"*\""));

        Assert.Equal((HttpStatusCode.Conflict, "DeviceAlreadyExists", "DeviceAlreadyExists"), (again.Status, again.ErrorCode, again.BodyErrorCode));
        Assert.Equal(HttpStatusCode.OK, forced.Status);
        Assert.Equal(("disabled", "in repair"), (forced.Json["status"]!.GetValue<string>(), forced.Json["statusReason"]!.GetValue<string>()));
    }

    [Theory]
    [InlineData("\"{0}\"")]
    [InlineData("{0}")]
    public async Task Put_WithAnEtag_WorksOnce(string quoting)
    {
        var etag = string.Format(quoting, (await CreateAsync("d1"))["etag"]);

        var first = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}", ("If-Match", etag));
        var second = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}", ("If-Match", etag));

        Assert.Equal(HttpStatusCode.OK, first.Status);
        Assert.Equal((HttpStatusCode.PreconditionFailed, "PreconditionFailed"), (second.Status, second.BodyErrorCode));
    }

    [Theory]
    [InlineData("", "IotHubFormatError", "at $, line 1")]
    [InlineData("{\n  \"status\": 1 }", "IotHubFormatError", "at $.status, line 2")]
    [InlineData("{\"status\":\"enabled\",\"status\":\"disabled\"}", "IotHubFormatError", "$.status")]
    [InlineData("null", "IotHubFormatError", "null")]
    [InlineData("{\"status\":\"asleep\"}", "ArgumentInvalid", "status: enabled or disabled")]
    [InlineData("{\"deviceId\":\"d2\"}", "ArgumentInvalid", "deviceId: is not the one in the path")]
    [InlineData("{\"authentication\":{\"type\":\"magic\"}}", "ArgumentInvalid", "authentication.type")]
    [InlineData("{\"parentScopes\":[1]}", "ArgumentInvalid", "parentScopes")]
    public async Task Put_OfABadBody_SaysWhere(string body, string code, string where)
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", body);

        Assert.Equal((HttpStatusCode.BadRequest, code), (answer.Status, answer.BodyErrorCode));
        Assert.Contains(where, answer.Json["Message"]!.GetValue<string>());
    }

    [Fact]
    public async Task Get_OfNobody_IsNotFoundWithTheCodeThatSdksKnow()
    {
        await CreateAsync("d1");

        var device = await _hub.OwnerAsync(HttpMethod.Get, "/devices/nobody");
        var module = await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1/modules/nobody");

        Assert.Equal((HttpStatusCode.NotFound, "DeviceNotFound", "DeviceNotFound"), (device.Status, device.ErrorCode, device.BodyErrorCode));
        Assert.Equal((HttpStatusCode.NotFound, "ModuleNotFound", "ModuleNotFound"), (module.Status, module.ErrorCode, module.BodyErrorCode));
    }

    [Fact]
    public async Task Id_WithEveryPunctuation_IsPercentEncodedInThePath()
    {
        const string Id = "a-.+%_#*?!(),=@$':;Z9";

        var created = await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{Uri.EscapeDataString(Id)}", "{}");
        var shown = await _hub.OwnerAsync(HttpMethod.Get, $"/devices/{Uri.EscapeDataString(Id)}?api-version=2021-04-12");

        Assert.Equal(Id, created.Json["deviceId"]!.GetValue<string>());
        Assert.Equal(Id, shown.Json["deviceId"]!.GetValue<string>());
    }

    [Fact]
    public async Task Id_ThatIsNotValid_IsRefused() =>
        Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Put, "/devices/with%20space", "{}")).ErrorCode);

    [Fact]
    public async Task Delete_OfADevice_AnswersNoContentAndThenNotFound()
    {
        await CreateAsync("d1");

        var deleted = await _hub.OwnerAsync(HttpMethod.Delete, "/devices/d1", body: null, ("If-Match", "\"*\""));
        var again = await _hub.OwnerAsync(HttpMethod.Delete, "/devices/d1", body: null, ("If-Match", "\"*\""));

        Assert.Equal((HttpStatusCode.NoContent, ""), (deleted.Status, deleted.Body));
        Assert.Equal("DeviceNotFound", again.ErrorCode);
    }

    [Fact]
    public async Task Module_GoesThroughItsLife()
    {
        await CreateAsync("d1");

        var created = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1/modules/m1", """{"deviceId":"d1","moduleId":"m1","managedBy":"me"}""");
        var listed = await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1/modules");
        var deleted = await _hub.OwnerAsync(HttpMethod.Delete, "/devices/d1/modules/m1");

        Assert.Equal(HttpStatusCode.OK, created.Status);
        Assert.Equal(("m1", "me"), (created.Json["moduleId"]!.GetValue<string>(), created.Json["managedBy"]!.GetValue<string>()));
        Assert.Null(created.Json["status"]);
        Assert.Equal("m1", Assert.Single(listed.Json.AsArray())!["moduleId"]!.GetValue<string>());
        Assert.Equal(HttpStatusCode.NoContent, deleted.Status);
    }

    [Fact]
    public async Task Keys_AreShownOnlyToWhoHoldsTheRight()
    {
        await CreateAsync("d1");
        await _hub.Policies.CreateAsync(
            Hub.Registry.RegistryFixture.Owner, "viewer", Sallyport.Hub.Access.Rights.RegistryRead, null, null, CancellationToken.None);

        var seen = await _hub.SendAsync("registryRead", HttpMethod.Get, "/devices/d1");
        var hidden = await _hub.SendAsync("viewer", HttpMethod.Get, "/devices/d1");

        Assert.NotNull(seen.Json["authentication"]!["symmetricKey"]!["primaryKey"]);
        Assert.Equal("""{"primaryKey":null,"secondaryKey":null}""", hidden.Json["authentication"]!["symmetricKey"]!.ToJsonString());
    }

    [Fact]
    public async Task List_InAnySpelling_IsInOrderAndContinues()
    {
        foreach (var id in new[] { "c", "a", "b" })
            await CreateAsync(id);

        var first = await _hub.OwnerAsync(HttpMethod.Get, "/DEVICES/?api-version=2021-04-12&top=2");
        var second = await _hub.OwnerAsync(HttpMethod.Get, "/devices?top=2", body: null, ("x-ms-continuation", first.Header("x-ms-continuation")!));

        Assert.Equal(["a", "b"], Ids(first));
        Assert.Equal(["c"], Ids(second));
        Assert.Null(second.Header("x-ms-continuation"));
    }

    [Theory]
    [InlineData("0")]
    [InlineData("1001")]
    [InlineData("-1")]
    [InlineData("many")]
    public async Task List_WithABadTop_IsRefused(string top) =>
        Assert.Equal("ArgumentInvalid", (await _hub.OwnerAsync(HttpMethod.Get, $"/devices?top={top}")).BodyErrorCode);

    [Fact]
    public async Task Statistics_CountDevicesAndConnections()
    {
        await CreateAsync("d1");
        await CreateAsync("d2");
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d2", """{"status":"disabled"}""", ("If-Match", "*"));
        _hub.Connected.Attach(new Hub.Registry.TestLink(Identity.Of("d1"), _hub.Connected));

        var devices = await _hub.OwnerAsync(HttpMethod.Get, "/statistics/devices");
        var service = await _hub.OwnerAsync(HttpMethod.Get, "/statistics/service");
        var shown = await _hub.OwnerAsync(HttpMethod.Get, "/devices/d1");

        Assert.Equal("""{"totalDeviceCount":2,"enabledDeviceCount":1,"disabledDeviceCount":1}""", devices.Body);
        Assert.Equal("""{"connectedDeviceCount":1}""", service.Body);
        Assert.Equal("Connected", shown.Json["connectionState"]!.GetValue<string>());
        Assert.Equal("2026-01-02T12:00:00Z", shown.Json["lastActivityTime"]!.GetValue<string>());
    }

    [Fact]
    public async Task Change_IsInTheTrailUnderTheIdOfItsAnswer()
    {
        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}");

        var entry = _hub.Audit.Entries.Single(entry => entry.Action == "device create");
        Assert.Equal(answer.Header("x-ms-request-id"), entry.CorrelationId);
        Assert.Equal(("policy:iothubowner", "d1", "done"), (entry.Principal, entry.Target, entry.Result));
        Assert.StartsWith("127.0.0.1:", entry.Peer);
    }

    [Fact]
    public async Task Change_WhileTheTrailCannotBeWritten_IsUnavailable()
    {
        _hub.Audit.IsBroken = true;

        var answer = await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", "{}");

        Assert.Equal((HttpStatusCode.ServiceUnavailable, "ServiceUnavailable"), (answer.Status, answer.BodyErrorCode));
    }

    private async Task<JsonNode> CreateAsync(string id) => (await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", "{}")).Json;

    private static IEnumerable<string> Ids(Answer answer) => answer.Json.AsArray().Select(device => device!["deviceId"]!.GetValue<string>());
}
