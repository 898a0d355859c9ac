using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

public sealed class ScopeTests
{
    private static Scope Of(string prefixes, string groups = "") =>
        Scope.TryCreate(prefixes.Split(' ', StringSplitOptions.RemoveEmptyEntries), [], groups.Split(' ', StringSplitOptions.RemoveEmptyEntries), out var scope, out var problem)
            ? scope
            : throw new ArgumentException(problem);

    /// <summary>A scope of tags, separated by spaces.</summary>
    public static Scope Of(KnownTags tags, string deviceTags, string prefixes = "") => Tagged(deviceTags, prefixes).Asking(tags);

    private static Scope Tagged(string deviceTags, string prefixes = "") =>
        Scope.TryCreate(prefixes.Split(' ', StringSplitOptions.RemoveEmptyEntries), deviceTags.Split(' ', StringSplitOptions.RemoveEmptyEntries), [], out var scope, out var problem)
            ? scope
            : throw new ArgumentException(problem);

    [Theory]
    [InlineData("", "d1", true)]
    [InlineData("plant- mill-", "plant-7", true)]
    [InlineData("plant- mill-", "mill-", true)]
    [InlineData("plant-", "plant", false)]
    [InlineData("plant-", "Plant-7", false)]
    [InlineData("plant-", "xplant-7", false)]
    public void CoversDevice_ByTheBeginningOfItsId(string prefixes, string deviceId, bool expected)
    {
        Assert.Equal(expected, Of(prefixes).CoversDevice(deviceId));
        Assert.Equal(expected, Of(prefixes).CoversDevice(System.Text.Encoding.ASCII.GetBytes(deviceId)));
    }

    [Fact]
    public void CoversDevice_NoIdAtAll_IsNotCoveredByALimit()
    {
        Assert.False(Of("p").CoversDevice([(byte)'p', 0xff]));
        Assert.False(Of("p").CoversDevice(new byte[500]));
    }

    [Theory]
    [InlineData("", "", "", "", true)]
    [InlineData("", "", "plant-", "g", true)]
    [InlineData("plant-", "", "", "", false)]
    [InlineData("plant-", "", "plant-1 plant-2", "", true)]
    [InlineData("plant-1", "", "plant-", "", false)]
    [InlineData("plant-", "", "plant-1 mill-", "", false)]
    [InlineData("", "g", "", "", false)]
    [InlineData("", "g h", "", "H", true)]
    [InlineData("", "g", "", "g h", false)]
    public void Covers_OnlyWhatIsNoWider(string prefixes, string groups, string otherPrefixes, string otherGroups, bool expected) =>
        Assert.Equal(expected, Of(prefixes, groups).Covers(Of(otherPrefixes, otherGroups)));

    [Theory]
    [InlineData("", "", "site=berlin", "", true)]
    [InlineData("site=berlin", "", "", "", false)]
    [InlineData("site=berlin", "", "", "plant-", false)]
    [InlineData("site=berlin", "", "site=berlin", "", true)]
    [InlineData("site=berlin", "", "site=hamburg", "", false)]
    [InlineData("site=berlin", "", "site=berlin site=hamburg", "", false)]
    [InlineData("site=berlin site=hamburg", "", "site=hamburg", "", true)]
    [InlineData("site=berlin", "", "site=berlin kind=press", "", true)]
    [InlineData("site=berlin kind=press", "", "site=berlin", "", false)]
    [InlineData("site=berlin", "", "location.site=berlin", "", false)]
    [InlineData("", "plant-", "site=berlin", "", false)]
    [InlineData("", "plant-", "site=berlin", "plant-1", true)]
    public void Covers_OnlyWhatHasNoMoreTags(string tags, string prefixes, string otherTags, string otherPrefixes, bool expected) =>
        Assert.Equal(expected, Tagged(tags, prefixes).Covers(Tagged(otherTags, otherPrefixes)));

    [Fact]
    public void CoversDevice_LimitedByTagWithNobodyToAsk_CoversNone()
    {
        Assert.False(Tagged("site=berlin").CoversDevice("d1"));
        Assert.False(Tagged("site=berlin", "d").CoversDevice("d1"));
        Assert.True(Tagged("site=berlin").LimitsDevices);
    }

    [Fact]
    public void Stored_ReadsBackAsItWas()
    {
        var scope = Scope.TryCreate(["plant-"], ["site=berlin mitte", "a.b=c&d=/%20", "ort=Köln"], ["g"], out var made, out _) ? made : null;
        var (prefixes, tags, groups) = scope!.Stored();
        var read = Scope.Of(new Sallyport.Storage.Metadata.PolicyRecord("p", 1, "", "", 1, default) { DevicePrefixes = prefixes, DeviceTags = tags, ConsumerGroups = groups });

        Assert.True(scope.Covers(read) && read.Covers(scope));
        Assert.Equal(["site=berlin mitte", "a.b=c&d=/%20", "ort=Köln"], read.DeviceTags.Select(tag => tag.ToString()));
        Assert.Equal(2, tags.Count(c => c == ' '));
    }

    [Theory]
    [InlineData("with space", "")]
    [InlineData("ok", "no/group")]
    [InlineData("ok", "$Other")]
    public void TryCreate_NamesThatCannotBe_SaysWhatTheyAre(string prefix, string group)
    {
        Assert.False(Scope.TryCreate([prefix], [], group.Length > 0 ? [group] : [], out _, out var problem));
        Assert.NotEmpty(problem);
    }

    [Fact]
    public void TryCreate_MoreThanTheBound_IsRefused()
    {
        Assert.False(Scope.TryCreate(Enumerable.Range(0, Scope.MaxNames + 1).Select(i => $"p{i}"), [], [], out _, out _));
        Assert.False(Scope.TryCreate([], Enumerable.Range(0, Scope.MaxNames + 1).Select(i => $"t={i}"), [], out _, out _));
    }

    [Fact]
    public void TryCreate_NoTag_SaysHowOneIsWritten()
    {
        Assert.False(Scope.TryCreate([], ["site"], [], out _, out var problem));
        Assert.Contains("PATH=VALUE", problem);
    }
}
