using System.Text;
using System.Text.Json;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Twins;

public sealed class DigitalTwinTests : IAsyncLifetime
{
    private const string Reported =
        """{"serialNumber":"a1","thermostat1":{"__t":"c","maxTemp":25.30,"target":{"value":20.5,"ac":200,"av":2,"ad":"ok"}},"geo":{"lat":1}}""";

    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private RegistryFixture _hub = null!;
    private string _generation = "";

    public async ValueTask InitializeAsync()
    {
        _hub = await RegistryFixture.OpenAsync();
        _generation = (await _hub.CreateAsync("d1")).GenerationId;
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public void Get_NewDevice_HasAnEmptyModel() =>
        Assert.Equal("""{"$dtId":"d1","$metadata":{"$model":""}}""", Shown());

    [Fact]
    public async Task Get_JoinsWhatIsWantedAndWhatWasSaid()
    {
        await _hub.Twins.NoteModelAsync(D1, _generation, "dtmi:com:example:TemperatureController;1", CancellationToken.None);
        await WantAsync("""{"thermostat1":{"__t":"c","target":21},"interval":5}""");
        await ReportAsync(Reported);

        const string Time = "2026-01-02T12:00:00.0000000Z";
        Assert.Equal(
            "{\"$dtId\":\"d1\",\"serialNumber\":\"a1\","
            + "\"thermostat1\":{\"maxTemp\":25.30,\"target\":20.5,\"$metadata\":{\"maxTemp\":{\"lastUpdateTime\":\"" + Time + "\"},"
            + "\"target\":{\"desiredValue\":21,\"desiredVersion\":2,\"ackVersion\":2,\"ackCode\":200,\"ackDescription\":\"ok\",\"lastUpdateTime\":\"" + Time + "\"}}},"
            + "\"geo\":{\"lat\":1},"
            + "\"$metadata\":{\"$model\":\"dtmi:com:example:TemperatureController;1\",\"serialNumber\":{\"lastUpdateTime\":\"" + Time + "\"},\"geo\":{\"lastUpdateTime\":\"" + Time + "\"},"
            + "\"interval\":{\"desiredValue\":5,\"desiredVersion\":2}}}",
            Shown());
    }

    [Theory]
    [InlineData("""[{"op":"add","path":"/interval","value":5}]""", """{"interval":5}""")]
    [InlineData("""[{"op":"replace","path":"/serialNumber","value":"b"}]""", """{"serialNumber":"b"}""")]
    [InlineData("""[{"op":"remove","path":"/serialNumber"}]""", "{}")]
    [InlineData("""[{"op":"add","path":"/thermostat1/target","value":21.4}]""", """{"thermostat1":{"__t":"c","target":21.4}}""")]
    [InlineData("""[{"op":"replace","path":"/thermostat1/maxTemp","value":{"a":{"b":1}}}]""", """{"thermostat1":{"__t":"c","maxTemp":{"a":{"b":1}}}}""")]
    [InlineData("""[{"op":"remove","path":"/thermostat1/target"},{"op":"remove","path":"/thermostat1"}]""", "{}")]
    [InlineData("""[{"op":"add","path":"/t2","value":{"x":1,"$metadata":{}}}]""", """{"t2":{"__t":"c","x":1}}""")]
    [InlineData("""[{"op":"add","path":"/t2","value":{"$metadata":{}}},{"op":"add","path":"/t2/x","value":1},{"op":"add","path":"/t2/y","value":2},{"op":"remove","path":"/t2/x"}]""", """{"t2":{"__t":"c","y":2}}""")]
    [InlineData("""[{"op":"add","path":"/a~1b","value":1},{"op":"add","path":"/a~01","value":2}]""", """{"a/b":1,"a~1":2}""")]
    [InlineData("[]", "{}")]
    public async Task Patch_ChangesDesiredProperties(string patch, string desired)
    {
        await ReportAsync(Reported);

        Assert.Equal(desired, Desired(await PatchAsync(patch)));
    }

    [Theory]
    [InlineData("""[{"op":"replace","path":"/t1","value":{"x":3,"$metadata":{}}}]""", """{"t1":{"__t":"c","x":3},"o":{"p":1,"q":2},"n":1}""", """{"t1":{"__t":"c","x":3,"y":null},"$version":3}""")]
    [InlineData("""[{"op":"replace","path":"/o","value":{"q":3}}]""", """{"t1":{"__t":"c","x":1,"y":{"z":1}},"o":{"q":3},"n":1}""", """{"o":{"q":3,"p":null},"$version":3}""")]
    [InlineData("""[{"op":"replace","path":"/t1/y","value":{}}]""", """{"t1":{"__t":"c","x":1,"y":{}},"o":{"p":1,"q":2},"n":1}""", """{"t1":{"y":{"z":null}},"$version":3}""")]
    [InlineData("""[{"op":"remove","path":"/t1/y"}]""", """{"t1":{"__t":"c","x":1},"o":{"p":1,"q":2},"n":1}""", """{"t1":{"y":null},"$version":3}""")]
    [InlineData("""[{"op":"remove","path":"/t1/y"},{"op":"remove","path":"/t1/x"}]""", """{"o":{"p":1,"q":2},"n":1}""", """{"t1":null,"$version":3}""")]
    [InlineData("""[{"op":"remove","path":"/n"},{"op":"add","path":"/n","value":1}]""", """{"t1":{"__t":"c","x":1,"y":{"z":1}},"o":{"p":1,"q":2},"n":1}""", """{"n":1,"$version":3}""")]
    public async Task Patch_OfWhatIsThere_TellsTheDeviceThatAndNoMore(string patch, string desired, string told)
    {
        await WantAsync("""{"t1":{"__t":"c","x":1,"y":{"z":1}},"o":{"p":1,"q":2},"n":1}""");
        var link = _hub.Connect("d1");

        var state = await PatchAsync(patch);

        // The place of a member that went and came back is nobody's business.
        Assert.True(JsonElement.DeepEquals(JsonDocument.Parse(desired).RootElement, JsonDocument.Parse(Desired(state)).RootElement), Desired(state));
        Assert.Equal(told, Assert.Single(link.Desired));
    }

    [Theory]
    [InlineData("""[{"op":"test","path":"/a","value":1}]""", "operation 0: op: add, replace or remove is needed")]
    [InlineData("""[{"op":"add","path":"/a","value":1},null]""", "operation 1: an object is needed")]
    [InlineData("""[{"op":"add","path":"a","value":1}]""", "operation 0: path: /property, /component or /component/property is needed")]
    [InlineData("""[{"op":"add","value":1}]""", "operation 0: path: /property")]
    [InlineData("""[{"op":"add","path":"/a~2","value":1}]""", "operation 0: path: after ~ comes 0 or 1")]
    [InlineData("""[{"op":"add","path":"/a/b/c","value":1}]""", "operation 0: path: is deeper than a property")]
    [InlineData("""[{"op":"add","path":"/__t","value":1}]""", "operation 0: path: __t is the hub's")]
    [InlineData("""[{"op":"add","path":"/a"}]""", "operation 0: value: is missing or null; use remove")]
    [InlineData("""[{"op":"add","path":"/a","value":null}]""", "operation 0: value: is missing or null; use remove")]
    [InlineData("""[{"op":"add","path":"/","value":1}]""", "properties.desired: a key is empty")]
    [InlineData("""[{"op":"remove","path":"/$dtId"}]""", "properties.desired: the key '$dtId' has a character that is not allowed")]
    [InlineData("""[{"op":"add","path":"/t1/a","value":{"b.c":1}}]""", "properties.desired.t1.a: the key 'b.c' has a character that is not allowed")]
    [InlineData("""[{"op":"add","path":"/t1","value":{"__t":"c"}}]""", "operation 0: value: __t is the mark of a component")]
    [InlineData("""[{"op":"add","path":"/t1","value":{"a":1,"$metadata":{"x":1}}}]""", "operation 0: value: $metadata of a component is the empty object {}")]
    [InlineData("""[{"op":"add","path":"/t1","value":{"a":null,"$metadata":{}}}]""", "operation 0: value: a property of the component is null")]
    [InlineData("""[{"op":"replace","path":"/none","value":1}]""", "operation 0: /none: there is nothing of that name")]
    [InlineData("""[{"op":"remove","path":"/none"}]""", "operation 0: /none: there is nothing of that name")]
    [InlineData("""[{"op":"remove","path":"/thermostat1/none"}]""", "operation 0: /thermostat1/none: there is nothing of that name")]
    [InlineData("""[{"op":"add","path":"/none/a","value":1}]""", "operation 0: /none/a: there is no component 'none'")]
    [InlineData("""[{"op":"add","path":"/geo/lat","value":1}]""", "operation 0: /geo/lat: 'geo' is a property and no component")]
    [InlineData("""[{"op":"add","path":"/thermostat1","value":{"target":1}}]""", "operation 0: /thermostat1: is a component")]
    [InlineData("""[{"op":"add","path":"/geo","value":{"lat":1,"$metadata":{}}}]""", "operation 0: /geo: is a property in the device's twin")]
    public async Task Patch_AgainstARule_IsRefused_AndChangesNothing(string patch, string says)
    {
        await ReportAsync(Reported);

        var refusal = await Assert.ThrowsAsync<HubException>(() => PatchAsync(patch));

        Assert.Same(HubErrors.ArgumentInvalid, refusal.Error);
        Assert.StartsWith(says, refusal.Message, StringComparison.Ordinal);
        Assert.Equal(1, _hub.Twins.Get(D1).Twin.ETag);
    }

    [Fact]
    public async Task Patch_WithTooManyOperations_IsRefused()
    {
        var operation = """{"op":"add","path":"/a","value":1}""";

        await PatchAsync($"[{string.Join(',', Enumerable.Repeat(operation, DigitalTwinPatch.MaxOperations))}]");
        await RegistryFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => PatchAsync($"[{string.Join(',', Enumerable.Repeat(operation, DigitalTwinPatch.MaxOperations + 1))}]"));
    }

