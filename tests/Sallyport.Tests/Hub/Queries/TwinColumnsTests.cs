using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Queries;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Queries;

/// <summary>With columns and without, a query answers the same; and what a query sees through columns is what was written before it.</summary>
public sealed class TwinColumnsTests : IAsyncLifetime
{
    private static readonly QueryLimits Eager = new() { RowsInOrder = 1 };

    private RegistryFixture _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _hub = await RegistryFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Column_IsMadeOnce_AndKeptUpToDate()
    {
        await FillAsync(0, 50);
        using var queries = Queries(Eager);
        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 7"));
        Assert.Equal(1, queries.Makings);

        await WriteAsync((7, """{"n":70}"""), (8, """{"n":7}"""), (60, """{"n":7}"""));
        Assert.Equal("f0008 f0060", await IdsAsync(queries, "tags.n = 7"));
        await _hub.DeleteAsync("f0008");
        Assert.Equal("f0060", await IdsAsync(queries, "tags.n = 7"));
        await FillAsync(90, 91);
        Assert.Equal("f0090", await IdsAsync(queries, "tags.n = 90"));
        await _hub.UpdateAsync("f0060", new IdentityDraft { Enabled = false });
        Assert.Equal("f0060", await IdsAsync(queries, "tags.n = 7"));
        Assert.Equal(1, queries.Makings);

        Assert.Equal("f0060", await IdsAsync(queries, "status = 'disabled'"));
        await _hub.UpdateAsync("f0090", new IdentityDraft { Enabled = false });
        Assert.Equal("f0060 f0090", await IdsAsync(queries, "status = 'disabled'"));
        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 70"));
        Assert.Equal(2, queries.Makings);
    }

    [Fact]
    public async Task Column_OfWhatIsInMemory_IsOfThisMoment()
    {
        await FillAsync(0, 30);
        using var queries = Queries(Eager);
        var link = _hub.Connect("f0009");

        Assert.Equal("f0009", await IdsAsync(queries, "connectionState = 'Connected' AND tags.n > 3"));
        _hub.Connected.Detach(link);
        _hub.Connect("f0012");
        Assert.Equal("f0012", await IdsAsync(queries, "connectionState = 'Connected' AND tags.n > 3"));
        Assert.Equal("f0020 f0021", await IdsAsync(queries, "STARTS_WITH(deviceId, 'f002') AND deviceId < 'f0022'"));
        Assert.Equal(1, queries.Makings);
    }

    [Fact]
    public async Task Modules_GoWithTheirDevice()
    {
        foreach (var device in (string[])["d1", "d2"])
        {
            await _hub.CreateAsync(device);
            await _hub.CreateAsync(device, "m1");
            await _hub.CreateAsync(device, "m2");
        }

        using var queries = Queries(Eager);
        Assert.Equal("d1 d2", await IdsAsync(queries, "moduleId = 'm2'", "devices.modules"));
        await _hub.DeleteAsync("d1");
        await _hub.DeleteAsync("d2", "m1");
        Assert.Equal("d2", await IdsAsync(queries, "moduleId = 'm2'", "devices.modules"));
        Assert.Equal("", await IdsAsync(queries, "moduleId = 'm1'", "devices.modules"));
    }

    [Fact]
    public async Task Answers_WithColumns_AreThoseWithout_WhateverIsWritten()
    {
        string[] conditions =
        [
            "tags.n = 7", "tags.n >= 3 AND tags.n < 20", "tags.s = 'a' OR tags.n = 5", "NOT IS_DEFINED(tags.s)", "tags.s IN ['a', 'c']", "tags.s NIN ['a'] AND properties.desired.$version = 1",
            "IS_OBJECT(tags.n)", "tags.n.in = 1", "CONTAINS(tags.s, 'b') AND status = 'enabled'", "tags.n % 2 = 0 AND tags.s > 'a'", "version > 2", "deviceId > 'f0030' AND tags.n != 40",
        ];
        await FillAsync(0, 80);
        using var with = Queries(Eager);
        using var without = Queries(Eager with { MaxColumnBytes = -1 });
        var random = new Random(5);
        for (var round = 0; round < 60; round++)
        {
            var (place, other) = (random.Next(100), random.Next(100));
            switch (random.Next(4))
            {
                case 0:
                    await _hub.Metadata.WriteAsync(tx => _hub.Metadata.Identities.Delete(tx, $"f{place:0000}", null), Cancel);
                    break;
                case 1:
                    await WriteAsync((place, $$"""{"n":{{other}},"s":"{{"abc"[random.Next(3)]}}"}"""));
                    break;
                case 2:
                    await WriteAsync((place, """{"n":{"in":1}}"""), (other, """{"s":"ab"}"""));
                    break;
                default:
                    await Assert.ThrowsAsync<InvalidOperationException>(() => _hub.Metadata.WriteAsync<int>(
                        tx =>
                        {
                            Put(tx, place, """{"n":7,"s":"a"}""");
                            throw new InvalidOperationException("undone");
                        },
                        Cancel).AsTask());
                    break;
            }

            var condition = conditions[round % conditions.Length];
            var expected = await IdsAsync(without, condition);
            Assert.True(expected == await IdsAsync(with, condition), $"round {round}: {condition}");
            Assert.Equal(expected, await IdsAsync(with, condition, pageRows: 3));
            Assert.Equal(await CountAsync(without, condition), await CountAsync(with, condition));
        }
    }

