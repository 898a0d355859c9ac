using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Persisted text: frozen.</summary>
public sealed class ScopeColumnTests
{
    [Theory]
    [InlineData("", "", "")]
    [InlineData("plant- mill-", "", "plant- mill-")]
    [InlineData("", "site%3Dberlin", "&site%3Dberlin")]
    [InlineData("plant- mill-", "site%3Dberlin kind%3Dpress", "/plant- /mill- &site%3Dberlin &kind%3Dpress")]
    public void Column_HoldsBoth_AndGivesThemBack(string prefixes, string tags, string column)
    {
        Assert.Equal(column, ScopeColumn.Join(prefixes, tags));
        Assert.Equal((prefixes, tags), ScopeColumn.Split(column));
    }

    [Fact]
    public void Column_WithTags_BeginsLikeNoId_ForAHubThatKnowsOfPrefixesOnly() =>
        Assert.All(ScopeColumn.Join("plant-", "site%3Dberlin").Split(' '), name => Assert.False(Identity.IsValidId(name)));
}