    [Fact]
    public async Task Patch_TooMuch_IsRefusedAsAnyChangeOfATwin()
    {
        var text = new string('x', 4096);
        var patch = string.Join(',', Enumerable.Range(0, 9).Select(n => $$"""{"op":"add","path":"/p{{n}}","value":"{{text}}"}"""));

        var refusal = await Assert.ThrowsAsync<HubException>(() => PatchAsync($"[{patch}]"));

        Assert.StartsWith("properties.desired: would have 36882 bytes", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Patch_IsInTheTrail_AsTheChangeOfTheTwinThatItIs()
    {
        await PatchAsync("""[{"op":"add","path":"/a","value":1}]""");
        await RegistryFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => PatchAsync("""[{"op":"remove","path":"/b"}]"""));
        await RegistryFixture.RefusedAsync(HubErrors.PreconditionFailed, () => PatchAsync("[]", EntityTagCondition.Parse("x")));

        Assert.Equal(
            [("device twin-update", "done"), ("device twin-update", "refused"), ("device twin-update", "refused")],
            _hub.Audit.Entries.Where(entry => entry.Action.Contains("twin", StringComparison.Ordinal)).Select(entry => (entry.Action, entry.Result)));
    }

    [Fact]
    public async Task Patch_Counts_AsATwinsChange()
    {
        var state = await PatchAsync("""[{"op":"add","path":"/a","value":1}]""");

        Assert.Equal((2, 3, 2), (state.Twin.ETag, state.Twin.Version, state.Twin.Desired.Version));
    }

    private async Task<TwinState> PatchAsync(string patch, EntityTagCondition? condition = null)
    {
        var read = DigitalTwinPatch.Read(JsonSerializer.Deserialize<List<DigitalTwinOperation?>>(patch, Json)!);
        return await _hub.Twins.ChangeAsync(RegistryFixture.Owner, D1, read, condition ?? EntityTagCondition.Any, CancellationToken.None);
    }

    private async Task WantAsync(string desired) => await _hub.Twins.ChangeAsync(
        RegistryFixture.Owner, D1, TwinChange.Read(Encoding.UTF8.GetBytes($$$"""{"properties":{"desired":{{{desired}}}}}"""), replaces: false), EntityTagCondition.Any, CancellationToken.None);

    private async Task ReportAsync(string json) =>
        await _hub.Twins.ReportAsync(D1, _generation, TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported), null, CancellationToken.None);

    private string Shown() => Encoding.UTF8.GetString(DigitalTwinJson.Encode(_hub.Twins.Get(D1)));

    private static string Desired(TwinState state) => Encoding.UTF8.GetString(state.Twin.Desired.Json);
}
