using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Queries;

public sealed class TwinQueriesTests : IAsyncLifetime
{
    private RegistryFixture _hub = null!;
    private TwinQueries _queries = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await RegistryFixture.OpenAsync();
        _queries = Queries(new QueryLimits());
    }

    public async ValueTask DisposeAsync()
    {
        _queries.Dispose();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Star_IsTheTwinAsItIsShown()
    {
        await CreateAsync("d1", """{"tags":{"site":"a"},"properties":{"desired":{"n":1}}}""");
        await CreateAsync("d1", """{"tags":{"m":true}}""", "m1");

        var page = await _queries.RunAsync(Scope.Everything, "SELECT * FROM devices WHERE tags.site = 'a'", null, null, Cancel);
        var modules = await _queries.RunAsync(Scope.Everything, "SELECT * FROM devices.modules", null, null, Cancel);

        Assert.Equal((QueryItemType.Twin, null), (page.Type, page.Continuation));
        Assert.Equal($"[{Twin("d1")}]", Encoding.UTF8.GetString(page.Json.Span));
        Assert.Equal($"[{Twin("d1", "m1")}]", Encoding.UTF8.GetString(modules.Json.Span));
    }

    [Fact]
    public async Task Columns_AreWhatWasNamed_AndNothingWhereThereIsNothing()
    {
        await CreateAsync("d1", """{"tags":{"site":"a","in":{"x":[1,{"y":2.50}]}},"properties":{"desired":{"n":1}}}""");
        await CreateAsync("d2", """{"tags":{"other":1}}""");

        Assert.Equal(
            """[{"deviceId":"d1","where":"a","in":{"x":[1,{"y":2.50}]},"$version":2},{"deviceId":"d2","$version":1}]""",
            await AnswerAsync("SELECT DeviceId, tags.site AS where, tags.in, properties.desired.$version FROM devices"));
        Assert.Equal(["$metadata", "$version", "n"], (await RowsAsync("SELECT properties.desired AS d FROM devices WHERE tags.site='a'"))[0]!["d"]!.AsObject().Select(member => member.Key).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Write_AnsweredBefore_IsSeen_OfAnyKind()
    {
        await CreateAsync("d1", "{}");
        Assert.Equal("[]", await IdsAsync("tags.site = 'a'"));

        await PatchAsync("d1", """{"tags":{"site":"a"}}""");
        Assert.Equal("[\"d1\"]", await IdsAsync("tags.site = 'a'"));
        await PatchAsync("d1", """{"tags":{"site":"b"}}""");
        Assert.Equal("[]", await IdsAsync("tags.site = 'a'"));
        await ReportAsync("d1", """{"t":7}""");
        Assert.Equal("[\"d1\"]", await IdsAsync("properties.reported.t = 7"));
        await _hub.UpdateAsync("d1", new IdentityDraft { Enabled = false });
        Assert.Equal("[\"d1\"]", await IdsAsync("status = 'disabled' AND tags.site = 'b'"));
        await _hub.DeleteAsync("d1");
        Assert.Equal("[]", await IdsAsync("status = 'disabled'"));
        await CreateAsync("d1", "{}");
        Assert.Equal("[]", await IdsAsync("tags.site = 'b' OR properties.reported.t = 7 OR status = 'disabled'"));
    }

    [Fact]
    public async Task ConnectionStateAndActivity_AreOfThisMoment()
    {
        await CreateAsync("d1", "{}");
        await CreateAsync("d2", "{}");
        Assert.Equal("[]", await IdsAsync("connectionState = 'Connected'"));

        var link = _hub.Connect("d2");
        Assert.Equal("[\"d2\"]", await IdsAsync("connectionState = 'Connected'"));
        Assert.Equal("[\"d2\"]", await IdsAsync("lastActivityTime >= '2026-01-02T12:00:00' AND lastActivityTime < '2026-01-02T12:00:01Z'"));
        Assert.Equal("[\"d1\"]", await IdsAsync("lastActivityTime = '0001-01-01T00:00:00Z'"));
        _hub.Connected.Detach(link);
        Assert.Equal("[]", await IdsAsync("connectionState = 'Connected'"));
    }

    [Fact]
    public async Task Field_OfEveryName_IsWhatTheTwinShows()
    {
        await _hub.CreateAsync("edge", null, new IdentityDraft { IotEdge = true, StatusReason = "so" });
        await _hub.CreateAsync("cert", null, new IdentityDraft
        {
            Enabled = false,
            Credential = new CredentialDraft { PrimaryThumbprint = new string('A', 40) },
            ParentScopes = new Given<IReadOnlyList<string>>(true, [(await _hub.CreateAsync("parent", null, new IdentityDraft { IotEdge = true })).DeviceScope!]),
        });
        await _hub.CreateAsync("cert", "m1");
        _hub.Connect("cert");
        await PatchAsync("edge", """{"tags":{"a":1},"properties":{"desired":{"b":{"c":"x"}}}}""");

        foreach (var (identity, source) in new[] { (Identity.Of("edge"), "devices"), (Identity.Of("cert"), "devices"), (Identity.Of("cert", "m1"), "devices.modules") })
        {
            var twin = JsonNode.Parse(Twin(identity.DeviceId, identity.ModuleId))!.AsObject();
            foreach (var (path, value) in Primitives(twin))
            {
                var literal = value?.ToJsonString() ?? "null";
                var found = await RowsAsync($"SELECT * FROM {source} WHERE {path} = {literal} AND deviceId = '{identity.DeviceId}'");
                Assert.True(found.Count == 1, $"{path} = {literal} of {identity}");
            }

            foreach (var field in new[] { "statusReason", "deviceScope", "parentScopes", "moduleId", "capabilities", "configurations", "x509Thumbprint", "properties" })
                Assert.Equal(twin.ContainsKey(field), (await RowsAsync($"SELECT * FROM {source} WHERE IS_DEFINED({field}) AND deviceId = '{identity.DeviceId}'")).Count == 1);
        }
    }

    [Fact]
    public async Task Aggregates_CountWhatIsThere()
    {
        await CreateAsync("d1", """{"tags":{"site":"a","n":1}}""");
        await CreateAsync("d2", """{"tags":{"site":"b","n":2.5}}""");
        await CreateAsync("d3", """{"tags":{"site":"a","n":"x"}}""");
        await CreateAsync("d4", """{"tags":{"site":{"o":1}}}""");
        await CreateAsync("d4", "{}", "m1");

        Assert.Equal("""[{"n":4}]""", await AnswerAsync("SELECT COUNT() AS n FROM devices"));
        Assert.Equal("""[{"a":1,"b":1}]""", await AnswerAsync("SELECT COUNT() AS a, COUNT() AS b FROM devices.modules"));
        Assert.Equal("""[{"n":0}]""", await AnswerAsync("SELECT COUNT() AS n FROM devices WHERE tags.site = 'c'"));
        Assert.Equal("""[{"n":3,"s":3.5,"a":1.75,"lo":1,"hi":"x"}]""", await AnswerAsync("SELECT COUNT(tags.n) AS n, SUM(tags.n) AS s, AVG(tags.n) AS a, MIN(tags.n) AS lo, MAX(tags.n) AS hi FROM devices"));
        Assert.Equal("[{}]", await AnswerAsync("SELECT SUM(tags.nothing), MIN(tags.nothing) AS m FROM devices"));
        Assert.Equal("""[{"n":1},{"site":"a","n":2},{"site":"b","n":1}]""", await AnswerAsync("SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site"));
        Assert.Equal("""[{"site":"a"}]""", await AnswerAsync("SELECT tags.site FROM devices WHERE tags.site = 'a' GROUP BY tags.site"));
        Assert.Equal("[]", await AnswerAsync("SELECT tags.site, COUNT() FROM devices WHERE tags.site = 'c' GROUP BY tags.site"));
        Assert.Equal("""[{"status":"enabled","count":4}]""", await AnswerAsync("SELECT status, COUNT() FROM devices GROUP BY status"));
    }

    [Fact]
    public async Task Pages_WhileOthersWrite_NeitherDoubleNorHideWhatStays()
    {
        for (var i = 0; i < 25; i++)
            await CreateAsync($"d{i:00}", """{"tags":{"in":true}}""");

        List<string> seen = [];
        string? continuation = null;
        for (var page = 0; page == 0 || continuation is not null; page++)
        {
            var answer = await _queries.RunAsync(Scope.Everything, "SELECT deviceId FROM devices WHERE tags.in", 4, continuation, Cancel);
            seen.AddRange(JsonNode.Parse(answer.Json.Span)!.AsArray().Select(row => (string)row!["deviceId"]!));
            continuation = answer.Continuation;

            // Before, at and behind where the page ended; and every row is written anew, so that it lies elsewhere.
            await CreateAsync($"d{page}-new", """{"tags":{"in":true}}""");
            if (page == 0)
                await _hub.DeleteAsync("d03");
            await PatchAsync("d20", $$"""{"tags":{"page":{{page}} } }""");
            await PatchAsync("d00", $$"""{"tags":{"page":{{page}} } }""");
        }

        var stayed = Enumerable.Range(0, 25).Where(i => i != 3).Select(i => $"d{i:00}").ToList();
        Assert.Equal(stayed, seen.Where(stayed.Contains));
        Assert.Equal(seen.Order(StringComparer.Ordinal).Distinct(), seen);
    }

    [Fact]
    public async Task Pages_OfExactlyWhatThereIs_EndWithTheLast()
    {
        for (var i = 0; i < 4; i++)
            await CreateAsync($"d{i}", "{}");
        await CreateAsync("d4", """{"tags":{"no":1}}""");

        var first = await _queries.RunAsync(Scope.Everything, "SELECT * FROM devices WHERE NOT IS_DEFINED(tags.no)", 2, null, Cancel);
        var second = await _queries.RunAsync(Scope.Everything, "SELECT * FROM devices WHERE NOT IS_DEFINED(tags.no)", 2, first.Continuation, Cancel);

        Assert.NotNull(first.Continuation);
        Assert.Null(second.Continuation);
        Assert.Equal(2, JsonNode.Parse(second.Json.Span)!.AsArray().Count);
    }

    [Fact]
    public async Task Top_IsOfAllPagesTogether()
    {
        for (var i = 0; i < 7; i++)
            await CreateAsync($"d{i}", $$"""{"tags":{"n":{{i}} } }""");

        Assert.Equal(["2", "2", "1"], await PageSizesAsync("SELECT TOP 5 deviceId FROM devices", 2));
        Assert.Equal(["2", "2"], await PageSizesAsync("SELECT TOP 4 deviceId FROM devices", 2));
        Assert.Equal(["2", "1"], await PageSizesAsync("SELECT TOP 3 tags.n FROM devices GROUP BY tags.n", 2));
    }

    [Fact]
    public async Task Groups_OverPages_AreEachThereOnce()
    {
        object[] values = [-3, -1.5, 0, 2, 10, "\"a\"", "\"ab\"", "\"b\"", "true", "false", $"\"{new string('x', 300)}1\"", $"\"{new string('x', 300)}2\"", "\"\\ud83d\\ude00\""];
        for (var i = 0; i < values.Length; i++)
            await CreateAsync($"d{i}", $$"""{"tags":{"v":{{string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{values[i]}")}} } }""");
        await CreateAsync("none", "{}");

        List<string> seen = [];
        string? continuation = null;
        do
        {
            var page = await _queries.RunAsync(Scope.Everything, "SELECT tags.v, COUNT() AS n FROM devices GROUP BY tags.v", 3, continuation, Cancel);
            seen.AddRange(JsonNode.Parse(page.Json.Span)!.AsArray().Select(row => row!["v"]?.ToJsonString() ?? "nothing"));
            continuation = page.Continuation;
        }
        while (continuation is not null);

        Assert.Equal(values.Length + 1, seen.Distinct().Count());
        Assert.Equal(values.Length + 1, seen.Count);
        Assert.Equal(["nothing", "false", "true", "-3", "-1.5", "0", "2", "10", "\"a\"", "\"ab\"", "\"b\""], seen.Take(11));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(4096)]
    public async Task Rows_BeyondThoseReadInOrder_ComeInOrderToo(int inOrder)
    {
        await FillAsync(60);
        for (var i = 0; i < 60; i += 7)
            await PatchAsync($"f{i:0000}", $$"""{"tags":{"in":true,"again":{{i}} } }"""); // Lies at the end of the file now.
        await _hub.CreateAsync("f0014", "m1");
        using var queries = Queries(new QueryLimits { RowsInOrder = inOrder });

        List<string> seen = [];
        string? continuation = null;
        do
        {
            var page = await queries.RunAsync(Scope.Everything, "SELECT deviceId FROM devices WHERE tags.in", 4, continuation, Cancel);
            seen.AddRange(JsonNode.Parse(page.Json.Span)!.AsArray().Select(row => (string)row!["deviceId"]!));
            continuation = page.Continuation;
        }
        while (continuation is not null);

        Assert.Equal(Enumerable.Range(0, 60).Where(i => i % 7 == 0).Select(i => $"f{i:0000}"), seen);
        Assert.Equal(["4", "4", "1"], await PageSizesAsync("SELECT deviceId FROM devices WHERE tags.in", 4, queries));
        Assert.Equal(["4", "1"], await PageSizesAsync("SELECT TOP 5 * FROM devices WHERE tags.in", 4, queries));
    }

    [Fact]
    public async Task DeviceIds_Named_AreLookedUp()
    {
        await FillAsync(300);
        await _hub.CreateAsync("f0014", "m1");
        await _hub.CreateAsync("f0014", "m2");
        await _hub.CreateAsync("f0015", "m1");
        var time = new RunningTime(TimeSpan.Zero);
        using var queries = new TwinQueries(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), new QueryLimits(), time);

        Assert.Equal(["1"], await PageSizesAsync("SELECT * FROM devices WHERE tags.n = 14 AND deviceId = 'f0014'", null, queries));
        Assert.Equal(["0"], await PageSizesAsync("SELECT * FROM devices WHERE tags.n = 15 AND 'f0014' = deviceId", null, queries));
        Assert.Equal(["2", "1"], await PageSizesAsync("SELECT * FROM devices WHERE deviceId IN ['f0020', 'f0010', 'nobody', 5, 'f0015', 'f0010']", 2, queries));
        Assert.Equal(["2", "1"], await PageSizesAsync("SELECT * FROM devices.modules WHERE deviceId IN ['f0015', 'f0014']", 2, queries));
        Assert.Equal(["299"], await PageSizesAsync("SELECT * FROM devices WHERE deviceId NIN ['f0014']", 1000, queries));
        Assert.Equal(["300"], await PageSizesAsync("SELECT * FROM devices WHERE deviceId = 'f0014' OR tags.n >= 0", 1000, queries));
        Assert.Equal(["0"], await PageSizesAsync("SELECT * FROM devices WHERE deviceId = 'f0014' AND deviceId = 'f0015'", null, queries));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("AgAAAAAAAAAB")]
    [InlineData("")]
    [InlineData("%")]
    public async Task Continuation_ThatIsNone_IsRefused(string continuation) =>
        Assert.Contains("x-ms-continuation", await RefusalAsync("SELECT * FROM devices", continuation), StringComparison.Ordinal);

    [Fact]
    public async Task Continuation_OfAnotherQueryOrAltered_IsRefused()
    {
        for (var i = 0; i < 3; i++)
            await CreateAsync($"d{i}", "{}");
        const string query = "SELECT * FROM devices";
        var token = (await _queries.RunAsync(Scope.Everything, query, 1, null, Cancel)).Continuation!;

        Assert.Contains("x-ms-continuation", await RefusalAsync(query + " ", token), StringComparison.Ordinal);
        for (var i = 0; i < token.Length; i++)
            Assert.Contains("x-ms-continuation", await RefusalAsync(query, token[..i] + (token[i] == 'A' ? 'B' : 'A') + token[(i + 1)..]), StringComparison.Ordinal);
        Assert.Contains("x-ms-continuation", await RefusalAsync(query, new string('A', 3000)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Scope_HidesOtherDevices_FromRowsAndCounts()
    {
        foreach (var id in (string[])["a-1", "a-2", "b-1"])
        {
            await CreateAsync(id, """{"tags":{"x":1}}""");
            await CreateAsync(id, "{}", "m");
        }

        Assert.True(Scope.TryCreate(["a-"], [], [], out var scope, out _));
        Assert.Equal("""[{"deviceId":"a-1"},{"deviceId":"a-2"}]""", await AnswerAsync("SELECT deviceId FROM devices", scope));
        Assert.Equal("""[{"deviceId":"a-1"},{"deviceId":"a-2"}]""", await AnswerAsync("SELECT deviceId FROM devices.modules WHERE moduleId = 'm'", scope));
        Assert.Equal("""[{"n":2}]""", await AnswerAsync("SELECT COUNT() AS n FROM devices", scope));
        Assert.Equal("""[{"n":2}]""", await AnswerAsync("SELECT COUNT() AS n FROM devices WHERE tags.x = 1", scope));
        Assert.Equal("[]", await AnswerAsync("SELECT * FROM devices WHERE deviceId = 'b-1'", scope));
    }

    [Fact]
    public async Task Scope_OfATag_HidesOtherDevices_FromRowsAndCounts()
    {
        await CreateAsync("d1", """{"tags":{"site":"berlin"}}""");
        await CreateAsync("d2", """{"tags":{"site":"hamburg"}}""");
        await CreateAsync("d3", "{}");
        Assert.True(Scope.TryCreate([], ["site=berlin"], [], out var limit, out _));
        var scope = limit.Asking(_hub.Tags);

        Assert.Equal("""[{"deviceId":"d1"}]""", await AnswerAsync("SELECT deviceId FROM devices", scope));
        Assert.Equal("""[{"n":1}]""", await AnswerAsync("SELECT COUNT() AS n FROM devices", scope));
        Assert.Equal("[]", await AnswerAsync("SELECT * FROM devices WHERE tags.site = 'hamburg'", scope));
    }

    [Fact]
    public async Task Metadata_CanBeAskedFor()
    {
        await CreateAsync("d1", """{"properties":{"desired":{"n":1}}}""");
        _hub.Time.Advance(TimeSpan.FromHours(1));
        await CreateAsync("d2", """{"properties":{"desired":{"n":1}}}""");

        Assert.Equal("[\"d2\"]", await IdsAsync("properties.desired.$metadata.n.$lastUpdated > '2026-01-02T12:30'"));
        Assert.Equal("[\"d1\",\"d2\"]", await IdsAsync("properties.desired.$version = 2 AND properties.reported.$version = 1 AND properties.desired.$metadata.$lastUpdatedVersion = 2"));
    }

    [Fact]
    public async Task Jobs_AreNoneYet()
    {
        var page = await _queries.RunAsync(Scope.Everything, "SELECT * FROM devices.jobs WHERE devices.jobs.status = 'completed'", null, null, Cancel);

        Assert.Equal((QueryItemType.DeviceJob, "[]", null), (page.Type, Encoding.UTF8.GetString(page.Json.Span), page.Continuation));
    }

    [Fact]
    public async Task Page_HasNoMoreRowsAndBytesThanItMay()
    {
        for (var i = 0; i < 10; i++)
            await CreateAsync($"d{i}", "{}");

        using var few = Queries(new QueryLimits { DefaultPageRows = 3, MaxPageRows = 4 });
        using var small = Queries(new QueryLimits { MaxPageBytes = 1000 });
        Assert.Equal(["3", "3", "3", "1"], await PageSizesAsync("SELECT * FROM devices", null, few));
        Assert.Equal(["4", "4", "2"], await PageSizesAsync("SELECT * FROM devices", 1_000_000, few));
        Assert.All((await PageSizesAsync("SELECT * FROM devices", null, small))[..^1], size => Assert.Equal("2", size));
        Assert.Contains("x-ms-max-item-count", (await Assert.ThrowsAsync<HubException>(() => _queries.RunAsync(Scope.Everything, "SELECT * FROM devices", 0, null, Cancel).AsTask())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Groups_MoreThanThereMayBe_AreRefused()
    {
        for (var i = 0; i < 4; i++)
            await CreateAsync($"d{i}", "{}");

        using var few = Queries(new QueryLimits { MaxGroups = 3 });
        using var fewTallies = Queries(new QueryLimits { MaxTallies = 6 });
        using var fewCharacters = Queries(new QueryLimits { MaxGroupCharacters = 7 });
        Assert.Contains("more than 3 groups", await RefusalAsync("SELECT deviceId, COUNT() FROM devices GROUP BY deviceId", queries: few), StringComparison.Ordinal);
        Assert.Contains("more than 3 groups", await RefusalAsync("SELECT deviceId, COUNT() AS a, COUNT() AS b FROM devices GROUP BY deviceId", queries: fewTallies), StringComparison.Ordinal);
        Assert.Contains("more than 7 characters", await RefusalAsync("SELECT deviceId, COUNT() FROM devices GROUP BY deviceId", queries: fewCharacters), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Time_BeyondTheBound_EndsAPageEarly_AndRefusesAnAggregate()
    {
        await FillAsync(300);
        using var slow = new TwinQueries(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), new QueryLimits(), new RunningTime(TimeSpan.FromSeconds(6)));

        var pages = await PageSizesAsync("SELECT * FROM devices WHERE tags.n = 299", null, slow);
        Assert.Equal(["0", "0", "1"], pages);
        Assert.Contains("takes longer than 10 s", await RefusalAsync("SELECT COUNT() FROM devices WHERE tags.n = 1", queries: slow), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Query_ThatNobodyWaitsForAnyMore_Ends()
    {
        await FillAsync(100);
        using var gone = new CancellationTokenSource();
        var time = new RunningTime(TimeSpan.Zero) { Asked = gone.Cancel };
        using var queries = new TwinQueries(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), new QueryLimits(), time);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queries.RunAsync(Scope.Everything, "SELECT * FROM devices WHERE tags.n = 99", null, null, gone.Token).AsTask());
    }

    private async Task FillAsync(int count) => await _hub.Metadata.WriteAsync(
        tx =>
        {
            for (var i = 0; i < count; i++)
            {
                _hub.Metadata.Identities.Put(tx, new IdentityRecord { DeviceId = $"f{i:0000}", GenerationId = "1", ETag = 1 });
                _hub.Metadata.Twins.Put(tx, TwinParts.New(Identity.Of($"f{i:0000}"), "1", _hub.Time.GetUtcNow().UtcDateTime) with { Tags = Encoding.UTF8.GetBytes($$"""{"n":{{i}}}""") });
            }

            return 0;
        },
        Cancel);

    private TwinQueries Queries(QueryLimits limits) => new(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), limits, _hub.Time);

    private async Task CreateAsync(string device, string patch, string? module = null)
    {
        await _hub.CreateAsync(device, module);
        if (patch != "{}")
            await PatchAsync(device, patch, module);
    }

    private async Task PatchAsync(string device, string patch, string? module = null) => await _hub.Twins.ChangeAsync(
        RegistryFixture.Owner, Identity.Of(device, module), TwinChange.Read(Encoding.UTF8.GetBytes(patch), replaces: false), EntityTagCondition.Any, Cancel);

    private async Task ReportAsync(string device, string patch) => await _hub.Twins.ReportAsync(
        Identity.Of(device), _hub.Stored(device)!.GenerationId, TwinReader.Read(Encoding.UTF8.GetBytes(patch), TwinLimits.Reported), null, Cancel);

    private string Twin(string device, string? module = null) => Encoding.UTF8.GetString(TwinJson.Encode(_hub.Twins.Get(Identity.Of(device, module))));

    private async Task<string> AnswerAsync(string query, Scope? scope = null) =>
        Encoding.UTF8.GetString((await _queries.RunAsync(scope ?? Scope.Everything, query, null, null, Cancel)).Json.Span);

    private async Task<JsonArray> RowsAsync(string query) => JsonNode.Parse(await AnswerAsync(query))!.AsArray();

    private async Task<string> IdsAsync(string condition) =>
        new JsonArray([.. (await RowsAsync($"SELECT deviceId FROM devices WHERE {condition}")).Select(row => row!["deviceId"]!.DeepClone())]).ToJsonString();

    private async Task<List<string>> PageSizesAsync(string query, int? rows, TwinQueries? queries = null)
    {
        List<string> sizes = [];
        string? continuation = null;
        do
        {
            var page = await (queries ?? _queries).RunAsync(Scope.Everything, query, rows, continuation, Cancel);
            sizes.Add($"{JsonNode.Parse(page.Json.Span)!.AsArray().Count}");
            continuation = page.Continuation;
        }
        while (continuation is not null);
        return sizes;
    }

    private async Task<string> RefusalAsync(string query, string? continuation = null, TwinQueries? queries = null)
    {
        var refusal = await Assert.ThrowsAsync<HubException>(() => (queries ?? _queries).RunAsync(Scope.Everything, query, null, continuation, Cancel).AsTask());
        Assert.Same(HubErrors.ArgumentInvalid, refusal.Error);
        return refusal.Message;
    }

    private static IEnumerable<(string Path, JsonNode? Value)> Primitives(JsonObject json, string before = "")
    {
        foreach (var (name, value) in json)
        {
            if (value is JsonObject inner)
            {
                foreach (var one in Primitives(inner, $"{before}{name}."))
                    yield return one;
            }
            else if (value is not JsonArray)
            {
                yield return (before + name, value);
            }
        }
    }

    /// <summary>Time goes on by as much whenever it is looked at.</summary>
    private sealed class RunningTime(TimeSpan step) : TimeProvider
    {
        private long _ticks;

        public Action? Asked { get; init; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp()
        {
            Asked?.Invoke();
            return _ticks += step.Ticks;
        }
    }
}
