using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Heads;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Heads.Http;

/// <summary>Policies that are limited to some devices, operators, and what the trail and the advice say of them.</summary>
public sealed class ScopedAccessTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/plants", """{"rights":"RegistryWrite, telemetry-read, audit-read, access-manage, connection-manage","devicePrefixes":["plant-"],"consumerGroups":["others"]}""");
        foreach (var id in (string[])["plant-1", "plant-2", "mill-1"])
            await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{id}", $$"""{"deviceId":"{{id}}"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("/devices/plant-1", HttpStatusCode.OK)]
    [InlineData("/devices/plant-1/modules", HttpStatusCode.OK)]
    [InlineData("/devices/plant-9", HttpStatusCode.NotFound)]
    [InlineData("/devices/mill-1", HttpStatusCode.Unauthorized)]
    [InlineData("/devices/mill-9", HttpStatusCode.Unauthorized)]
    [InlineData("/statistics/devices", HttpStatusCode.Unauthorized)]
    [InlineData("/manage/v1/policies", HttpStatusCode.Unauthorized)]
    [InlineData("/manage/v1/audit", HttpStatusCode.Unauthorized)]
    public async Task Limited_ReachesItsDevicesOnly(string path, HttpStatusCode expected) =>
        Assert.Equal(expected, (await _hub.SendAsync("plants", HttpMethod.Get, path)).Status);

    [Fact]
    public async Task EveryRoute_ForALimitedPolicy_IsClosedUnlessItNamesTheDeviceOrKeepsToTheScope()
    {
        await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/policies/all-of-some", """{"rights":"RegistryWrite, ServiceConnect, telemetry-read, audit-read, access-manage, connection-manage, route-manage, lake-read, threat-run, registry-write, file-read, file-delete","devicePrefixes":["some-"]}""");
        var wrong = new List<string>();
        foreach (var route in _hub.Routes)
        {
            var required = route.Metadata.GetMetadata<RequiredRights>()!;
            if (required.AsDevice || required.Rights is Rights.None)
                continue;

            var namesDevice = route.RoutePattern.GetParameter("id") is not null;
            var keeps = route.Metadata.GetMetadata<KeepsToScope>() is not null;
            foreach (var method in route.Metadata.GetMetadata<Microsoft.AspNetCore.Routing.IHttpMethodMetadata>()!.HttpMethods)
            {
                foreach (var id in (string[])["some-1", "other-1"])
                {
                    var path = route.RoutePattern.Parameters.Aggregate(route.RoutePattern.RawText!, (text, part) => text.Replace($"{{{part.Name}}}", id, StringComparison.Ordinal));
                    var answer = await _hub.KnockAsync(HttpMethod.Parse(method), path, _hub.TokenOf("all-of-some"));
                    var entered = answer.ErrorCode is not ("IotHubUnauthorizedAccess" or "IotHubUnauthorized");
                    if (entered != (keeps || (namesDevice && id == "some-1")))
                        wrong.Add($"{method} {path}: {(int)answer.Status} {answer.ErrorCode}");
                }
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task List_ForALimitedPolicy_HoldsItsDevicesOnly_AlsoPageByPage()
    {
        var all = await _hub.SendAsync("plants", HttpMethod.Get, "/devices");
        var first = await _hub.SendAsync("plants", HttpMethod.Get, "/devices?top=1");
        var rest = await _hub.SendAsync("plants", HttpMethod.Get, "/devices?top=1", null, ("x-ms-continuation", "plant-1"));

        Assert.Equal(["plant-1", "plant-2"], Ids(all));
        Assert.Equal(["plant-1"], Ids(first));
        Assert.Equal(["plant-2"], Ids(rest));

        static IEnumerable<string> Ids(Answer answer) => JsonNode.Parse(answer.Body)!.AsArray().Select(device => (string)device!["deviceId"]!);
    }

    [Fact]
    public async Task LimitedByTag_ReachesWhoHasIt_FromTheMomentOn()
    {
        await BerlinAsync();
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Get, "/devices/plant-1")).Status);

        await TagAsync("plant-1", """{"location":{"site":"berlin"}}""");
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Get, "/devices/plant-1")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Get, "/twins/plant-1")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Get, "/manage/v1/devices/plant-1/diagnosis")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Get, "/manage/v1/devices/plant-1/tokens/reset?lifetime=60")).Status);
        Assert.Equal(["plant-1"], JsonNode.Parse((await _hub.SendAsync("berlin", HttpMethod.Get, "/devices")).Body)!.AsArray().Select(device => (string)device!["deviceId"]!));
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Get, "/statistics/devices")).Status);

        await TagAsync("plant-1", """{"location":{"site":"hamburg"}}""");
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Get, "/devices/plant-1")).Status);
        Assert.Equal("[]", (await _hub.SendAsync("berlin", HttpMethod.Get, "/devices")).Body);
    }

    [Fact]
    public async Task LimitedByTag_MakesNoDevice_ChangesAndDeletesItsOwn_AndWidensNothing()
    {
        await BerlinAsync();
        await TagAsync("plant-1", """{"location":{"site":"berlin"}}""");

        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Put, "/devices/new", """{"deviceId":"new"}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Post, "/devices", """[{"id":"new","importMode":"create"}]""")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Put, "/devices/plant-1/modules/m", """{"deviceId":"plant-1","moduleId":"m"}""")).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("berlin", HttpMethod.Patch, "/twins/plant-1", """{"tags":{"note":"x"}}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Patch, "/twins/plant-1", """{"tags":{"location":{"site":"hamburg"}}}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Put, "/twins/plant-1", """{"tags":{}}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Patch, "/twins/plant-2", """{"tags":{"location":{"site":"berlin"}}}""")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("plants", HttpMethod.Patch, "/manage/v1/policies/berlin", """{"deviceTags":[]}""")).Status);

        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("berlin", HttpMethod.Delete, "/devices/plant-1")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Put, "/devices/plant-1", """{"deviceId":"plant-1"}""")).Status);
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/plant-1", """{"deviceId":"plant-1"}""");
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("berlin", HttpMethod.Get, "/devices/plant-1")).Status);
    }

    [Fact]
    public async Task Body_ThatArrivesAfterTheTagIsGone_DoesNothing()
    {
        await BerlinAsync();
        await TagAsync("plant-1", """{"location":{"site":"berlin"}}""");

        var answer = await _hub.SendSlowlyAsync(
            "PATCH", "/twins/plant-1", _hub.TokenOf("berlin"), """{"tags":{"note":"x"}}""", () => TagAsync("plant-1", """{"location":null}"""));

        Assert.StartsWith("HTTP/1.1 401", answer);
    }

    [Fact]
    public async Task LimitByTag_IsShown_KeptByOtherChanges_AndTakenAway()
    {
        await BerlinAsync();

        Assert.Equal("""["location.site=berlin"]""", Shown(await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies/berlin")));
        Assert.Equal("""["location.site=berlin"]""", Shown(await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/berlin", """{"devicePrefixes":["plant-"]}""")));
        Assert.Equal("""["a=1","a=2"]""", Shown(await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/berlin", """{"deviceTags":["a=1","a=2","a=1"]}""")));
        Assert.Equal("[]", Shown(await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/berlin", """{"deviceTags":[]}""")));
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/berlin", """{"deviceTags":["site"]}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/iothubowner", """{"deviceTags":["site=berlin"]}""")).Status);

        Assert.Equal("""["site=berlin"]""", Shown(await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/operators/carol", """{"rights":"registry-read","deviceTags":["site=berlin"]}""")));
        var advice = JsonNode.Parse((await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policy-advice")).Body)!.AsArray();
        Assert.Equal("""["site=berlin"]""", advice.Single(line => (string?)line!["name"] == "operator:carol")!["deviceTags"]!.ToJsonString());

        static string Shown(Answer answer) => JsonNode.Parse(answer.Body)!["deviceTags"]!.ToJsonString();
    }

    private Task<Answer> BerlinAsync() => _hub.OwnerAsync(
        HttpMethod.Put, "/manage/v1/policies/berlin", """{"rights":"RegistryWrite, ServiceConnect, access-manage","deviceTags":["location.site=berlin"]}""");

    private Task<Answer> TagAsync(string id, string tags) => _hub.OwnerAsync(HttpMethod.Patch, $"/twins/{id}", $$"""{"tags":{{tags}}}""");

    [Fact]
    public async Task ConsumerGroup_OutsideTheScope_IsRefused()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("plants", HttpMethod.Get, "/manage/v1/events?follow=false")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync("plants", HttpMethod.Get, "/manage/v1/checkpoints/$Default/me")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.SendAsync("service", HttpMethod.Get, "/manage/v1/checkpoints/$Default/me")).Status);
    }

    [Fact]
    public async Task Policy_Updated_HoldsTheNewRightsAtOnce_AndKeepsItsKeys()
    {
        var before = _hub.TokenOf("plants");
        var answer = await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/plants", """{"rights":"registry-read","devicePrefixes":["mill-"]}""");

        Assert.Equal("registry-read", (string?)JsonNode.Parse(answer.Body)!["rights"]);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync(HttpMethod.Get, "/devices/mill-1", before, null)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/devices/plant-1", before, null)).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/iothubowner", """{"rights":"registry-read"}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Patch, "/manage/v1/policies/iothubowner", """{"devicePrefixes":["x"]}""")).Status);
    }

    [Fact]
    public async Task Operator_IsAPersonForAShift()
    {
        var made = await _hub.OwnerAsync(HttpMethod.Put, "/manage/v1/operators/alice", """{"rights":"RegistryWrite, access-manage","validForSeconds":3600}""");
        var key = (string)JsonNode.Parse(made.Body)!["key"]!;
        string Token(string signedWith) => SharedAccessSignature.Create(HttpHeadHost.HostName, signedWith, _hub.Time.GetUtcNow().AddHours(9), "operator:alice");

        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync(HttpMethod.Put, "/devices/d9", Token(key), """{"deviceId":"d9"}""")).Status);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "operator:alice", Action: "device create", Reason: "" });
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "policy:iothubowner", Action: "operator create", Reason: "shared credential" });
        Assert.DoesNotContain("key\"", (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/operators")).Body);

        // Nobody gives what they do not hold, and nobody's policies show people.
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Put, "/manage/v1/operators/bob", Token(key), """{"rights":"telemetry-read"}""")).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies/operator:alice")).Status);
        Assert.DoesNotContain("alice", (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policies")).Body);

        _hub.Time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/devices/d9", Token(key), null)).Status);
        var renewed = (string)JsonNode.Parse((await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/operators/alice/renew", "{}")).Body)!["key"]!;
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/devices/d9", Token(key), null)).Status);
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync(HttpMethod.Get, "/devices/d9", Token(renewed), null)).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.OwnerAsync(HttpMethod.Delete, "/manage/v1/operators/alice")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(HttpMethod.Get, "/devices/d9", Token(renewed), null)).Status);
    }

    [Theory]
    [InlineData("alice", """{"rights":"registry-read","validForSeconds":299}""")]
    [InlineData("alice", """{"rights":"registry-read","validForSeconds":2592001}""")]
    [InlineData("alice", """{"validForSeconds":3600}""")]
    [InlineData("alice", """{"rights":"registry-read","devicePrefixes":["a b"]}""")]
    [InlineData("alice", """{"rights":"registry-read","deviceTags":[null]}""")]
    [InlineData("alice", """{"rights":"registry-read","devicePrefixes":[null]}""")]
    [InlineData("alice", """{"rights":"registry-read","consumerGroups":[null]}""")]
    [InlineData("a:b", """{"rights":"registry-read"}""")]
    public async Task Operator_NotAsItMustBe_IsRefused(string name, string body) =>
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Put, $"/manage/v1/operators/{name}", body)).Status);

    [Fact]
    public async Task Advice_NamesWhatWasNotUsed_AndSurvivesARestart()
    {
        await _hub.SendAsync("registryReadWrite", HttpMethod.Get, "/devices");
        await using (new RightUseWriteBack(_hub.Policies, _hub.Metadata, _hub.Time, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance))
        {
        }

        using var restarted = await Policies.OpenAsync(_hub.Metadata, new KnownTags(_hub.Metadata), _hub.Audit, _hub.Time, Cancel);
        var advice = PolicyAdvice.For(restarted, _hub.Metadata, TimeSpan.FromDays(30), _hub.Time.GetUtcNow()).Single(one => one.Name == "registryReadWrite");
        var later = PolicyAdvice.For(restarted, _hub.Metadata, TimeSpan.FromDays(30), _hub.Time.GetUtcNow().AddDays(31)).Single(one => one.Name == "registryReadWrite");

        Assert.Equal((Rights.RegistryRead, Rights.RegistrySecrets | Rights.RegistryWrite, _hub.Time.GetUtcNow()), (advice.Narrower, advice.Unused, advice.LastUsed));
        Assert.Equal((Rights.None, AzureRights.RegistryWrite), (later.Narrower, later.Unused));
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/policy-advice?unusedForDays=x")).Status);
    }
}