    [Fact]
    public async Task Changes_MoreThanTheBound_MakeColumnsAnew()
    {
        await FillAsync(0, 20);
        using var queries = Queries(Eager with { MaxChangedRows = 3 });
        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 7"));
        await FillAsync(20, 30);

        Assert.Equal("f0025", await IdsAsync(queries, "tags.n = 25"));
        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 7"));
        Assert.Equal(2, queries.Makings);
    }

    [Fact]
    public async Task Columns_MoreThanTheBound_ForgetTheOneUsedLongestAgo()
    {
        await FillAsync(0, 20);
        using var queries = Queries(Eager with { MaxColumns = 2 });
        foreach (var path in (string[])["tags.a", "tags.b", "tags.a", "tags.c", "tags.a"])
            await IdsAsync(queries, $"{path} = 1");
        Assert.Equal(3, queries.Makings);

        await IdsAsync(queries, "tags.b = 1");
        Assert.Equal(4, queries.Makings);
    }

    [Fact]
    public async Task Columns_LargerThanTheBound_AreNotKept()
    {
        await FillAsync(0, 2000);
        using var queries = Queries(Eager with { MaxColumnBytes = 60_000 });

        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 7"));
        Assert.Equal("f1007", await IdsAsync(queries, "tags.long = 'a text that is not there twice: 1007'"));
        Assert.Equal("f0008", await IdsAsync(queries, "tags.n = 8"));
        var makings = queries.Makings;
        Assert.Equal("f1008", await IdsAsync(queries, "tags.long = 'a text that is not there twice: 1008'"));
        Assert.Equal("f0009", await IdsAsync(queries, "tags.n = 9 AND tags.long > ''"));
        Assert.Equal(makings, queries.Makings);
    }

    [Fact]
    public async Task Query_GivenUpWhileColumnsAreMadeOrReadAnew_LeavesNoneThatAreWrong()
    {
        await FillAsync(0, 300);
        var time = new AskedTime();
        using var queries = new TwinQueries(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), Eager, time);
        Assert.Equal("f0007", await IdsAsync(queries, "tags.n = 7"));

        await WriteAsync([.. Enumerable.Range(0, 300).Select(i => (i, $$"""{"n":{{i + 1000}},"m":{{i}} }"""))]);
        await GiveUpAsync("tags.n = 1299");
        Assert.Equal("f0299", await IdsAsync(queries, "tags.n = 1299"));
        Assert.Equal("f0003", await IdsAsync(queries, "tags.n = 1003"));

        await GiveUpAsync("tags.m = 299");
        Assert.Equal("f0299", await IdsAsync(queries, "tags.m = 299"));
        Assert.Equal("f0003", await IdsAsync(queries, "tags.m = 3"));

        async Task GiveUpAsync(string condition)
        {
            using var cancelled = new CancellationTokenSource();
            time.Asked = cancelled.Cancel;
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queries.RunAsync(Scope.Everything, $"SELECT COUNT() AS n FROM devices WHERE {condition}", null, null, cancelled.Token).AsTask());
            time.Asked = null;
        }
    }

    private async Task FillAsync(int from, int to) => await WriteAsync([.. Enumerable.Range(from, to - from).Select(i => (i, $$"""{"n":{{i}},"long":"a text that is not there twice: {{i}}"}"""))]);

    private async Task WriteAsync(params (int Place, string Tags)[] twins) => await _hub.Metadata.WriteAsync(
        tx =>
        {
            foreach (var (place, tags) in twins)
                Put(tx, place, tags);
            return 0;
        },
        Cancel);

    private void Put(MetadataTransaction tx, int place, string tags)
    {
        var id = $"f{place:0000}";
        if (_hub.Metadata.Identities.Find(tx, id, null) is null)
            _hub.Metadata.Identities.Put(tx, new IdentityRecord { DeviceId = id, GenerationId = "1", ETag = 1 });
        _hub.Metadata.Twins.Put(tx, TwinParts.New(Identity.Of(id), "1", _hub.Time.GetUtcNow().UtcDateTime) with { Version = 2 + (place % 2), Tags = Encoding.UTF8.GetBytes(tags) });
    }

    private TwinQueries Queries(QueryLimits limits) => new(_hub.Metadata, _hub.Connected, _hub.Activity, new Quotas(new QuotaOptions(), _hub.Time), limits, _hub.Time);

    private static async Task<string> CountAsync(TwinQueries queries, string condition) =>
        Encoding.UTF8.GetString((await queries.RunAsync(Scope.Everything, $"SELECT COUNT() AS n FROM devices WHERE {condition}", null, null, Cancel)).Json.Span);

    private static async Task<string> IdsAsync(TwinQueries queries, string condition, string source = "devices", int pageRows = 1000)
    {
        List<string> ids = [];
        string? continuation = null;
        do
        {
            var page = await queries.RunAsync(Scope.Everything, $"SELECT deviceId FROM {source} WHERE {condition}", pageRows, continuation, Cancel);
            ids.AddRange(JsonNode.Parse(page.Json.Span)!.AsArray().Select(row => (string)row!["deviceId"]!));
            continuation = page.Continuation;
        }
        while (continuation is not null);
        return string.Join(' ', ids);
    }

    /// <summary>Tells when it is looked at.</summary>
    private sealed class AskedTime : TimeProvider
    {
        public Action? Asked { get; set; }

        public override long GetTimestamp()
        {
            Asked?.Invoke();
            return 0;
        }
    }
}
