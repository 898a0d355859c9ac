using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

/// <summary>Which devices are within a limit by tag, and what is remembered of that.</summary>
public sealed class KnownTagsTests(AccessFixture hub) : IClassFixture<AccessFixture>
{
    [Fact]
    public async Task Device_IsWithinALimit_AsItsTagsAreNow()
    {
        var berlin = ScopeTests.Of(hub.Tags, "site=berlin");
        Assert.False(berlin.CoversDevice("d1"));

        await hub.TagAsync("d1", """{"site":"berlin"}""");
        Assert.True(berlin.CoversDevice("d1"));
        Assert.True(berlin.CoversDevice("d1"u8));
        await hub.TagAsync("d1", """{"site":"hamburg"}""");
        Assert.False(berlin.CoversDevice("d1"));
        Assert.False(berlin.CoversDevice("d1"u8));
    }

    [Fact]
    public async Task Tags_OnceLookedAt_AreReadNoMore_UntilSomebodySaysThatTheyChanged()
    {
        var berlin = ScopeTests.Of(hub.Tags, "site=berlin");
        await hub.TagAsync("d1", """{"site":"berlin"}""");
        Assert.True(berlin.CoversDevice("d1"));

        await hub.TagAsync("d1", "{}", isNoted: false);
        Assert.True(berlin.CoversDevice("d1"));
        hub.Tags.Forget("d1");
        Assert.False(berlin.CoversDevice("d1"));
    }

    [Fact]
    public async Task Device_ThatIsNot_OrWhoseModuleHasTheTag_IsNotWithin()
    {
        await hub.TagAsync("d2", "{}");
        await hub.TagAsync("d2", """{"site":"berlin"}""", module: "m1");
        var berlin = ScopeTests.Of(hub.Tags, "site=berlin");

        Assert.False(berlin.CoversDevice("d2"));
        Assert.False(berlin.CoversDevice("nobody"));
        Assert.False(berlin.CoversDevice(new string('x', 4000)));
        Assert.False(berlin.CoversDevice(""));
    }

    [Fact]
    public void Change_IsTold_OnceSomebodyWasAskedFor()
    {
        var tags = new KnownTags(hub.Metadata);
        var told = new List<string>();
        tags.Changed += told.Add;

        tags.NoteChange("d1");
        Assert.Empty(told);
        Assert.False(ScopeTests.Of(tags, "site=nowhere").CoversDevice("d2"));
        tags.NoteChange("d1");
        tags.Forget("d1");

        Assert.Equal(["d1"], told);
    }

    [Fact]
    public void Remembered_AtTheBound_IsTheHalfAskedForLately()
    {
        var tags = new KnownTags(hub.Metadata, capacity: 10);
        var berlin = ScopeTests.Of(tags, "site=berlin");
        for (var i = 0; i < 100; i++)
            Assert.False(berlin.CoversDevice($"x{i}"));

        Assert.InRange(tags.Count, 5, 10);
    }

    [Fact]
    public async Task Limits_OfOneDevice_BeyondTheBound_AreAnsweredAllTheSame()
    {
        var tags = new KnownTags(hub.Metadata);
        await hub.TagAsync("d1", """{"n":7}""");
        for (var round = 0; round < 2; round++)
        {
            for (var n = 0; n < 2 * KnownTags.MaxLimits; n++)
                Assert.Equal(n == 7, ScopeTests.Of(tags, $"n={n}").CoversDevice("d1"));
        }
    }
}
