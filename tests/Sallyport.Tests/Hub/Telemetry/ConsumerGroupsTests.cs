using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class ConsumerGroupsTests : IAsyncLifetime
{
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "1", "local");

    private readonly SqliteFixture _files = new();
    private readonly AuditList _audit = new();
    private SqliteMetadata _metadata = null!;
    private ConsumerGroups _groups = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _metadata = await _files.OpenAsync();
        _groups = Open();
    }

    public async ValueTask DisposeAsync()
    {
        _groups.Dispose();
        await _metadata.DisposeAsync();
        _files.Dispose();
    }

    [Fact]
    public async Task Group_Created_IsThereInAnyCase_UnderTheNameGiven_AlsoAfterARestart()
    {
        Assert.Equal(["$Default"], Names(_groups));
        var made = await _groups.CreateAsync(Owner, "Night.Shift", Cancel);
        var again = await _groups.CreateAsync(Owner, "night.shift", Cancel);

        using var restarted = Open();
        foreach (var groups in (ConsumerGroups[])[_groups, restarted])
        {
            Assert.Equal(["$Default", "Night.Shift"], Names(groups));
            Assert.True(groups.Exists("NIGHT.SHIFT"));
            Assert.True(groups.Exists("$default"));
            Assert.False(groups.Exists("nights"));
            Assert.Equal(made, groups.Find("night.shift"));
        }

        Assert.Equal(made, again);
        Assert.Single(_audit.Entries, entry => entry is { Action: "consumer-group create", Target: "Night.Shift", Result: "done", Principal: "policy:iothubowner" });
    }

    [Theory]
    [InlineData("a", true)]
    [InlineData("_A-9.z", true)]
    [InlineData("12345678901234567890123456789012345678901234567890", true)]
    [InlineData("123456789012345678901234567890123456789012345678901", false)]
    [InlineData("", false)]
    [InlineData(".", false)]
    [InlineData("..", false)]
    [InlineData("a b", false)]
    [InlineData("a/b", false)]
    [InlineData("$other", false)]
    [InlineData("größe", false)]
    [InlineData("a\n", false)]
    public async Task Name_IsAsAzureAllows(string name, bool isValid)
    {
        Assert.Equal(isValid, ConsumerGroups.IsValidName(name));
        if (isValid)
        {
            await _groups.CreateAsync(Owner, name, Cancel);
            Assert.True(_groups.Exists(name));
            return;
        }

        var refused = await Assert.ThrowsAsync<HubException>(async () => await _groups.CreateAsync(Owner, name, Cancel));
        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        Assert.Equal(["$Default"], Names(_groups));
    }

    [Fact]
    public async Task Create_BeyondTheBound_IsRefused_UntilOneIsDeleted()
    {
        for (var i = 1; i < ConsumerGroups.MaxGroups; i++)
            await _groups.CreateAsync(Owner, $"g{i}", Cancel);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await _groups.CreateAsync(Owner, "one-more", Cancel));
        Assert.Equal(HubErrors.QuotaExceeded, refused.Error);
        Assert.Contains("delete one", refused.Message);
        Assert.Equal("g1", (await _groups.CreateAsync(Owner, "G1", Cancel)).Name);

        await _groups.DeleteAsync(Owner, "g1", Cancel);
        await _groups.CreateAsync(Owner, "one-more", Cancel);
        Assert.Equal(ConsumerGroups.MaxGroups, _groups.List().Count);
    }

    [Fact]
    public async Task Create_OfManyAtOnce_KeepsTheBoundAndMakesEachOnce()
    {
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => Task.Run(async () =>
        {
            try
            {
                await _groups.CreateAsync(Owner, i % 2 == 0 ? $"group{i % 40}" : $"GROUP{i % 40 - 1}", Cancel);
            }
            catch (HubException full) when (full.Error == HubErrors.QuotaExceeded)
            {
            }
        })));

        Assert.Equal(ConsumerGroups.MaxGroups, _groups.List().Count);
        Assert.Equal(Names(_groups), _metadata.Read(_metadata.ConsumerGroups.List).Select(group => group.Name));
    }

    [Fact]
    public async Task Delete_TakesItsCheckpoints_AndTellsItsReaders_AndNoOthers()
    {
        var checkpoints = new Checkpoints(_metadata);
        await _groups.CreateAsync(Owner, "Dashboards", Cancel);
        await _groups.CreateAsync(Owner, "others", Cancel);
        foreach (var group in (string[])["Dashboards", "others", "$Default"])
            await checkpoints.SaveAsync(group, "me", new Dictionary<int, long> { [0] = 7 }, Cancel);
        var told = new List<(string, bool)>();
        _groups.Deleted += name => told.Add((name, _groups.Exists(name)));
        using var reader = new ConsumerGroupWatch(_groups, "dashboards");
        using var other = new ConsumerGroupWatch(_groups, "$Default");

        await _groups.DeleteAsync(Owner, "DASHBOARDS", Cancel);

        Assert.Equal([("Dashboards", false)], told);
        Assert.Equal((true, false), (reader.Deleted.IsCancellationRequested, other.Deleted.IsCancellationRequested));
        using var late = new ConsumerGroupWatch(_groups, "dashboards");
        Assert.True(late.Deleted.IsCancellationRequested);
        Assert.Equal(404, (await Assert.ThrowsAsync<HubException>(async () => await checkpoints.SaveAsync("Dashboards", "me", new Dictionary<int, long> { [0] = 8 }, Cancel))).Error.HttpStatus);

        await _groups.CreateAsync(Owner, "dashboards", Cancel);
        Assert.Empty(checkpoints.Find("dashboards", "me"));
        Assert.Equal((7, 7), (checkpoints.Find("others", "me")[0], checkpoints.Find("$Default", "me")[0]));
        Assert.True(reader.Deleted.IsCancellationRequested);
        Assert.Contains(_audit.Entries, entry => entry is { Action: "consumer-group delete", Target: "Dashboards", Result: "done" });
    }

    [Theory]
    [InlineData("$Default", 400)]
    [InlineData("$default", 400)]
    [InlineData("nobodys", 404)]
    public async Task Delete_OfWhatCannotBe_IsRefused_AndInTheTrail(string name, int status)
    {
        var refused = await Assert.ThrowsAsync<HubException>(async () => await _groups.DeleteAsync(Owner, name, Cancel));

        Assert.Equal(status, refused.Error.HttpStatus);
        Assert.Equal(["$Default"], Names(_groups));
        Assert.Equal(("consumer-group delete", name, "refused"), _audit.Entries.Select(entry => (entry.Action, entry.Target, entry.Result)).Single());
    }

    [Fact]
    public async Task Act_OfWhoIsLimitedToOtherGroups_IsRefused_WhetherTheGroupIsThereOrNot()
    {
        Assert.True(Scope.TryCreate([], [], ["mine"], out var scope, out _));
        var limited = Owner with { Scope = scope };
        await _groups.CreateAsync(limited, "Mine", Cancel);
        await _groups.CreateAsync(Owner, "theirs", Cancel);

        foreach (var name in (string[])["theirs", "nobodys", "$Default"])
        {
            Assert.Equal(HubErrors.UnauthorizedAccess, (await Assert.ThrowsAsync<HubException>(async () => await _groups.DeleteAsync(limited, name, Cancel))).Error);
            Assert.Equal(HubErrors.UnauthorizedAccess, (await Assert.ThrowsAsync<HubException>(async () => await _groups.CreateAsync(limited, name, Cancel))).Error);
        }

        await _groups.DeleteAsync(limited, "mine", Cancel);
        Assert.Equal(["$Default", "theirs"], Names(_groups));
    }

    [Fact]
    public async Task Act_WhileTheTrailCannotBeWritten_ChangesNothing()
    {
        await _groups.CreateAsync(Owner, "there", Cancel);
        using var reader = new ConsumerGroupWatch(_groups, "there");
        _audit.IsBroken = true;

        Assert.Equal(HubErrors.ServiceUnavailable, (await Assert.ThrowsAsync<HubException>(async () => await _groups.CreateAsync(Owner, "new", Cancel))).Error);
        Assert.Equal(HubErrors.ServiceUnavailable, (await Assert.ThrowsAsync<HubException>(async () => await _groups.DeleteAsync(Owner, "there", Cancel))).Error);

        Assert.Equal(["$Default", "there"], Names(_groups));
        Assert.Equal(2, _metadata.Read(_metadata.ConsumerGroups.List).Count);
        Assert.False(reader.Deleted.IsCancellationRequested);
    }

    [Fact]
    public async Task Act_ThatCannotBeStored_ChangesNothing_AndTheTrailTakesItBack()
    {
        await _groups.CreateAsync(Owner, "there", Cancel);
        using var reader = new ConsumerGroupWatch(_groups, "there");
        await _metadata.DisposeAsync();

        await Assert.ThrowsAnyAsync<Exception>(async () => await _groups.DeleteAsync(Owner, "there", Cancel));

        Assert.True(_groups.Exists("there"));
        Assert.False(reader.Deleted.IsCancellationRequested);
        Assert.Equal(("consumer-group delete", "there", "refused"), (_audit.Entries[^1].Action, _audit.Entries[^1].Target, _audit.Entries[^1].Result));
    }

    private static IEnumerable<string> Names(ConsumerGroups groups) => groups.List().Select(group => group.Name);

    private ConsumerGroups Open() => new(_metadata, _audit, TimeProvider.System);
}
