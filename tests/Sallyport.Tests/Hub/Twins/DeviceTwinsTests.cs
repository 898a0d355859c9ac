using System.Text;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Twins;

public sealed class DeviceTwinsTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");

    private RegistryFixture _hub = null!;
    private string _generation = "";

    public async ValueTask InitializeAsync()
    {
        _hub = await RegistryFixture.OpenAsync();
        _generation = (await _hub.CreateAsync("d1")).GenerationId;
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public void Get_NewIdentity_HasAnEmptyTwin()
    {
        using var twin = Twin();

        Assert.Equal(("d1", "AAAAAAAAAAE=", 2, "{}"), (Text(twin, "deviceId"), Text(twin, "etag"), twin.RootElement.GetProperty("version").GetInt32(), twin.RootElement.GetProperty("tags").GetRawText()));
        Assert.Equal(
            """{"$metadata":{"$lastUpdated":"2026-01-02T12:00:00.0000000Z","$lastUpdatedVersion":1},"$version":1}""",
            twin.RootElement.GetProperty("properties").GetProperty("reported").GetRawText());
    }

    [Fact]
    public async Task Change_Merges_AndCountsETagAndVersions()
    {
        await PatchAsync("""{"tags":{"site":"a","x":1},"properties":{"desired":{"t":20,"u":{"v":1}}}}""");
        var state = await PatchAsync("""{"tags":{"x":null},"properties":{"desired":{"u":{"v":2}}}}""");

        Assert.Equal((3, 4, 3), (state.Twin.ETag, state.Twin.Version, state.Twin.Desired.Version));
        Assert.Equal("""{"site":"a"}""", Encoding.UTF8.GetString(state.Twin.Tags));
        Assert.Equal("""{"t":20,"u":{"v":2}}""", Encoding.UTF8.GetString(state.Twin.Desired.Json));
    }

    [Fact]
    public async Task Change_OfTagsAlone_LeavesDesiredAndItsVersion()
    {
        var link = _hub.Connect("d1");
        var state = await PatchAsync("""{"tags":{"a":1}}""");

        Assert.Equal(1, state.Twin.Desired.Version);
        Assert.Empty(link.Desired);
    }

    [Fact]
    public async Task Replace_PutsAwayWhatWasThere_AndTellsWhatIsGone()
    {
        await PatchAsync("""{"tags":{"a":1},"properties":{"desired":{"t":20,"u":{"v":1,"w":2}}}}""");
        var link = _hub.Connect("d1");
        var state = await ChangeAsync("""{"properties":{"desired":{"u":{"w":3},"$version":1,"$metadata":{}}},"etag":"x"}""", replaces: true);

        Assert.Equal("""{"u":{"w":3}}""", Encoding.UTF8.GetString(state.Twin.Desired.Json));
        Assert.Equal("""{"a":1}""", Encoding.UTF8.GetString(state.Twin.Tags));
        Assert.Equal(["""{"u":{"w":3,"v":null},"t":null,"$version":3}"""], link.Desired);
    }

    [Fact]
    public async Task Change_ETagIsAnother_IsRefusedAndChangesNothing()
    {
        var old = EntityTagCondition.Parse(EntityTag.Format(1));
        await PatchAsync("""{"tags":{"a":1}}""", old);

        await RegistryFixture.RefusedAsync(HubErrors.PreconditionFailed, async () => await PatchAsync("""{"tags":{"a":2}}""", old));
        await PatchAsync("""{"tags":{"b":2}}""", EntityTagCondition.Parse("\"AAAAAAAAAAI=\""));
        Assert.Equal("""{"a":1,"b":2}""", Encoding.UTF8.GetString(_hub.Twins.Get(D1).Twin.Tags));
    }

    [Fact]
    public async Task Change_UnknownIdentity_IsRefused()
    {
        await RegistryFixture.RefusedAsync(HubErrors.DeviceNotFound, async () => await PatchAsync("""{"tags":{}}""", identity: Identity.Of("d2")));
        await RegistryFixture.RefusedAsync(HubErrors.ModuleNotFound, async () => await PatchAsync("""{"tags":{}}""", identity: Identity.Of("d1", "m")));
    }

    [Fact]
    public async Task Change_TooMuch_IsRefusedWithThePathAndTheBytes()
    {
        var tags = string.Join(',', Enumerable.Range(0, 3).Select(i => $"\"t{i}\":\"{new string('x', 4000)}\""));
        var refusal = await Assert.ThrowsAsync<HubException>(async () => await PatchAsync("{\"tags\":{" + tags + "}}"));

        Assert.Equal("tags: would have 12006 bytes of keys and values; at most 8192 are allowed", refusal.Message);
        Assert.Equal(1, _hub.Twins.Get(D1).Twin.ETag);
    }

    [Theory]
    [InlineData("""{"tags":{},"tags":{}}""")]
    [InlineData("""{"properties":{"desired":{},"desired":{}}}""")]
    [InlineData("""{"properties":[]}""")]
    [InlineData("""{"tags":1}""")]
    [InlineData("[]")]
    [InlineData("""{"tags":{"a.b":1}}""")]
    public void Read_NoTwin_IsRefused(string json) =>
        Assert.Same(HubErrors.ArgumentInvalid, Assert.Throws<HubException>(() => TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces: false)).Error);

    [Fact]
    public async Task Change_IsInTheTrailBeforeItTakesEffect_AndARefusedOneToo()
    {
        await PatchAsync("""{"tags":{"a":1}}""");
        await RegistryFixture.RefusedAsync(HubErrors.PreconditionFailed, async () => await PatchAsync("""{"tags":{"a":2}}""", EntityTagCondition.Parse("x")));

        Assert.Equal([("device twin-update", "done"), ("device twin-update", "refused")], _hub.Audit.Entries.Where(entry => entry.Action.Contains("twin", StringComparison.Ordinal)).Select(entry => (entry.Action, entry.Result)));
    }

    [Fact]
    public async Task Report_Merges_AndCountsVersionsButNoETag()
    {
        Assert.Equal(2, await ReportAsync("""{"a":1,"b":{"c":2}}"""));
        Assert.Equal(3, await ReportAsync("""{"b":{"c":null}}"""));

        var twin = _hub.Twins.Get(D1).Twin;
        Assert.Equal((1, 4, 3), (twin.ETag, twin.Version, twin.Reported.Version));
        Assert.Equal("""{"desired":{"$version":1},"reported":{"a":1,"b":{},"$version":3}}""", Encoding.UTF8.GetString(_hub.Twins.Read(D1, _generation)));
    }

    [Fact]
    public async Task Report_OnlyAtAVersion_IsRefusedAtAnother()
    {
        Assert.Equal(2, await ReportAsync("""{"a":1}""", onlyAt: 1));
        await RegistryFixture.RefusedAsync(HubErrors.PreconditionFailed, () => ReportAsync("""{"a":2}""", onlyAt: 1));
    }

    [Fact]
    public async Task Report_OfADeletedNamesake_IsRefused()
    {
        await ReportAsync("""{"a":1}""");
        await _hub.DeleteAsync("d1");
        await _hub.CreateAsync("d1");

        await RegistryFixture.RefusedAsync(HubErrors.DeviceNotFound, () => ReportAsync("""{"a":2}"""));
        Assert.Throws<HubException>(() => _hub.Twins.Read(D1, _generation));
        Assert.Equal("{}", Encoding.UTF8.GetString(_hub.Twins.Get(D1).Twin.Reported.Json));
    }

    [Fact]
    public async Task Delete_OfADevice_DeletesItsModulesTwins()
    {
        await _hub.CreateAsync("d1", "m1");
        await PatchAsync("""{"tags":{"a":1}}""", identity: Identity.Of("d1", "m1"));
        await _hub.DeleteAsync("d1");

        Assert.Null(_hub.Metadata.Read(tx => _hub.Metadata.Twins.Find(tx, "d1", "m1")));
    }

    [Fact]
    public async Task ModuleTwins_AreTheirOwn()
    {
        var module = await _hub.CreateAsync("d1", "m1");
        await PatchAsync("""{"properties":{"desired":{"a":1}}}""", identity: Identity.Of("d1", "m1"));

        Assert.Equal("""{"desired":{"a":1,"$version":2},"reported":{"$version":1}}""", Encoding.UTF8.GetString(_hub.Twins.Read(Identity.Of("d1", "m1"), module.GenerationId)));
        using var twin = JsonDocument.Parse(TwinJson.Encode(_hub.Twins.Get(Identity.Of("d1", "m1"))));
        Assert.Equal("m1", Text(twin, "moduleId"));
        Assert.Equal("{}", Encoding.UTF8.GetString(_hub.Twins.Get(D1).Twin.Desired.Json));
    }

    [Fact]
    public async Task Desired_IsTold_InTheOrderOfVersions()
    {
        var link = _hub.Connect("d1");
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => PatchAsync("{\"properties\":{\"desired\":{\"n\":" + i + "}}}").AsTask()));

        Assert.Equal(Enumerable.Range(2, 100), link.Desired.Select(json => JsonDocument.Parse(json).RootElement.GetProperty("$version").GetInt32()));
    }

    [Fact]
    public async Task Desired_IsNotTold_ToWhoDoesNotAsk()
    {
        var link = _hub.Connect("d1");
        link.TakesDesired = false;
        await PatchAsync("""{"properties":{"desired":{"n":1}}}""");

        Assert.Empty(link.Desired);
    }

    [Fact]
    public async Task Quarantine_ReportsAreTaken_NothingIsTold()
    {
        var link = _hub.Connect("d1");
        _hub.Line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "rule:tamper", ""));

        Assert.Equal(2, await ReportAsync("""{"a":1}"""));
        await PatchAsync("""{"properties":{"desired":{"n":1}}}""");

        Assert.Empty(link.Desired);
        Assert.Same(HubErrors.Throttled, Assert.Throws<HubException>(() => _hub.Twins.Read(D1, _generation)).Error);
        Assert.Equal([StreamId.Quarantine.Number, StreamId.Changes.Number], TwinEvents().Select(record => record.Stream));
        Assert.True(StoredMessage.TryRead(TwinEvents()[0].Message, out var message));
        Assert.True(message.Annotations.TryFind("iothub-connection-device-id"u8, out var id));
        Assert.Equal("d1"u8, id.Content);
    }

    [Fact]
    public async Task Events_TellWhatChanged()
    {
        await ReportAsync("""{"a":1,"b":null}""");
        await PatchAsync("""{"tags":{"t":1},"properties":{"desired":{"d":2}}}""");
        await ChangeAsync("""{"tags":{}}""", replaces: true);

        var events = TwinEvents();
        const string metadata = "\"$metadata\":{\"$lastUpdated\":\"2026-01-02T12:00:00.0000000Z\",\"$lastUpdatedVersion\":2,";
        const string leaf = """{"$lastUpdated":"2026-01-02T12:00:00.0000000Z","$lastUpdatedVersion":2}""";
        Assert.Equal(["updateTwin", "updateTwin", "replaceTwin"], events.Select(record => Property(record, "opType")));
        Assert.All(events, record => Assert.Equal(((byte)SourceKind.TwinChange, "twinChangeNotification", "d1"), (record.Source, Property(record, "iothub-message-schema"), Property(record, "deviceId"))));
        Assert.Equal("""{"version":3,"properties":{"reported":{"a":1,"b":null,""" + metadata + "\"a\":" + leaf + """},"$version":2}}}""", Body(events[0]));
        Assert.Equal("""{"version":4,"tags":{"t":1},"properties":{"desired":{"d":2,""" + metadata + "\"d\":" + leaf + """},"$version":2}}}""", Body(events[1]));
        Assert.Equal("{}", JsonDocument.Parse(Body(events[2])).RootElement.GetProperty("tags").GetRawText());
    }

    // What is kept of the last report is taken for the next one only where it is what the row has.
    [Fact]
    public async Task Report_AfterANamesakeOrARefusal_MergesIntoWhatIsStored()
    {
        await ReportAsync("""{"a":1,"b":{"c":2}}""");
        await Assert.ThrowsAsync<HubException>(() => ReportAsync("""{"big":"x"}""", onlyAt: 99));
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => ReportAsync("""{"n":{"k""" + i + "\":" + i + "}}")));
        Assert.Equal(40, JsonDocument.Parse(_hub.Twins.Get(D1).Twin.Reported.Json).RootElement.GetProperty("n").EnumerateObject().Count());

        await _hub.DeleteAsync("d1");
        _generation = (await _hub.CreateAsync("d1")).GenerationId;
        await ReportAsync("""{"z":1}""");

        Assert.Equal(("""{"z":1}""", 2L), (Encoding.UTF8.GetString(_hub.Twins.Get(D1).Twin.Reported.Json), _hub.Twins.Get(D1).Twin.Reported.Version));
    }

    // A crash between any two steps: what the store holds after it is a whole change with its event, or none of both.
    [Fact]
    public async Task ARefusedWrite_LeavesNeitherChangeNorEvent()
    {
        await ReportAsync("""{"a":1}""");
        var before = TwinEvents().Count;
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await _hub.Metadata.WriteAsync<bool>(tx =>
        {
            var twin = _hub.Metadata.Twins.Find(tx, "d1", null)!;
            _hub.Metadata.Twins.PutReported(tx, "d1", null, 99, twin.Reported);
            _hub.Metadata.Outbox.Add(tx, new OutboxRecord(Guid.NewGuid(), "d1", StreamId.Changes.Number, (byte)SourceKind.TwinChange, [1]));
            throw new InvalidOperationException();
        }));

        Assert.Equal((3, before), (_hub.Twins.Get(D1).Twin.Version, TwinEvents().Count));
    }

    [Theory]
    [InlineData("""{"note":"x","floor":3}""", true)]
    [InlineData("""{"site":"berlin"}""", true)]
    [InlineData("""{"site":"hamburg"}""", false)]
    [InlineData("""{"site":null}""", false)]
    [InlineData("""{"site":{"deeper":"berlin"}}""", false)]
    [InlineData("""{"location":{"hall":"b"}}""", false)]
    [InlineData("""{"location":null}""", false)]
    [InlineData("""{"line":"7"}""", false)]
    public async Task Change_ByWhoIsLimitedToDevices_LeavesWhoReachesTheDevice(string tags, bool expected)
    {
        using var policies = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);
        await policies.CreateAsync(RegistryFixture.Owner, "others", Rights.TwinRead, ScopeTests.Of(_hub.Tags, "location.hall=b"), null, null, CancellationToken.None);
        await _hub.Metadata.WriteAsync(tx =>
        {
            _hub.Metadata.CertificateAuthorities.Put(tx, new CertificateAuthorityRecord { Name = "plant", Certificate = [1], ETag = 1, DeviceTags = "line%3D7", CreatedTime = default, UpdatedTime = default });
            return true;
        });
        await policies.CreateAsync(RegistryFixture.Owner, "mine", Rights.TwinWrite, ScopeTests.Of(_hub.Tags, "site=berlin"), null, null, CancellationToken.None);
        await _hub.TagAsync("d1", """{"site":"berlin","location":{"hall":"a"}}""");

        foreach (var scope in (Scope[])[ScopeTests.Of(_hub.Tags, "site=berlin"), ScopeTests.Of(_hub.Tags, "", "d")])
        {
            var limited = RegistryFixture.Owner with { Scope = scope };
            if (expected)
                await _hub.TagAsync("d1", tags, limited);
            else
                await RegistryFixture.RefusedAsync(HubErrors.UnauthorizedAccess, () => _hub.TagAsync("d1", tags, limited));
        }

        await _hub.TagAsync("d1", tags);
    }

    [Fact]
    public async Task Replace_ByWhoIsLimitedByTag_KeepsTheTag_AndDesiredPropertiesAreFree()
    {
        using var policies = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);
        var scope = ScopeTests.Of(_hub.Tags, "site=berlin");
        await policies.CreateAsync(RegistryFixture.Owner, "mine", Rights.TwinWrite, scope, null, null, CancellationToken.None);
        await _hub.TagAsync("d1", """{"site":"berlin","x":1}""");
        await _hub.CreateAsync("d1", "m1");
        var limited = RegistryFixture.Owner with { Scope = scope };

        await RegistryFixture.RefusedAsync(HubErrors.UnauthorizedAccess, () => ReplaceAsync("""{"tags":{"x":2}}""", D1));
        await ReplaceAsync("""{"tags":{"site":"berlin","y":2},"properties":{"desired":{"a":1}}}""", D1);
        await ReplaceAsync("""{"properties":{"desired":{}}}""", D1);
        await ReplaceAsync("""{"tags":{"site":"hamburg"}}""", Identity.Of("d1", "m1")); // A module's tags put nobody anywhere.

        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "device twin-replace", Result: "refused" } && entry.Reason.StartsWith("tags.site: rights are limited by this tag", StringComparison.Ordinal));

        async Task ReplaceAsync(string json, Identity identity) => await _hub.Twins.ChangeAsync(
            limited, identity, TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces: true), EntityTagCondition.Any, CancellationToken.None);
    }

    private async ValueTask<TwinState> PatchAsync(string json, EntityTagCondition? condition = null, Identity? identity = null) =>
        await ChangeAsync(json, replaces: false, condition, identity);

    private ValueTask<TwinState> ChangeAsync(string json, bool replaces, EntityTagCondition? condition = null, Identity? identity = null) =>
        _hub.Twins.ChangeAsync(RegistryFixture.Owner, identity ?? D1, TwinChange.Read(Encoding.UTF8.GetBytes(json), replaces), condition ?? EntityTagCondition.Any, CancellationToken.None);

    private async Task<long> ReportAsync(string json, long? onlyAt = null) =>
        await _hub.Twins.ReportAsync(D1, _generation, TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported), onlyAt, CancellationToken.None);

    private JsonDocument Twin() => JsonDocument.Parse(TwinJson.Encode(_hub.Twins.Get(D1)));

    private static string? Text(JsonDocument twin, string name) => twin.RootElement.GetProperty(name).GetString();

    private List<OutboxRecord> TwinEvents() =>
        [.. _hub.Metadata.Read(tx => _hub.Metadata.Outbox.Peek(tx, 1000)).Where(record => record.Source == (byte)SourceKind.TwinChange)];

    private static string Body(OutboxRecord record)
    {
        Assert.True(StoredMessage.TryRead(record.Message, out var message));
        return Encoding.UTF8.GetString(message.Body);
    }

    private static string? Property(OutboxRecord record, string name)
    {
        Assert.True(StoredMessage.TryRead(record.Message, out var message));
        return message.ApplicationProperties.TryFind(Encoding.UTF8.GetBytes(name), out var value) ? Encoding.UTF8.GetString(value.Content) : null;
    }
}
