using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Heads.Http;

/// <summary>What IoT Edge's hub asks of those in its scope.</summary>
public sealed class ScopeRoutesTests : IAsyncLifetime
{
    private const string List = "/devices/edge/modules/%24edgeHub/devicesAndModulesInDeviceScope";
    private const string Find = "/devices/edge/modules/%24edgeHub/deviceAndModuleInDeviceScope";

    private HttpHeadHost _hub = null!;
    private string _edgeHub = "";

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        await PutAsync("edge", """{"capabilities":{"iotEdge":true}}""");
        await PutAsync("other", """{"capabilities":{"iotEdge":true}}""");
        await PutAsync("leaf-1", Below("edge"));
        await PutAsync("leaf-2", Below("edge"));
        await PutAsync("low", """{"capabilities":{"iotEdge":true},"parentScopes":["SCOPE"]}""".Replace("SCOPE", ScopeOf("edge"), StringComparison.Ordinal));
        await PutAsync("lowest", Below("low"));
        await PutAsync("leaf-1/modules/m1", "{}");
        _edgeHub = Token("edge", "$edgeHub");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task List_AsTheEdgeHub_HasItselfItsModulesAndItsChildren_WithKeysAndScopes()
    {
        var answer = await _hub.SendAsync(HttpMethod.Get, $"{List}?deviceCount=100&continuationToken=&api-version=2018-08-30-preview", _edgeHub, null);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal(["edge", "leaf-1", "leaf-2", "low"], Ids(answer.Json["devices"], "deviceId"));
        Assert.Equal(["$edgeAgent", "$edgeHub", "m1", "$edgeAgent", "$edgeHub"], Ids(answer.Json["modules"], "moduleId"));
        Assert.True(answer.Json.AsObject().ContainsKey("continuationLink"));
        Assert.Null(answer.Json["continuationLink"]);
        var leaf = answer.Json["devices"]![1]!;
        Assert.Equal((ScopeOf("edge"), ScopeOf("edge"), "enabled", "sas"), ((string?)leaf["deviceScope"], (string?)leaf["parentScopes"]![0], (string?)leaf["status"], (string?)leaf["authentication"]!["type"]));
        Assert.Equal(Stored("leaf-1").PrimaryKey, (string?)leaf["authentication"]!["symmetricKey"]!["primaryKey"]);
        Assert.Equal(Stored("leaf-1").GenerationId, (string?)leaf["generationId"]);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "module:edge/$edgeHub", Action: "device read-keys", Target: "scope of edge", Result: "done" });
    }

    [Fact]
    public async Task List_InPages_LeadsOnByItsLink()
    {
        var seen = new List<string>();
        var link = $"{List}?deviceCount=2&continuationToken=&api-version=2018-08-30-preview";
        while (link is not null)
        {
            var answer = await _hub.SendAsync(HttpMethod.Get, link, _edgeHub, null);
            seen.AddRange(Ids(answer.Json["devices"], "deviceId"));
            link = (string?)answer.Json["continuationLink"];
        }

        Assert.Equal(["edge", "leaf-1", "leaf-2", "low"], seen);
    }

    [Theory]
    [InlineData("targetDeviceId=leaf-2", new[] { "leaf-2" }, new string[0])]
    [InlineData("targetDeviceId=leaf-1&targetModuleId=m1", new[] { "leaf-1" }, new[] { "m1" })]
    [InlineData("targetDeviceId=lowest&targetModuleId=", new[] { "lowest" }, new string[0])]
    [InlineData("targetDeviceId=other", new string[0], new string[0])]
    [InlineData("targetDeviceId=nobody", new string[0], new string[0])]
    public async Task Find_HasWhatIsInItsScope_AndNothingElse(string query, string[] devices, string[] modules)
    {
        var answer = await _hub.SendAsync(HttpMethod.Get, $"{Find}?{query}&api-version=2018-08-30-preview", _edgeHub, null);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Equal(devices, Ids(answer.Json["devices"], "deviceId"));
        Assert.Equal(modules, Ids(answer.Json["modules"], "moduleId"));
    }

    [Fact]
    public async Task Nested_AreThoseOfAnEdgeDeviceBelow_AndOfNoOther()
    {
        const string Target = "/devices/edge/modules/%24edgeHub/devicesAndModulesInTargetDeviceScope?api-version=2020-06-30-preview";
        const string One = "/devices/edge/modules/%24edgeHub/getDeviceAndModuleOnBehalfOf?api-version=2020-06-30-preview";
        var below = await _hub.SendAsync(HttpMethod.Post, Target, _edgeHub, """{"pageSize":100,"continuationLink":null,"authChain":"low;edge"}""");
        var other = await _hub.SendAsync(HttpMethod.Post, Target, _edgeHub, """{"pageSize":100,"authChain":"other;edge"}""");
        var one = await _hub.SendAsync(HttpMethod.Post, One, _edgeHub, """{"targetDeviceId":"lowest","targetModuleId":null,"authChain":"low;edge"}""");
        var none = await _hub.SendAsync(HttpMethod.Post, One, _edgeHub, """{"targetDeviceId":"leaf-1","authChain":"low;edge"}""");

        Assert.Equal(["low", "lowest"], Ids(below.Json["devices"], "deviceId"));
        Assert.Equal((HttpStatusCode.Unauthorized, "IotHubUnauthorizedAccess"), (other.Status, other.ErrorCode));
        Assert.Equal(["lowest"], Ids(one.Json["devices"], "deviceId"));
        Assert.Empty(Ids(none.Json["devices"], "deviceId"));
    }

    [Fact]
    public async Task Scope_IsToldToNobodyElse()
    {
        var wrong = new List<string>();
        foreach (var (who, token) in new[] { ("the owner", _hub.TokenOf("iothubowner")), ("a policy for devices", _hub.TokenOf("device")), ("another hub", Token("other", "$edgeHub")), ("the edge device", Token("edge", null)), ("its agent", Token("edge", "$edgeAgent")) })
        {
            if ((await _hub.SendAsync(HttpMethod.Get, List, token, null)).Status is not HttpStatusCode.Unauthorized)
                wrong.Add(who);
        }

        var agent = await _hub.SendAsync(HttpMethod.Get, List.Replace("%24edgeHub", "%24edgeAgent", StringComparison.Ordinal), Token("edge", "$edgeAgent"), null);
        Assert.Equal(HttpStatusCode.Unauthorized, agent.Status);
        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData($"{Find}?targetDeviceId=", "ArgumentInvalid")]
    [InlineData($"{List}?continuationToken=a%20b", "ArgumentInvalid")]
    public async Task Nonsense_IsRefused(string path, string error) =>
        Assert.Equal(error, (await _hub.SendAsync(HttpMethod.Get, path, _edgeHub, null)).ErrorCode);

    private static string[] Ids(JsonNode? list, string name) => [.. list!.AsArray().Select(one => (string)one![name]!)];

    private string Below(string edge) => """{"deviceScope":"SCOPE"}""".Replace("SCOPE", ScopeOf(edge), StringComparison.Ordinal);

    private async Task PutAsync(string path, string body) => Assert.Equal(HttpStatusCode.OK, (await _hub.OwnerAsync(HttpMethod.Put, $"/devices/{path}", body)).Status);

    private IdentityRecord Stored(string device, string? module = null) => _hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, device, module))!;

    private string ScopeOf(string edge) => Stored(edge).DeviceScope!;

    private string Token(string device, string? module) => SharedAccessSignature.Create(
        $"{HttpHeadHost.HostName}/devices/{device}{(module is null ? "" : $"/modules/{module}")}", Stored(device, module).PrimaryKey!, _hub.Time.GetUtcNow().AddHours(1));
}
