using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

public sealed class ScopeTests
{
    private static Scope Of(string prefixes, string groups = "") =>
        Scope.TryCreate(prefixes.Split(' ', StringSplitOptions.RemoveEmptyEntries), groups.Split(' ', StringSplitOptions.RemoveEmptyEntries), out var scope, out var problem)
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
    [InlineData("with space", "")]
    [InlineData("ok", "no/group")]
    [InlineData("ok", "$Other")]
    public void TryCreate_NamesThatCannotBe_SaysWhatTheyAre(string prefix, string group)
    {
        Assert.False(Scope.TryCreate([prefix], group.Length > 0 ? [group] : [], out _, out var problem));
        Assert.NotEmpty(problem);
    }

    [Fact]
    public void TryCreate_MoreThanTheBound_IsRefused() =>
        Assert.False(Scope.TryCreate(Enumerable.Range(0, Scope.MaxNames + 1).Select(i => $"p{i}"), [], out _, out _));
}
